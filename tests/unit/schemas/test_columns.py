import pytest

from schemas.columns import Column, SchemaError
from tests.fixtures.contracts import contract

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (TEXT, "STRING"),
        ({"type": "integer"}, "INT64"),
        ({"type": "number"}, "FLOAT64"),
        ({"type": "boolean"}, "BOOL"),
        ({"type": "string", "format": "date"}, "DATE"),
        ({"type": "string", "format": "date-time"}, "TIMESTAMP"),
        ({"type": "string", "format": "time"}, "TIME"),
        ({"type": "string", "format": "email"}, "STRING"),
        ({"type": "number", "x-bigquery": {"type": "NUMERIC"}}, "NUMERIC"),
        ({"type": "integer", "x-bigquery": {"type": "NUMERIC"}}, "NUMERIC"),
        ({"type": "string", "x-bigquery": {"type": "NUMERIC"}}, "NUMERIC"),
        ({"type": "string", "x-bigquery": {"type": "DATE", "format": "MM-DD-YYYY"}}, "DATE"),
        ({"type": "object"}, "JSON"),
        ({"type": ["string", "null"]}, "STRING"),
        ({"type": ["null", "integer"]}, "INT64"),
    ],
)
def test_type(make_resource, schema, expected):
    column = make_resource({"field": schema}).column("field")

    assert (column.type, column.mode) == (expected, "NULLABLE")


def test_record_and_repeated(make_resource):
    address = {"type": "object", "properties": {"line": {"type": "array", "items": TEXT}}}

    column = make_resource({"address": {"type": "array", "items": address}}).column("address")

    assert column == Column(
        "address", "address", "RECORD", "REPEATED",
        fields=(Column("line", "line", "STRING", "REPEATED"),),
    )  # fmt: skip


def test_name_description_and_protection_are_carried(make_resource):
    schema = TEXT | {"x-bigquery": {"name": "org"}, "x-phi": "identifier", "description": "Who."}

    column = make_resource({"_org!": schema}).column("_org!")

    assert column == Column("_org!", "org", "STRING", description="Who.", phi="identifier")


def test_reference_into_definitions_is_followed(make_resource):
    resource = make_resource(
        {"money": {"$ref": "#/$defs/money", "description": "Here."}},
        **{"$defs": {"money": {"type": "number", "x-bigquery": {"type": "NUMERIC"}}}},
    )

    assert resource.column("money") == Column("money", "money", "NUMERIC", description="Here.")


def test_only_the_key_and_the_system_columns_are_required(make_resource):
    resource = make_resource({"other": TEXT}, required=["id", "other"])

    modes = {column.name: column.mode for column in resource.table_columns}

    assert modes["id"] == modes["created_ts"] == modes["publish_ts"] == "REQUIRED"
    assert modes["other"] == modes["additional_fields"] == "NULLABLE"


def nested(levels):
    schema = TEXT
    for _ in range(levels):
        schema = {"type": "object", "properties": {"inner": schema}}
    return schema


@pytest.mark.parametrize(
    ("properties", "path", "reason"),
    [
        ({"f": {"type": ["string", "integer"]}}, "$.f", "exactly one type"),
        ({"f": {"description": "No type."}}, "$.f", "exactly one type"),
        ({"f": {"type": "null"}}, "$.f", "exactly one type"),
        (
            {"f": {"type": "array", "items": {"type": "array", "items": TEXT}}},
            "$.f",
            "no array of arrays",
        ),
        ({"f": {"type": "array", "items": {"type": ["string", "null"]}}}, "$.f[]", "no NULL"),
        ({"f": {"type": "array"}}, "$.f", "exactly one type"),
        ({"a-b": TEXT}, "$.a-b", "refuses the column name 'a-b'"),
        ({"1st": TEXT}, "$.1st", "refuses the column name"),
        ({"é": TEXT}, "$.é", "refuses the column name"),
        ({"x" * 301: TEXT}, "$." + "x" * 301, "refuses the column name"),
        ({"_TABLE_x": TEXT}, "$._TABLE_x", "reserves names"),
        ({"_partitiontime": TEXT}, "$._partitiontime", "reserves names"),
        ({"city": TEXT, "City": TEXT}, "$.City", "is taken"),
        ({"a": TEXT | {"x-bigquery": {"name": "b"}}, "b": TEXT}, "$.b", "is taken"),
        ({"f": TEXT | {"x-bigquery": {"type": "INT64"}}}, "$.f", "not to INT64"),
        ({"f": TEXT | {"x-bigquery": {"type": "DATE"}}}, "$.f", "x-bigquery.format"),
        ({"f": {"$ref": "#/$defs/none"}}, "$.f", "not one of this file's $defs"),
        ({"f": nested(15)}, "$.f" + ".inner" * 14, "deeper than 15"),
        ({"created_ts": TEXT}, "$.created_ts", "adds itself"),
        ({"f": TEXT | {"x-bigquery": {"name": "Event_Id"}}}, "$.f", "adds itself"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_has_no_column_is_refused_with_file_path_and_reason(
    make_resource, properties, path, reason
):
    with pytest.raises(SchemaError) as caught:
        make_resource(properties)

    assert (caught.value.file, caught.value.path) == ("widgets.schema.json", path)
    assert reason in caught.value.reason


def test_deepest_nesting_that_bigquery_takes(make_resource):
    assert make_resource({"f": nested(14)}).column("f").type == "RECORD"


def test_circular_reference_is_refused(make_resource):
    tree = {"type": "object", "properties": {"child": {"$ref": "#/$defs/tree"}}}
    loop = {"$ref": "#/$defs/loop"}

    with pytest.raises(SchemaError, match="deeper than 15"):
        make_resource({"f": {"$ref": "#/$defs/tree"}}, **{"$defs": {"tree": tree}})
    with pytest.raises(SchemaError, match="refers to itself"):
        make_resource({"f": {"$ref": "#/$defs/loop"}}, **{"$defs": {"loop": loop}})


@pytest.mark.parametrize("schema", [{"type": "number"}, {"type": "array", "items": TEXT}])
def test_key_is_a_string_or_an_integer(make_resource, schema):
    with pytest.raises(SchemaError, match=r"\$\.f: a key is a string or an integer"):
        make_resource({"f": schema}, ingest={"key": ["f"]}, required=["f"])


def test_contract_helper_is_itself_a_contract(make_resource):
    assert contract()["x-ingest"]["key"] == list(make_resource().key)
