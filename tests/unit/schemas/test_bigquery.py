import json

import pytest

from schemas.bigquery import (
    load_tables,
    load_views,
    system_view_query,
    table_definition,
    view_queries,
)
from schemas.generate import main as generate
from tests.fixtures.contracts import contract

NAME = {"type": "string", "x-phi": "identifier", "description": "Who."}


def test_table_is_partitioned_clustered_and_described(make_resource):
    properties = {"_org": {"type": "string", "x-bigquery": {"name": "org"}}}

    table = table_definition(make_resource(properties, ingest={"cluster": ["_org"]}))

    assert table["tableId"] == "widgets"
    assert table["description"] == "A thing to test with."
    assert table["timePartitioning"] == {
        "type": "DAY",
        "field": "created_ts",
        "expirationMs": "2592000000",
    }
    assert table["clustering"] == {"fields": ["org"]}
    assert table["schema"]["fields"][0] == {
        "name": "id",
        "type": "STRING",
        "mode": "REQUIRED",
        "description": "The key.",
    }


def test_protection_falls_to_the_leaves_of_a_record(make_resource):
    name = NAME | {"type": "object", "properties": {"given": {"type": "string"}}}

    table = table_definition(make_resource({"name": name, "alias": NAME}))

    fields = {field["name"]: field for field in table["schema"]["fields"]}
    tags = {"names": ["${policy_tag_identifier}"]}
    assert "policyTags" not in fields["name"]
    assert fields["name"]["fields"][0]["policyTags"] == tags
    assert fields["alias"]["policyTags"] == tags


def test_views_follow_the_key(make_resource):
    properties = {"n": {"type": "integer"}}
    resource = make_resource(properties, ingest={"key": ["id", "n"]}, required=["id", "n"])

    views = view_queries(resource)

    assert list(views) == ["widgets_events", "widgets_current"]
    assert "PARTITION BY id, n ORDER BY updated_ts DESC" in views["widgets_current"]
    assert "PARTITION BY event_id" in views["widgets_events"]


@pytest.fixture
def generated(schemas_dir, write_contract, monkeypatch):
    write_contract(contract(properties={"name": NAME}))
    (schemas_dir / "system" / "all_widgets.sql").write_text(
        "-- dataset: ops\nSELECT * FROM `${project}.${dataset}.widgets`\n"
    )
    monkeypatch.setenv("VITALFLOW_SCHEMAS", str(schemas_dir))
    assert generate([]) == 0
    return schemas_dir


def test_loaded_views_have_their_names_filled_in(generated):
    views = {view.name: view for view in load_views("p", "d", "o")}

    assert views["all_widgets"].dataset == "o"
    assert views["widgets_current"].dataset == "d"
    assert "`p.d.widgets`" in views["all_widgets"].sql
    assert "$" not in "".join(view.sql for view in views.values())


def test_loaded_tables_carry_only_policy_tags_that_exist(generated):
    [plain] = load_tables()
    [tagged] = load_tables(policy_tags={"identifier": "projects/p/tag"})

    assert "policyTags" not in json.dumps(plain)
    name = next(field for field in tagged["schema"]["fields"] if field["name"] == "name")
    assert name["policyTags"] == {"names": ["projects/p/tag"]}
    assert "${" not in json.dumps(tagged)


def test_system_view_repeats_a_part_for_each_resource():
    text = (
        "WITH events AS (\n"
        "  -- for each resource\n"
        "  SELECT '${resource}' FROM `${project}.${dataset}.${resource}`\n"
        "  -- union all\n"
        ")\n"
    )

    assert system_view_query(text, ["widgets", "gadgets"]) == (
        "WITH events AS (\n"
        "  SELECT 'gadgets' FROM `${project}.${dataset}.gadgets`\n"
        "  UNION ALL\n"
        "  SELECT 'widgets' FROM `${project}.${dataset}.widgets`\n"
        ")\n"
    )


def test_system_view_without_such_a_part_stays_as_it_is():
    assert system_view_query("SELECT 1\n", ["widgets"]) == "SELECT 1\n"
