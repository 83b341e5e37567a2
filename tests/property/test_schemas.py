"""What holds for any record, not only for the examples."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.registry import SCHEMAS_DIR, load_registry
from schemas.validation import Validator

REGISTRY = load_registry()
VALIDATORS = {name: Validator(resource) for name, resource in REGISTRY.items()}
FULL = {
    name: max(
        (
            json.loads(path.read_bytes())
            for path in (SCHEMAS_DIR / "examples" / name).glob("*.pass.json")
        ),
        key=len,
    )
    for name in REGISTRY
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children),
    max_leaves=12,
)


@pytest.mark.parametrize("name", REGISTRY)
@given(value=json_values)
def test_validator_takes_any_json_and_agrees_with_itself(name, value):
    validator = VALIDATORS[name]

    assert validator.is_valid(value) == (validator.errors(value) == [])


@pytest.mark.parametrize("name", REGISTRY)
@given(data=st.data())
def test_error_messages_never_hold_what_was_sent(name, data):
    record = dict(FULL[name])
    field = data.draw(st.sampled_from(sorted(record)))
    mark = "x7Q" + data.draw(st.text("abcdefgh", min_size=8, max_size=12)) + "Q7x"
    record[field] = data.draw(st.sampled_from([mark, [mark], {mark: mark}, {"value": mark}]))
    record[mark] = mark

    assert mark not in repr(VALIDATORS[name].errors(record))


@pytest.mark.parametrize("name", REGISTRY)
@given(extra=st.dictionaries(st.text("abcXYZ_-. é", min_size=10, max_size=14), json_values))
@settings(max_examples=30)
def test_unknown_fields_never_make_a_record_invalid(name, extra):
    assert VALIDATORS[name].is_valid(FULL[name] | extra)


@pytest.mark.parametrize("name", REGISTRY)
def test_a_record_survives_json(name):
    assert VALIDATORS[name].is_valid(orjson.loads(orjson.dumps(FULL[name])))
