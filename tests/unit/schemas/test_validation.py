import pytest

from schemas import limits
from schemas.validation import RecordError, Validator

TEXT = {"type": "string"}


@pytest.fixture
def validate(make_resource):
    """Return the errors of a record as (path, rule) against a contract with these properties."""

    def run(record, properties, **root):
        validator = Validator(make_resource(properties, **root))
        errors = validator.errors(record)
        assert validator.is_valid(record) is (not errors)
        return [(error.path, error.rule) for error in errors]

    return run


def test_every_broken_rule_is_reported_with_its_path(validate):
    properties = {
        "n": {"type": "integer", "minimum": 0},
        "list": {"type": "array", "items": {"type": "object", "properties": {"x": TEXT}}},
    }

    errors = validate({"n": -1, "list": [{"x": "ok"}, {"x": 1}]}, properties)

    assert errors == [("$.id", "required"), ("$.list[1].x", "type"), ("$.n", "minimum")]


def test_unknown_fields_are_valid_unless_the_contract_rejects_them(validate):
    record = {"id": "1", "Jane Doe": "private"}

    assert validate(record, {}) == []
    assert validate(record, {}, ingest={"unknown_fields": "reject"}) == [
        ("$", "additionalProperties")
    ]


@pytest.mark.parametrize(
    "name", ["created_ts", "created_by", "is_active", "event_id", "additional_fields"]
)
@pytest.mark.parametrize("value", [None, "x", {}], ids=str)
def test_what_the_system_adds_may_not_be_sent(validate, name, value):
    assert validate({"id": "1", name: value}, {}) == [(f"$.{name}", "reserved")]


@pytest.mark.parametrize("value", [None, [], "text", 1, True])
def test_only_objects_are_records(make_resource, value):
    [error] = Validator(make_resource()).errors(value)

    assert error == RecordError("$", "notObject", "must be a JSON object")


SECRET = "Jane-Roe-1962"
EVERY_KEYWORD = {
    "const": {"const": "a", "type": "string"},
    "enum": {"enum": ["a", "b", None], "type": ["string", "null"]},
    "format": {"format": "date", "type": "string"},
    "maxLength": {"maxLength": 1, "type": "string"},
    "minLength": {"minLength": 99, "type": "string"},
    "pattern": {"pattern": "^a$", "type": "string"},
    "type": {"type": "integer"},
}


@pytest.mark.parametrize("rule", EVERY_KEYWORD)
def test_no_error_repeats_a_value(make_resource, rule):
    validator = Validator(make_resource({"f": EVERY_KEYWORD[rule]}))

    [error] = validator.errors({"id": "1", "f": SECRET})

    assert (error.path, error.rule) == ("$.f", rule)
    assert SECRET not in repr(error)


def test_no_error_repeats_an_unknown_name(make_resource):
    validator = Validator(make_resource(ingest={"unknown_fields": "reject"}))

    [error] = validator.errors({"id": "1", SECRET: 1})

    assert SECRET not in repr(error)


def test_errors_of_one_record_are_bounded(make_resource):
    items = {"type": "array", "items": {"type": "integer"}}
    validator = Validator(make_resource({"f": items}))
    most = limits.MAX_ERRORS_PER_RECORD

    assert len(validator.errors({"id": "1", "f": ["x"] * (most - 1)})) == most - 1
    assert len(validator.errors({"id": "1", "f": ["x"] * (most + 1)})) == most


US_DATE = {"type": "string", "x-bigquery": {"type": "DATE", "format": "MM-DD-YYYY"}}
DATE = {"type": "string", "format": "date"}
TIMESTAMP = {"type": "string", "format": "date-time"}
MONEY = {"type": "number", "multipleOf": 0.01, "x-bigquery": {"type": "NUMERIC"}}
NUMERIC = {"type": "number", "x-bigquery": {"type": "NUMERIC"}}
NUMERIC_TEXT = {"type": "string", "x-bigquery": {"type": "NUMERIC"}}


