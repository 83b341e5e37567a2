import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulators.pubsub.filters import parse_filter
from emulators.rpc import StatusError

NONE: dict[str, str] = {}
A1 = {"a": "1"}
A12 = {"a": "12"}
B = {"b": "1"}
AB = {"a": "1", "b": "1"}
C = {"c": "1"}
EVERY = (NONE, A1, A12, B, AB, C)


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ("attributes:a", (A1, A12, AB)),
        ('attributes:"a"', (A1, A12, AB)),
        ('attributes.a = "1"', (A1, AB)),
        ('attributes.a="1"', (A1, AB)),
        ('attributes."a" = "1"', (A1, AB)),
        ('attributes.a = "\\x31"', (A1, AB)),
        ('attributes.a != "1"', (NONE, A12, B, C)),
        ('hasPrefix(attributes.a, "1")', (A1, A12, AB)),
        ('hasPrefix(attributes.a, "")', (A1, A12, AB)),
        ("NOT attributes:a", (NONE, B, C)),
        ("-attributes:a", (NONE, B, C)),
        ("NOT NOT attributes:a", (A1, A12, AB)),
        ("attributes:a AND attributes:b", (AB,)),
        ("attributes:a AND NOT attributes:b", (A1, A12)),
        ("NOT attributes:a AND NOT attributes:b", (NONE, C)),
        ("attributes:a OR attributes:b", (A1, A12, B, AB)),
        ("attributes:a OR attributes:b OR attributes:c", (A1, A12, B, AB, C)),
        ("(attributes:a AND attributes:b) OR attributes:c", (AB, C)),
        ("attributes:a AND (attributes:b OR attributes:c)", (AB,)),
        ("NOT (attributes:a OR attributes:b)", (NONE, C)),
        ("((attributes:c))", (C,)),
        ("  attributes:c  ", (C,)),
    ],
)
def test_filter_lets_through(text, passing):
    predicate = parse_filter(text)
    assert predicate is not None
    assert tuple(item for item in EVERY if predicate(item)) == passing


@pytest.mark.parametrize(
    "key", ["iana.org/language_tag", "a b", 'quote"d', "ключ", "AND"], ids=ascii
)
def test_any_key_may_be_a_string(key):
    escaped = key.replace('"', '\\"')
    predicate = parse_filter(f'attributes."{escaped}" = "v"')
    assert predicate is not None
    assert predicate({key: "v"})
    assert not predicate({})


@pytest.mark.parametrize("text", ["", "  "])
def test_no_filter_lets_everything_through(text):
    assert parse_filter(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("attributes", "expected"),
        ("attributes:", "expected the key"),
        ("attributes.a", "expected !="),
        ("attributes.a = 1", "expected a string"),
        ("attributes.a = '1'", "no meaning"),
        ('attributes.a == "1"', "expected a string"),
        ('attributes.a = "1', "no meaning"),
        ('attributes.a = "\\q"', "no meaning"),
        ('attributes.a < "1"', "no meaning"),
        ('data = "1"', "expected attributes"),
        ("attributes:a AND", "expected attributes"),
        ("attributes:a and attributes:b", "expected AND, OR"),
        ("attributes:a attributes:b", "expected AND, OR"),
        ("attributes:a AND attributes:b OR attributes:c", "need parentheses"),
        ("attributes:a OR attributes:b AND attributes:c", "need parentheses"),
        ("(attributes:a", "expected )"),
        ("attributes:a)", "expected AND, OR or the end"),
        ("attributes:AND", "expected the key"),
        ('hasPrefix(attributes:a, "1")', "expected ."),
        ('hasPrefix(attributes.a "1")', "expected ,"),
        ("NOT", "expected attributes"),
    ],
)
def test_bad_filter_says_where(text, reason):
    with pytest.raises(StatusError, match="Invalid filter, at character") as caught:
        parse_filter(text)
    assert reason in caught.value.message


@pytest.mark.parametrize("length", [256, 257])
def test_filter_has_a_length(length):
    text = 'attributes.a = "'
    text += "x" * (length - len(text) - 1) + '"'
    if length == 256:
        assert parse_filter(text) is not None
        return
    with pytest.raises(StatusError, match="256 bytes"):
        parse_filter(text)


@given(st.text(st.sampled_from('attributes:."=!()-NOTADR hasPrefix,\\x1\n\0ä'), max_size=60))
def test_any_text_is_a_filter_or_refused(text):
    try:
        predicate = parse_filter(text)
    except StatusError:
        return
    if predicate is not None:
        assert predicate({}) in (True, False)
