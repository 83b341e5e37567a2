"""What is generated is committed as it is generated, and speaks the language of its readers."""

import jsonschema_rs
import pytest
import yaml

from schemas.bigquery import load_tables, load_views
from schemas.generate import main
from schemas.registry import SCHEMAS_DIR, load_registry

REGISTRY = load_registry()


def test_generated_files_are_up_to_date():
    assert main(["--check"]) == 0


@pytest.mark.parametrize("name", REGISTRY)
def test_every_resource_has_a_table_and_its_views(name):
    tables = {table["tableId"] for table in load_tables()}
    views = {view.name for view in load_views("p", "d", "o")}

    assert name in tables
    assert {f"{name}_current", f"{name}_events"} <= views


@pytest.mark.parametrize("name", REGISTRY)
def test_contract_is_plain_json_schema(name):
    assert jsonschema_rs.meta.is_valid(REGISTRY[name].schema)


@pytest.mark.parametrize("name", REGISTRY)
def test_every_column_says_what_it_means(name):
    def undescribed(columns, prefix=""):
        for column in columns:
            if not column.description:
                yield prefix + column.name
            yield from undescribed(column.fields, f"{prefix}{column.name}.")

    assert list(undescribed(REGISTRY[name].columns)) == []


def test_openapi_is_of_version_3_1():
    document = yaml.safe_load((SCHEMAS_DIR / "openapi.yaml").read_text())

    assert document["openapi"].startswith("3.1")
    for name in REGISTRY:
        assert f"/v1/{name}" in document["paths"]
        assert jsonschema_rs.meta.is_valid(document["components"]["schemas"][name])
