import copy
import math

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decimals import split_decimals
from schemas.validation import Validator

MONEY = {"type": "number", "multipleOf": 0.01}


def split(schema):
    """Return whether a value is valid by the schema without its decimals and by their check."""
    rest = copy.deepcopy(schema)
    decimals_fit = split_decimals(rest)
    others_fit = jsonschema_rs.Draft202012Validator(rest).is_valid
    return lambda value: others_fit(value) and decimals_fit(value)


@pytest.mark.parametrize("places", range(1, 10))
@given(number=st.integers(-(10**13), 10**13), more=st.integers(0, 2))
def test_agrees_with_multiple_of(places, number, more):
    value = number / 10 ** (places + more)
    schema = {"properties": {"n": {"type": "number", "multipleOf": 10**-places}}}
    # Beyond 15 significant digits a double no longer tells its decimals.
    if abs(value) * 10 ** (places + more) < 10**15:
        expected = jsonschema_rs.Draft202012Validator(schema).is_valid({"n": value})
        assert split(schema)({"n": value}) == expected


@pytest.mark.parametrize("places", range(1, 10))
@given(data=st.data())
def test_agrees_with_exact_rounding(places, data):
    whole = st.integers(-(2**80), 2**80).map(lambda units: units / 10**places)
    beside = st.tuples(whole, st.sampled_from([-math.inf, math.inf])).map(
        lambda pair: math.nextafter(*pair)
    )
    anything = st.floats(-1e290, 1e290)
    value = data.draw(whole | beside | anything)
    schema = {"properties": {"n": {"type": "number", "multipleOf": 10**-places}}}
    assert split_decimals(schema)({"n": value}) == (round(value, places) == value)


NESTED = {
    "type": "object",
    "properties": {
        "total": MONEY,
        "lines": {
            "type": ["array", "null"],
            "items": {"type": "object", "properties": {"fee": {"$ref": "#/$defs/money"}}},
        },
        "cost": {"type": ["object", "null"], "properties": {"copay": MONEY}},
    },
    "$defs": {"money": MONEY},
}


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        ({}, True),
        ({"total": 1.25, "lines": [{"fee": 0.07}, {}], "cost": {"copay": 5}}, True),
        ({"total": None}, False),
        ({"total": 1.255}, False),
        ({"lines": [{"fee": 1.0}, {"fee": 0.001}]}, False),
        ({"cost": {"copay": 0.125}}, False),
        ({"lines": None, "cost": None}, True),
        ({"unknown": 0.001}, True),
        ({"total": "1.255"}, False),
    ],
    ids=str,
)
def test_finds_decimals_wherever_they_stand(value, is_valid):
    assert split(NESTED)(value) is is_valid


def test_other_multiples_stay_with_the_schema():
    schema = {"properties": {"n": {"type": "number", "multipleOf": 0.25}}}

    assert split(schema)({"n": 0.75})
    assert not split(schema)({"n": 0.8})


def test_what_a_condition_refers_to_stays_whole():
    schema = {
        "properties": {"a": {"type": "string"}, "n": {"type": "number"}},
        "if": {"properties": {"a": {"const": "money"}}},
        "then": {"properties": {"n": {"$ref": "#/$defs/money"}}},
        "$defs": {"money": MONEY},
    }

    assert split(schema)({"a": "other", "n": 0.001})
    assert not split(schema)({"a": "money", "n": 0.001})


def test_validator_reports_what_it_refuses(make_resource):
    validator = Validator(make_resource({"fee": MONEY}))

    assert validator.is_valid({"id": "1", "fee": 0.07})
    assert not validator.is_valid({"id": "1", "fee": 0.071})
    assert [e.rule for e in validator.errors({"id": "1", "fee": 0.071})] == ["multipleOf"]
