import json

import pytest

from ops.validate import main
from schemas.registry import SCHEMAS_DIR, load_registry
from tests.fixtures.ops import PHI
from tests.fixtures.pipeline import AUDIT

EXAMPLES = SCHEMAS_DIR / "examples"
GOOD = {"patient_id": "p-1", "name": {"family": PHI}}
BAD = {"patient_id": "p-2", "birth_date": PHI, "name": {"family": PHI}}


@pytest.fixture
def validate(tmp_path, capsys):
    """Validate a file of this text; return the exit code and what was printed."""

    def run(text, *arguments, name="patients.json"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else json.dumps(text).encode())
        code = main([str(path), *arguments])
        captured = capsys.readouterr()
        assert PHI not in captured.out + captured.err
        return code, captured.out.splitlines(), captured.err

    return run


def test_good_and_bad(validate):
    code, lines, _ = validate([GOOD, BAD, AUDIT | GOOD, AUDIT | BAD, 5])

    assert code == 1
    birth_date = "    $.birth_date: must be a valid date (format)"
    assert lines == [
        "1: loads into healthcare.patients",
        "2: fails at endpoint: invalid_record",
        birth_date,
        "3: loads into healthcare.patients",
        "4: fails at validate: invalid_record",
        birth_date,
        "5: fails at endpoint: invalid_record",
        "    $: must be a JSON object (notObject)",
        "5 record(s): 2 would load, 3 would not; endpoint invalid_record: 2; "
        "validate invalid_record: 1",
    ]


def test_all_good(validate):
    lines = b"".join(json.dumps(GOOD).encode() + b"\n" for _ in range(3))

    code, printed, _ = validate(lines, "--failed-only", "--dataset=elsewhere")

    assert (code, printed) == (0, ["3 record(s): 3 would load, 0 would not"])


def test_row_shows_names_and_types_alone(validate):
    code, lines, _ = validate(GOOD | {PHI: PHI}, "--show-row")

    assert code == 0
    assert lines[1:3] == ["    patient_id STRING", "    name RECORD"]
    assert "    additional_fields JSON" in lines


@pytest.mark.parametrize("name", ["patients.json", "patients.ndjson", "patients.2026-01-01.json"])
def test_resource_by_the_name_of_the_file(validate, name):
    assert validate(GOOD, name=name)[0] == 0


def test_resource_by_the_name_of_the_folder(capsys):
    [path] = EXAMPLES.glob("plans/minimal.pass.json")

    assert main([str(path)]) == 0
    assert capsys.readouterr().out.startswith("1: loads into healthcare.plans\n")


def test_named_resource_rules(validate):
    assert validate(GOOD, "--resource=plans")[0] == 1


@pytest.mark.parametrize(
    "arguments",
    [[], ["--resource=nothing"], ["--resource=plans", "--resource=patients"]],
    ids=str,
)
def test_resource_that_is_not_clear(validate, arguments):
    with pytest.raises(SystemExit) as caught:
        validate(GOOD, *arguments, name="records.json")
    assert caught.value.code == 2


@pytest.mark.parametrize("arguments", [[], ["x.json", "--against-dead-letters"]], ids=str)
def test_either_a_file_or_the_dead_letters(arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_array_without_an_end(validate):
    code, _, error = validate(json.dumps([GOOD]).encode()[:-1])

    assert code == 2
    assert error == "validate: the file ends within record 1 of its array\n"


def test_file_that_is_not_there(capsys):
    assert main(["patients.json"]) == 2
    assert "patients.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", load_registry())
def test_no_example_shows_a_value(name, capsys):
    for path in EXAMPLES.glob(f"{name}/*.json"):
        document = json.loads(path.read_bytes())
        record = document.get("record", document)
        main([str(path), "--show-row"])
        printed = capsys.readouterr().out
        for value in strings(record):
            # What an error asks for may be of the contract: its words are checked elsewhere.
            if len(value) > 8 and value not in json.dumps(load_registry()[name].schema):
                assert value not in printed, path
        if path.name.endswith(".fail.json"):
            assert main([str(path)]) == 1
            capsys.readouterr()


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
