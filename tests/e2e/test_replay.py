"""A dead letter from its first failure to its row, through the commands of an operator."""

import json
from collections.abc import Callable

import pytest

from ops.__main__ import main
from tests.e2e.test_records import patient

STATES = (
    "SELECT dead_letter_id, state, attempt, replay_of FROM healthcare_ops.dead_letters_state"
    " WHERE request_id = @request ORDER BY attempt"
)


@pytest.fixture
def ops(system, tmp_path, capsys) -> Callable[..., str]:
    """Run a command against the system; return what it printed."""
    stack = tmp_path / "stack.json"
    stack.write_text(json.dumps(system.info))

    def run(*arguments: str) -> str:
        assert main([*arguments, f"--stack={stack}"]) == 0
        return capsys.readouterr().out

    return run


def test_refused_replayed_refused_again_and_loaded(system, ops):
    records = [patient() for _ in range(3)]
    refused = records[1]["patient_id"]
    refusal = {"table": "patients", "column": "patient_id", "value": refused}
    system.fault("bigquery_write", refuse_rows=refusal)
    request = system.send("patients", records).json()["request_id"]
    [first] = system.wait_for(STATES, bool, request=request)
    assert (first["state"], first["attempt"]) == ("open", 1)
    chosen = ["replay", "dead-letters", "--code=row_refused", "--since=1h"]

    assert "1 record(s)" in ops(*chosen, "--publish", f"--id={first['dead_letter_id']}")

    first, second = system.wait_for(STATES, lambda rows: len(rows) == 2, request=request)
    assert (first["state"], second["state"]) == ("superseded", "open")
    assert (second["attempt"], second["replay_of"]) == (2, first["dead_letter_id"])
    table = ops("validate", "--against-dead-letters", f"--id={second['dead_letter_id']}")
    assert ["in", "all", "1", "0"] in [line.split() for line in table.splitlines()]

    system.http.delete(f"{system.info['faults']['bigquery']}/faults")
    assert "1 record(s)" in ops(*chosen, "--publish", f"--id={second['dead_letter_id']}")

    rows = system.wait_for(
        "SELECT patient_id FROM healthcare.patients_events WHERE request_id = @request",
        lambda rows: len(rows) == 3,
        request=request,
    )
    assert {row["patient_id"] for row in rows} == {record["patient_id"] for record in records}
    assert [row["state"] for row in system.query(STATES, request=request)] == ["replayed"] * 2
    assert ops(*chosen, f"--id={second['dead_letter_id']}") == "Nothing to replay.\n"


def test_file_is_sent_and_the_system_is_well(system, ops, tmp_path):
    records = [patient() for _ in range(3)]
    file = tmp_path / "patients.ndjson"
    file.write_text("".join(f"{json.dumps(record)}\n" for record in records))

    assert "3 would load" in ops("validate", str(file))
    for _ in range(2):
        assert ops("send", str(file), "--resource=patients") == "3 accepted, 0 rejected\n"

    rows = system.wait_for(
        "SELECT patient_id FROM healthcare.patients_events WHERE patient_id IN UNNEST(@ids)",
        lambda rows: len(rows) == 3,
        ids=[record["patient_id"] for record in records],
    )
    assert len(rows) == 3
    assert ": ready\n" in ops("status")


def test_keys_of_the_stack(ops):
    assert "enabled" in ops("keys", "list", "patients", "--ids")