@pytest.mark.parametrize(
    ("schema", "fits", "breaks", "rule"),
    [
        ({"type": "integer"}, limits.INT64_MAX, limits.INT64_MAX + 1, "maximum"),
        ({"type": "integer"}, limits.INT64_MIN, limits.INT64_MIN - 1, "minimum"),
        ({"type": "integer"}, 1.0, 1e19, "maximum"),
        (MONEY, 9_999_999_999_999.99, 9_999_999_999_999.999, "multipleOf"),
        (MONEY, 0.07, 0.071, "multipleOf"),
        (NUMERIC, 2**53 - 1, 2**53, "maximum"),
        (NUMERIC, 0.000000001, 0.0000000001, "multipleOf"),
        (NUMERIC_TEXT, "9" * 29 + "." + "9" * 9, "9" * 30, "range"),
        (NUMERIC_TEXT, "-0.000000001", "0.0000000001", "range"),
        (NUMERIC_TEXT, "0", "1e3", "range"),
        (NUMERIC_TEXT, "1", "1\n", "range"),
        (DATE, "0001-01-01", "0000-12-31", "range"),
        (DATE, "9999-12-31", "10000-01-01", "format"),
        (DATE, "2024-02-29", "2023-02-29", "format"),
        (US_DATE, "12-12-2017", "13-12-2017", "range"),
        (US_DATE, "02-29-2024", "02-29-2023", "range"),
        (US_DATE, "02-29-2000", "02-29-1900", "range"),
        (US_DATE, "04-30-2017", "04-31-2017", "range"),
        (US_DATE, "01-01-0001", "01-01-0000", "range"),
        (US_DATE, "12-31-9999", "2017-12-12", "range"),
        (TIMESTAMP, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00", "range"),
        (TIMESTAMP, "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-05:00", "range"),
        (TIMESTAMP, "0001-01-01T00:00:00+00:00", "0000-01-01T00:00:00Z", "range"),
        (TIMESTAMP, "2024-01-01t00:00:00z", "2024-01-01T00:00:00", "format"),
        (TIMESTAMP, "2016-12-31T23:59:60Z", "2016-12-31T23:60:00Z", "format"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_both_sides_of_what_bigquery_holds(validate, schema, fits, breaks, rule):
    assert validate({"id": "1", "f": fits}, {"f": schema}) == []
    assert validate({"id": "1", "f": breaks}, {"f": schema}) == [("$.f", rule)]


def test_bounds_reach_into_lists_records_and_definitions(validate):
    properties = {
        "list": {"type": "array", "items": {"type": "integer"}},
        "record": {"type": "object", "properties": {"n": {"type": ["integer", "null"]}}},
        "ref": {"$ref": "#/$defs/n"},
    }
    big = 2**63
    record = {"id": "1", "list": [big], "record": {"n": big}, "ref": big}

    errors = validate(record, properties, **{"$defs": {"n": {"type": "integer"}}})

    assert errors == [("$.list[0]", "maximum"), ("$.record.n", "maximum"), ("$.ref", "maximum")]


def test_a_contract_may_be_tighter_than_bigquery(validate):
    schema = {"type": "integer", "minimum": 0, "maximum": 9}

    assert validate({"id": "1", "f": 10}, {"f": schema}) == [("$.f", "maximum")]


KEYS = {"id": {"type": "string", "pattern": "^[a-z]+$"}, "n": {"type": "integer", "minimum": 1}}


@pytest.mark.parametrize(
    ("segments", "key", "errors"),
    [
        (["abc", "7"], {"id": "abc", "n": 7}, []),
        (["ABC", "7"], None, [("$.id", "pattern")]),
        (["abc", "0"], None, [("$.n", "minimum")]),
        (["abc", "seven"], None, [("$.n", "type")]),
        (["abc", "\u0667"], None, [("$.n", "type")]),
        (["abc", "9" * 19], None, [("$.n", "maximum")]),
        (["abc"], None, [("$", "key")]),
        (["abc", "7", "x"], None, [("$", "key")]),
    ],
    ids=str,
)
def test_key_from_the_path(make_resource, segments, key, errors):
    resource = make_resource(KEYS, ingest={"key": ["id", "n"]}, required=["id", "n"])

    parsed, found = Validator(resource).parse_key(segments)

    assert parsed == key
    assert [(error.path, error.rule) for error in found] == errors


def test_tombstone_needs_the_key_alone(make_resource):
    validator = Validator(make_resource({"other": TEXT}, required=["id", "other"]))

    assert validator.key_errors({"id": "1"}) == []
    assert [error.rule for error in validator.key_errors({})] == ["required"]


def test_paths_of_odd_names_are_quoted(make_resource):
    schema = TEXT | {"x-bigquery": {"name": "odd"}}

    [error] = Validator(make_resource({"odd name": schema})).errors({"id": "1", "odd name": 1})

    assert error.path == "$['odd name']"
