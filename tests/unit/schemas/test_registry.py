import pytest

from schemas.registry import AUDIT_FIELDS, SchemaError, load_registry
from tests.fixtures.contracts import contract


def test_resources_are_found_by_their_files(schemas_dir, write_contract):
    write_contract(contract("widgets"))
    write_contract(contract("gadgets"), name="gadgets")

    registry = load_registry(schemas_dir)

    assert list(registry) == ["gadgets", "widgets"]
    assert registry["widgets"].key == ("id",)
    assert len(registry) == 2


def test_another_folder_is_named_by_the_environment(schemas_dir, write_contract, monkeypatch):
    write_contract(contract())
    monkeypatch.setenv("VITALFLOW_SCHEMAS", str(schemas_dir))

    assert list(load_registry()) == ["widgets"]


def test_audit_fields_end_every_table(make_resource):
    names = [column.name for column in make_resource().table_columns]

    assert names == ["id", *AUDIT_FIELDS, "schema_version", "publish_ts", "additional_fields"]


def test_no_contract_at_all_is_an_error(schemas_dir):
    with pytest.raises(SchemaError, match=r"holds no \*\.schema\.json"):
        load_registry(schemas_dir)


@pytest.mark.parametrize("name", ["Widgets", "wi", "a" * 41, "google_x", "all", "docs", "1st"])
def test_name_must_serve_everywhere(schemas_dir, write_contract, name):
    write_contract(contract(name), name=name)

    with pytest.raises(SchemaError, match="a resource's name is"):
        load_registry(schemas_dir)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "must be an object"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
    ],
)
def test_file_must_be_one_json_object(schemas_dir, write_contract, text, reason):
    write_contract(text)

    with pytest.raises(SchemaError, match=reason):
        load_registry(schemas_dir)


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ({"x-ingest": {}}, "$.x-ingest"),
        ({"ingest": {"partition": "WEEK"}}, "$.x-ingest.partition"),
        ({"ingest": {"key": []}}, "$.x-ingest.key"),
        ({"ingest": {"unknown_fields": "drop"}}, "$.x-ingest.unknown_fields"),
        ({"ingest": {"version": 0}, "$id": "urn:vitalflow:schema:widgets:1"}, "$.x-ingest.version"),
        ({"$id": "urn:vitalflow:schema:widgets:2"}, "$.$id"),
        ({"ingest": {"key": ["nothing"]}}, "$.x-ingest.key"),
        ({"ingest": {"cluster": ["nothing"]}}, "$.x-ingest.cluster"),
        ({"required": []}, "$.required"),
        ({"not": {}}, "$"),
        ({"properties": {"id": {"type": "string", "pattern": "("}}}, "$.properties.id.pattern"),
        ({"properties": {"id": {"type": "string", "minimun": 1}}}, "$.properties.id"),
        ({"properties": {"id": {"type": "string", "x-phi": "secret"}}}, "$.properties.id.x-phi"),
    ],
    ids=str,
)
def test_contract_must_keep_the_metaschema(schemas_dir, write_contract, root, path):
    write_contract(contract(**root))

    with pytest.raises(SchemaError) as caught:
        load_registry(schemas_dir)

    assert caught.value.path == path


def test_clustering_by_a_record_is_refused(make_resource):
    record = {"type": "object", "properties": {"x": {"type": "string"}}}

    with pytest.raises(SchemaError, match="BigQuery cannot cluster by f"):
        make_resource({"f": record}, ingest={"cluster": ["f"]})
