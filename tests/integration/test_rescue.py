"""`python -m ops validate --against-dead-letters`: which of them the present contracts take."""

import json

import pytest

from ops.validate import main
from tests.fixtures.ops import PHI, dead_letter, patient


@pytest.fixture
def judge(stack_file, capsys):
    def run(*arguments):
        assert main(["--against-dead-letters", *arguments, f"--stack={stack_file}"]) == 0
        printed = capsys.readouterr().out
        assert PHI not in printed
        return printed

    return run


def test_by_resource_and_code(warehouse, judge):
    good = [dead_letter(patient(f"e-{n}"), event_id=f"e-{n}") for n in range(3)]
    bad = [
        dead_letter(patient(f"f-{n}", birth_date=PHI, address=[{"city": 5}] * 2)) for n in range(2)
    ]
    cut = dead_letter(patient("g-1")[:-1], stage="decode", error_code="invalid_json")
    gone = dead_letter(b'{"vitals_id": 1}', resource="vitals")
    tombstone = dead_letter(
        json.dumps({**json.loads(patient("h-1")), "is_active": False}).encode(),
        attributes={"op": "delete"},
        error_code="row_refused",
    )
    warehouse.insert("dead_letters", *good, *bad, cut, gone, tombstone)

    table = [line.split() for line in judge().splitlines()]

    assert ["patients", "invalid_record", "3", "2", "2x", "validate", "invalid_record",
            "$.address[].city", "type"] in table  # fmt: skip
    assert ["2x", "validate", "invalid_record", "$.birth_date", "format"] in table
    assert ["patients", "invalid_json", "0", "1", "1x", "decode", "invalid_json"] in table
    assert ["patients", "row_refused", "1", "0"] in table
    assert ["vitals", "invalid_record", "0", "1", "1x", "no", "such", "resource"] in table
    assert ["in", "all", "4", "4"] in table


def test_only_what_is_open_and_chosen(warehouse, judge):
    warehouse.insert(
        "dead_letters",
        dead_letter(patient("e-1"), event_id="e-1"),
        dead_letter(patient("e-2"), event_id="e-2", error_code="row_refused"),
    )
    warehouse.load("e-1")

    assert ["in", "all", "1", "0"] in [line.split() for line in judge().splitlines()]
    assert judge("--code=invalid_record") == "No dead letters to judge.\n"
    assert ["in", "all", "2", "0"] in [line.split() for line in judge("--again").splitlines()]
