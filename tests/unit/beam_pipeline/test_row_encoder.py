"""Rows hold what records held: every type, every nesting, and what the contract does not know."""

import json

import pytest

from beam_pipeline.row_encoder import RowEncoder, RowError, shared_encoder
from beam_pipeline.row_message import row_class, table_columns
from schemas.registry import SYSTEM_COLUMNS, Column

INNER = (
    Column("city", "city", "STRING"),
    Column("since", "since", "DATE"),
    Column("floors", "floors", "INT64"),
)
PLAIN = (Column("code", "code", "STRING"), Column("rank", "rank", "INT64"))
COLUMNS = (
    Column("id", "id", "STRING", "REQUIRED"),
    Column("count", "count", "INT64"),
    Column("ratio", "ratio", "FLOAT64"),
    Column("ok", "ok", "BOOL"),
    Column("day", "day", "DATE"),
    Column("us_day", "us_day", "DATE", date_format="MM-DD-YYYY"),
    Column("at", "at", "TIMESTAMP"),
    Column("clock", "clock", "TIME"),
    Column("price", "price", "NUMERIC"),
    Column("answers", "answers", "JSON"),
    Column("tags", "tags", "STRING", "REPEATED"),
    Column("days", "days", "DATE", "REPEATED"),
    Column("address", "address", "RECORD", "REPEATED", fields=INNER),
    Column("home", "home", "RECORD", fields=INNER),
    Column("codes", "codes", "RECORD", "REPEATED", fields=PLAIN),
    Column("main_code", "main_code", "RECORD", fields=PLAIN),
)
ADDITIONAL = Column("additional_fields", "additional_fields", "JSON")


@pytest.fixture(scope="module")
def encoder():
    return RowEncoder(COLUMNS, (ADDITIONAL,))


@pytest.fixture(scope="module")
def read(encoder):
    """Encode a record and return the row's fields that are set."""
    message_class = row_class(encoder.descriptor)

    def plain(message):
        result = {}
        for field, value in message.ListFields():
            if field.message_type is None:
                result[field.name] = list(value) if field.is_repeated else value
            else:
                nested = [plain(item) for item in value] if field.is_repeated else plain(value)
                result[field.name] = nested
        return result

    def encode(record, **arguments):
        data = encoder.encode(record, {}, **arguments)
        return plain(message_class.FromString(data))

    return encode


def test_every_type(read):
    record = {
        "id": "a",
        "count": -3,
        "ratio": 2,
        "ok": False,
        "day": "1970-01-02",
        "us_day": "12-31-1969",
        "at": "1970-01-01T00:00:01Z",
        "clock": "12:30:00Z",
        "price": 125.5,
        "answers": {"a": [1, None]},
        "tags": ["x", "y"],
        "days": ["1970-01-01", "1970-01-03"],
        "address": [{"city": "Lyon", "since": "1970-01-02"}, {}],
        "home": {"city": "Nice", "since": None},
        "codes": [{"code": "I10", "rank": 1}],
        "main_code": {"code": "E11"},
    }
    before = json.loads(json.dumps(record))
    assert read(record) == {
        "id": "a",
        "count": -3,
        "ratio": 2.0,
        "ok": False,
        "day": 1,
        "us_day": -1,
        "at": 1_000_000,
        "clock": "12:30:00",
        "price": "125.5",
        "answers": '{"a":[1,null]}',
        "tags": ["x", "y"],
        "days": [0, 2],
        "address": [{"city": "Lyon", "since": 1}, {}],
        "home": {"city": "Nice"},
        "codes": [{"code": "I10", "rank": 1}],
        "main_code": {"code": "E11"},
    }
    assert record == before  # a bundle that is tried again finds it as it was


@pytest.mark.parametrize("column", [c.name for c in COLUMNS if c.mode != "REQUIRED"])
def test_null_is_absent(read, column):
    assert read({"id": "a", column: None}) == {"id": "a"}


def test_an_integer_written_as_a_float(read):
    record = {"id": "a", "count": 3.0, "home": {"floors": 2.0}, "codes": [{"rank": 1.0}]}
    expected = {"id": "a", "count": 3, "home": {"floors": 2}, "codes": [{"rank": 1}]}
    assert read(record) == expected


