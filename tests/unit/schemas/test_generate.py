import json

import pytest
import yaml

from schemas.generate import main
from tests.fixtures.contracts import contract

MONEY = {"type": "number", "x-bigquery": {"type": "NUMERIC"}}


@pytest.fixture
def folder(schemas_dir, write_contract, monkeypatch):
    """Return a folder of contracts from which everything was generated once."""
    write_contract(
        contract(properties={"fee": {"$ref": "#/$defs/money"}}, **{"$defs": {"money": MONEY}})
    )
    (schemas_dir.parent / "docs").mkdir()
    monkeypatch.setenv("VITALFLOW_SCHEMAS", str(schemas_dir))
    assert main([]) == 0
    return schemas_dir


def test_everything_follows_from_the_contract(folder):
    written = {path.relative_to(folder.parent).as_posix() for path in folder.parent.rglob("*.*")}

    assert written >= {
        "schemas/bigquery/tables/widgets.json",
        "schemas/bigquery/views/widgets_current.sql",
        "schemas/bigquery/views/widgets_events.sql",
        "schemas/openapi.yaml",
        "docs/resources.md",
    }
    assert main(["--check"]) == 0


def test_check_shows_the_difference_and_writes_nothing(folder, capsys):
    table = folder / "bigquery" / "tables" / "widgets.json"
    table.write_text(table.read_text().replace("STRING", "BYTES"))

    assert main(["--check"]) == 1

    output = capsys.readouterr().out
    assert '-        "type": "BYTES"' in output
    assert '+        "type": "STRING"' in output
    assert "BYTES" in table.read_text()


def test_check_finds_what_nothing_generates(folder, capsys):
    stale = folder / "bigquery" / "views" / "gone.sql"
    stale.write_text("-- dataset: data\nSELECT 1\n")

    assert main(["--check"]) == 1
    assert "gone.sql" in capsys.readouterr().out

    assert main([]) == 0
    assert not stale.exists()


def test_contract_that_cannot_be_mapped_names_file_path_and_reason(folder, write_contract, capsys):
    write_contract(contract(properties={"fee": {"type": ["string", "number"]}}))

    assert main([]) == 1

    error = capsys.readouterr().err
    assert error == (
        "widgets.schema.json: $.fee: needs exactly one type (null may stand beside it)\n"
    )


def test_breaking_change_needs_a_raised_version(folder, write_contract, capsys):
    before = (folder / "openapi.yaml").read_text()
    changed = {"fee": {"type": "number"}}

    write_contract(contract(properties=changed))
    assert main([]) == 1
    error = capsys.readouterr().err
    assert "column fee changes from NUMERIC NULLABLE to FLOAT64 NULLABLE" in error
    assert (folder / "openapi.yaml").read_text() == before

    write_contract(contract(properties=changed, ingest={"version": 2}))
    assert main([]) == 0


def test_version_never_goes_back(folder, write_contract, capsys):
    write_contract(contract(properties={"fee": MONEY}, ingest={"version": 2}))
    assert main([]) == 0

    write_contract(contract(properties={"fee": MONEY}))
    assert main([]) == 1
    assert "was 2 already" in capsys.readouterr().err


def test_resource_goes_only_on_purpose(folder, write_contract, capsys):
    write_contract(contract("widgets")).unlink()
    write_contract(contract("gadgets"), name="gadgets")

    assert main([]) == 1
    assert "--remove widgets" in capsys.readouterr().err

    assert main(["--remove", "widgets"]) == 0
    tables = {path.stem for path in (folder / "bigquery" / "tables").iterdir()}
    assert tables == {"gadgets"}


def test_openapi_refers_only_to_what_it_holds(folder):
    document = yaml.safe_load((folder / "openapi.yaml").read_text())

    text = json.dumps(document)
    references = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    for reference in references:
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    assert "#/components/schemas/widgets.money" in references
