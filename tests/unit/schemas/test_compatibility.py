import copy

import pytest

from schemas.bounds import bounded
from schemas.compatibility import breaking_changes, self_contained
from tests.fixtures.contracts import contract

TEXT = {"type": "string"}
PROPERTIES = {
    "text": {"type": "string", "minLength": 2, "maxLength": 9, "pattern": "^a"},
    "number": {"type": "integer", "minimum": 1, "maximum": 9},
    "choice": {"type": "string", "enum": ["a", "b"]},
    "maybe": {"type": ["string", "null"]},
    "items": {"type": "array", "items": {"type": "object", "properties": {"x": TEXT, "y": TEXT}}},
}


def changes(**edits):
    """Compare the contract above with itself after edits given as path=value."""
    old = contract(properties=copy.deepcopy(PROPERTIES))
    new = copy.deepcopy(old)
    for path, value in edits.items():
        *steps, last = path.split("__")
        node = new
        for step in steps:
            node = node[step]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return breaking_changes(bounded(old), bounded(new))


@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"properties__more": TEXT},
        {"properties__items__items__properties__z": TEXT},
        {"properties__text__maxLength": 10},
        {"properties__text__maxLength": None},
        {"properties__text__minLength": 1},
        {"properties__text__pattern": None},
        {"properties__choice__enum": ["a", "b", "c"]},
        {"properties__text__type": ["string", "null"]},
        {"properties__text__description": "Said anew."},
        {"title": "Renamed"},
    ],
    ids=str,
)
def test_what_breaks_nobody(edits):
    assert changes(**edits) == []


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ({"properties__text": None}, "column text is removed"),
        ({"properties__items__items__properties__x": None}, "column items.x is removed"),
        ({"properties__text__x-bigquery": {"name": "other"}}, "column text is removed"),
        (
            {"properties__number__type": "number"},
            "column number changes from INT64 NULLABLE to FLOAT64 NULLABLE",
        ),
        (
            {"properties__maybe": {"type": "array", "items": TEXT}},
            "column maybe changes from STRING NULLABLE to STRING REPEATED",
        ),
        ({"required": ["id", "text"]}, "$.text is newly required"),
        ({"properties__items__items__required": ["x"]}, "$.items[].x is newly required"),
        ({"properties__maybe__type": "string"}, "$.maybe no longer takes null"),
        ({"properties__choice__enum": ["a"]}, "$.choice no longer takes some of its values"),
        ({"properties__maybe__enum": ["a", None]}, "$.maybe is newly limited to some values"),
        ({"properties__text__maxLength": 8}, "$.text has a lower maxLength"),
        ({"properties__text__minLength": 3}, "$.text has a higher minLength"),
        ({"properties__maybe__maxLength": 5}, "$.maybe has a lower maxLength"),
        ({"properties__number__maximum": 8}, "$.number has a lower maximum"),
        ({"properties__text__pattern": "^b"}, "$.text has another pattern"),
        ({"properties__maybe__format": "email"}, "$.maybe has another format"),
        ({"properties__items__maxItems": 3}, "$.items has a lower maxItems"),
        ({"properties__items__uniqueItems": True}, "$.items has uniqueItems"),
        ({"x-ingest__partition": "HOUR"}, "$.x-ingest.partition changed"),
        ({"x-ingest__key": ["id", "text"]}, "$.x-ingest.key changed"),
        ({"x-ingest__unknown_fields": "reject"}, "$.x-ingest.unknown_fields no longer keeps"),
    ],
    ids=str,
)
def test_what_breaks_the_table_or_a_producer(edits, expected):
    assert any(change.startswith(expected) for change in changes(**edits))


def test_references_are_written_out():
    schema = {"properties": {"list": {"items": {"$ref": "#/$defs/n", "title": "N"}}}}

    result = self_contained(schema, {"n": {"type": "integer"}})

    assert result["properties"]["list"]["items"] == {"type": "integer", "title": "N"}