@pytest.mark.parametrize(
    ("unknown", "kept"),
    [
        ({"foo": 1}, {"foo": 1}),
        ({"foo": None}, {"foo": None}),
        ({"Count": 1}, {"Count": 1}),
        ({"foo": {"deep": [1, {"x": "y"}]}}, {"foo": {"deep": [1, {"x": "y"}]}}),
        ({"home": {"city": "Nice", "zip": "1"}}, {"home": {"zip": "1"}}),
        ({"main_code": {"system": "icd"}}, {"main_code": {"system": "icd"}}),
        (
            {"address": [{"city": "Lyon"}, {"bar": 2, "city": "Nice"}, {}]},
            {"address": [{}, {"bar": 2}, {}]},
        ),
        ({"codes": [{"a": 1}, {"b": 2}]}, {"codes": [{"a": 1}, {"b": 2}]}),
    ],
)
def test_unknown_fields_keep_their_place(read, unknown, kept):
    row = read({"id": "a", "day": "1970-01-02", **unknown})
    assert json.loads(row["additional_fields"]) == kept
    assert (row["id"], row["day"]) == ("a", 1)
    if "address" in unknown:
        assert row["address"] == [{"city": "Lyon"}, {"city": "Nice"}, {}]


def test_additional_fields_may_be_given(read):
    row = read({"id": "a", "foo": 1}, additional={"rest": 2})
    assert json.loads(row["additional_fields"]) == {"foo": 1, "rest": 2}


def test_names_are_mapped_and_a_column_is_no_property():
    columns = (
        Column("_org", "org", "STRING"),
        Column("kind", "_org", "STRING"),  # one's column is the other's property
        Column("inner", "inside", "RECORD", fields=(Column("objectId", "object_id", "STRING"),)),
    )
    encoder = RowEncoder(columns, (ADDITIONAL,))
    message_class = row_class(encoder.descriptor)
    record = {"_org": "a", "kind": "b", "inner": {"objectId": "c"}}
    row = message_class.FromString(encoder.encode(record, {}))
    assert (row.org, row._org, row.inside.object_id) == ("a", "b", "c")
    # What is named like a column, and not like a property, is unknown.
    row = message_class.FromString(encoder.encode({"org": "x", "inner": {"object_id": "y"}}, {}))
    assert not row.HasField("org")
    assert json.loads(row.additional_fields) == {"org": "x", "inner": {"object_id": "y"}}


@pytest.mark.parametrize("name", ["x-y", "é", "2nd", "__root__inner"])
def test_names_that_protobuf_cannot_take(name):
    columns = (
        Column(name, "x_y", "STRING"),
        Column("kind", "sort", "STRING"),
        Column("inner", "inner", "RECORD", fields=(Column(name, "x_y", "STRING"),)),
    )
    encoder = RowEncoder(columns, (ADDITIONAL,))
    record = {name: "a", "kind": "b", "inner": {name: "c"}}
    row = row_class(encoder.descriptor).FromString(encoder.encode(record, {}))
    assert (row.x_y, row.sort, row.inner.x_y) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("record", "path"),
    [
        ({"id": "a", "count": "SECRET"}, "$.count"),
        ({"id": "a", "count": 2**63}, "$"),
        ({"id": "a", "day": "SECRET"}, "$.day"),
        ({"id": "a", "price": "SECRET"}, "$.price"),
        ({"id": "a", "home": "SECRET"}, "$.home"),
        ({"id": "a", "home": {"since": "SECRET"}}, "$.home.since"),
        ({"id": "a", "address": [{}, {"since": "SECRET"}]}, "$.address[1].since"),
        ({"id": "a", "address": ["SECRET"]}, "$.address"),
        ({"id": "a", "tags": ["SECRET", None]}, "$"),
        ({"id": "a", "answers": {1: "SECRET"}}, "$.answers"),
        ({"count": 1}, "$"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path_alone(encoder, record, path):
    with pytest.raises(RowError) as caught:
        encoder.encode(record, {})
    # An integer's text can become one, so a column may accept more than it must.
    assert caught.value.path in (path, "$")
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_tables_do_not_collide():
    first = row_class(RowEncoder((Column("a", "a", "STRING"),)).descriptor)
    second = row_class(RowEncoder((Column("b", "b", "INT64"),)).descriptor)
    assert first(a="x").a == "x"
    assert second(b=1).b == 1


def test_a_column_may_be_named_like_its_nested_message():
    columns = (Column("row", "Row", "RECORD", fields=(Column("row", "Row", "STRING"),)),)
    encoder = RowEncoder(columns)
    row = row_class(encoder.descriptor).FromString(encoder.encode({"row": {"row": "x"}}, {}))
    assert row.Row.Row == "x"


def test_one_encoder_a_process():
    assert shared_encoder(COLUMNS, SYSTEM_COLUMNS) is shared_encoder(COLUMNS, SYSTEM_COLUMNS)


def test_columns_of_a_table_in_rest_form():
    fields = [
        {"name": "a", "type": "STRING", "mode": "REQUIRED", "description": "x"},
        {
            "name": "b",
            "type": "RECORD",
            "mode": "REPEATED",
            "fields": [{"name": "c", "type": "BYTES"}],
        },
    ]
    assert table_columns(fields) == (
        Column("a", "a", "STRING", "REQUIRED"),
        Column("b", "b", "RECORD", "REPEATED", fields=(Column("c", "c", "BYTES"),)),
    )
