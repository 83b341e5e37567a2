"""The corners of JSON: what becomes of each, at the edge and again in the pipeline."""

import asyncio
from typing import NamedTuple

import orjson
import pytest
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.pvalue import TaggedOutput

from beam_pipeline.row_message import row_class
from beam_pipeline.transforms.decode import Decode
from beam_pipeline.transforms.encode import Encode, record_encoder
from beam_pipeline.transforms.validate import Validate
from functions.media import JSON
from functions.problems import Problem
from functions.records import Sieve
from schemas import limits
from schemas.validation import Validator
from tests.fixtures.pipeline import AUDIT, PUBLISHED

PROPERTIES = {
    "text": {"type": "string"},
    "n": {"type": "integer"},
    "f": {"type": "number"},
    "price": {"type": "number", "x-bigquery": {"type": "NUMERIC"}},
    "exact": {"type": "string", "x-bigquery": {"type": "NUMERIC"}},
    "day": {"type": "string", "format": "date"},
    "at": {"type": "string", "format": "date-time"},
    "list": {"type": "array", "items": {"type": "integer"}},
}


class Kept(NamedTuple):
    """The record is loaded, and this column of its row, or unknown field, has this value."""

    name: str
    value: object


class Refused(NamedTuple):
    """The record breaks this rule at this path."""

    path: str
    rule: str


NOT_JSON = "invalid_json"


def deep(levels):
    """A field whose record nests so deep, itself counted."""
    return b'"x":' + b"[" * (levels - 1) + b"]" * (levels - 1)


MEGABYTE = 1_000_000
# The fields beside the key → what becomes of them. Where the pipeline differs, which sees what
# others publish, its outcome follows.
CASES = {
    # Names
    "a name twice": (b'"text":"a","text":"b"', Kept("text", "b")),
    "a name twice, the last is wrong": (b'"n":1,"n":"x"', Refused("$.n", "type")),
    "a name twice by an escape": (b'"text":"a","te\\u0078t":"b"', Kept("text", "b")),
    "an empty name": (b'"":1', Kept("", 1)),
    "__proto__": (b'"__proto__":{"admin":true}', Kept("__proto__", {"admin": True})),
    "constructor": (b'"constructor":"x"', Kept("constructor", "x")),
    "a name with NUL": (b'"a\\u0000b":1', Kept("a\0b", 1)),
    "a name in another case": (b'"TEXT":1', Kept("TEXT", 1)),
    "a name of 100 KB": (b'"' + b"k" * 100_000 + b'":1', Kept("k" * 100_000, 1)),
    "a name of the system": (b'"publish_ts":1', Refused("$.publish_ts", "reserved")),
    # Numbers
    "NaN": (b'"f":NaN', NOT_JSON),
    "Infinity": (b'"f":Infinity', NOT_JSON),
    "-Infinity in an unknown field": (b'"x":-Infinity', NOT_JSON),
    "1e400": (b'"f":1e400', NOT_JSON),
    "1E400 in an unknown field": (b'"x":[1E400]', NOT_JSON),
    "-1e400": (b'"f":-1e400', NOT_JSON),
    "1e-400": (b'"f":1e-400', Kept("f", 0.0)),
    "the largest double": (b'"f":1.7976931348623157e308', Kept("f", 1.7976931348623157e308)),
    "400 digits": (b'"f":' + b"9" * 400, NOT_JSON),
    "400 decimals": (b'"f":0.' + b"3" * 400, Kept("f", 1 / 3)),
    "-0": (b'"n":-0', Kept("n", 0)),
    "-0.0": (b'"n":-0.0', Kept("n", 0)),
    "a leading zero": (b'"n":01', NOT_JSON),
    "a leading plus": (b'"n":+1', NOT_JSON),
    "hexadecimal": (b'"n":0x10', NOT_JSON),
    "an integer as 1.0": (b'"n":1.0', Kept("n", 1)),
    "an integer as 1e3": (b'"n":1e3', Kept("n", 1000)),
    "a fraction": (b'"n":1.5', Refused("$.n", "type")),
    "2^63 - 1": (b'"n":9223372036854775807', Kept("n", 2**63 - 1)),
    "2^63": (b'"n":9223372036854775808', Refused("$.n", "maximum")),
    "-2^63": (b'"n":-9223372036854775808', Kept("n", -(2**63))),
    "-2^63 - 1": (b'"n":-9223372036854775809', Refused("$.n", "minimum")),
    "2^63 as a double": (b'"n":9223372036854775808.0', Refused("$.n", "maximum")),
    "30 digits": (b'"n":' + b"9" * 30, Refused("$.n", "maximum")),
    "2^63 in a list": (b'"list":[1,9223372036854775808]', Refused("$.list[1]", "maximum")),
    "2^64 - 1 in an unknown field": (b'"x":18446744073709551615', Kept("x", 2**64 - 1)),
    "2^64 in an unknown field": (b'"x":18446744073709551616', Kept("x", 2.0**64)),
    "a boolean for a number": (b'"n":true', Refused("$.n", "type")),
    "a string for a number": (b'"n":"1"', Refused("$.n", "type")),
    "money of 9 decimals": (b'"price":0.000000001', Kept("price", "0.000000001")),
    "money of 10 decimals": (b'"price":0.0000000001', Refused("$.price", "multipleOf")),
    "money of 2^53": (b'"price":9007199254740992', Refused("$.price", "maximum")),
    "NUMERIC of 29 digits": (
        b'"exact":"' + b"9" * 29 + b'.999999999"', Kept("exact", "9" * 29 + ".999999999")
    ),
    "NUMERIC of 30 digits": (b'"exact":"' + b"9" * 30 + b'"', Refused("$.exact", "range")),
    "NUMERIC of 10 decimals": (b'"exact":"0.0000000001"', Refused("$.exact", "range")),
    "NUMERIC that is NaN": (b'"exact":"NaN"', Refused("$.exact", "range")),
    # Dates and times
    "the year 0": (b'"day":"0000-12-31"', Refused("$.day", "range")),
    "the year 1": (b'"day":"0001-01-01"', Kept("day", -719_162)),
    "the year 10000": (b'"day":"10000-01-01"', Refused("$.day", "format")),
    "no leap year": (b'"day":"2023-02-29"', Refused("$.day", "format")),
    "an instant before the year 1": (
        b'"at":"0001-01-01T00:00:00+01:00"', Refused("$.at", "range")
    ),
    "an instant after the year 9999": (
        b'"at":"9999-12-31T23:59:59-01:00"', Refused("$.at", "range")
    ),
    "a time without offset": (b'"at":"2026-01-01T00:00:00"', Refused("$.at", "format")),
    # Strings
    "NUL": (b'"text":"a\\u0000b"', Kept("text", "a\0b")),
    "NUL that is not escaped": (b'"text":"a\0b"', NOT_JSON),
    "a line break that is not escaped": (b'"text":"a\nb"', NOT_JSON),
    "a pair of surrogates": (b'"text":"\\ud83d\\ude00"', Kept("text", "\U0001f600")),
    "a lone high surrogate": (b'"text":"\\ud800"', NOT_JSON),
    "a lone low surrogate": (b'"text":"\\udc00x"', NOT_JSON),
    "a lone surrogate in a name": (b'"\\ud800":1', NOT_JSON),
    "a surrogate in UTF-8": (b'"text":"\xed\xa0\x80"', NOT_JSON),
    "overlong UTF-8": (b'"text":"\xc0\xaf"', NOT_JSON),
    "UTF-8 beyond Unicode": (b'"text":"\xf4\x90\x80\x80"', NOT_JSON),
    "UTF-8 cut short": (b'"text":"\xe2\x82"', NOT_JSON),
    "Latin-1": (b'"text":"M\xfcller"', NOT_JSON),
    "a byte order mark in a string": (b'"text":"\xef\xbb\xbfa"', Kept("text", "\ufeffa")),
    "a noncharacter": (b'"text":"\xef\xbf\xbf"', Kept("text", "\uffff")),
    "a combining accent stays apart": (b'"text":"e\xcc\x81"', Kept("text", "e\u0301")),
    "single quotes": (b"'text':'a'", NOT_JSON),
    "an unknown escape": (b'"text":"\\x41"', NOT_JSON),
    "a string of nearly 1 MB": (
        b'"text":"' + b"s" * 999_900 + b'"', Kept("text", "s" * 999_900)
    ),
    "a string of 1 MB": (
        b'"text":"' + b"s" * MEGABYTE + b'"', Refused("$", "maxBytes"), Kept("text", "s" * MEGABYTE)
    ),
    # Shapes
    "a comment": (b'/* a */"n":1', NOT_JSON),
    "a trailing comma": (b'"n":1,', NOT_JSON),
    "the deepest": (deep(limits.MAX_DEPTH), None),
    "one deeper": (deep(limits.MAX_DEPTH + 1), Refused("$", "maxDepth")),
    "254 deep": (deep(254), Refused("$", "maxDepth")),
    "5,000 deep": (deep(5_000), NOT_JSON),
    "an array of 100,000": (
        b'"list":[' + b"1," * 99_999 + b"1]", Kept("list", [1] * 100_000)
    ),
    "100,000 names": (
        b",".join(b'"k%d":1' % i for i in range(70_000)), Kept("k69999", 1)
    ),
}  # fmt: skip
WHOLE = {
    "a byte order mark": (b'\xef\xbb\xbf{"id":"1","n":1}', Kept("n", 1), NOT_JSON),
    "UTF-16": ('{"id":"1"}'.encode("utf-16"), NOT_JSON),
    "UTF-16 without mark": ('{"id":"1"}'.encode("utf-16-be"), NOT_JSON),
    "UTF-32": ('{"id":"1"}'.encode("utf-32"), NOT_JSON),
    "two documents": (b'{"id":"1"}{"id":"2"}', NOT_JSON),
    "white space around": (b' \t\r\n{"id":"1","n":1} \n', Kept("n", 1)),
    "a form feed around": (b'\x0c{"id":"1"}', NOT_JSON),
    "NUL behind": (b'{"id":"1"}\0', NOT_JSON),
    "a string": (b'"id"', Refused("$", "notObject")),
    "null": (b"null", Refused("$", "notObject")),
    "a number": (b"1", Refused("$", "notObject")),
    "an array in an array": (b'[["id"]]', Refused("$", "notObject")),
}


def cases():
    for name, (fields, edge, *pipeline) in CASES.items():
        body = b'{"id":"1",' + fields + b"}"
        yield pytest.param(body, edge, (pipeline or [edge])[0], id=name)
    for name, (body, edge, *pipeline) in WHOLE.items():
        yield pytest.param(body, edge, (pipeline or [edge])[0], id=name)


@pytest.fixture
def widgets(make_resource):
    return make_resource(PROPERTIES)


def at_the_edge(resource, body):
    """Return the record's canonical line, or why there is none."""
    sieve = Sieve(Validator(resource), asyncio.Lock())
    try:
        sifted = asyncio.run(sieve.sift(body, JSON))
    except Problem as problem:
        return None, problem.kind.code
    if sifted.bad:
        [[error]] = sifted.bad.values()
        return None, Refused(error.path, error.rule)
    return sifted.good[0], None


def in_the_pipeline(resource, data):
    """Return the record's row, or why there is none."""
    steps = [Decode(resource.name, resource.version), Validate(resource), Encode(resource)]
    elements = [PubsubMessage(data, {"op": "upsert", "schema_version": "1"}, "m", PUBLISHED)]
    for step in steps:
        step.setup()
        step.start_bundle()
        outputs = [output for element in elements for output in step.process(element)]
        outputs += [last.value for last in step.finish_bundle() or ()]
        [output] = outputs
        if isinstance(output, TaggedOutput):
            letter = output.value
            assert letter.payload == data
            if letter.code == NOT_JSON:
                return None, NOT_JSON
            [error] = letter.errors
            return None, Refused(error.path, error.rule)
        elements = [output]
    [[row]] = elements
    return row_class(record_encoder(resource).descriptor).FromString(row.data), None


def check_kept(resource, row, outcome):
    if outcome is None:
        return
    if outcome.name in {column.name for column in resource.columns}:
        value = getattr(row, outcome.name)
        assert (list(value) if isinstance(outcome.value, list) else value) == outcome.value
    else:
        assert orjson.loads(row.additional_fields)[outcome.name] == outcome.value


@pytest.mark.parametrize(("body", "edge", "pipeline"), list(cases()))
def test_what_becomes_of(widgets, body, edge, pipeline):
    line, refusal = at_the_edge(widgets, body)
    if edge is None or isinstance(edge, Kept):
        assert refusal is None
        # As it is published.
        row, refusal = in_the_pipeline(widgets, orjson.dumps(AUDIT)[:-1] + b"," + line[1:])
        assert refusal is None
        check_kept(widgets, row, edge)
    else:
        assert refusal == edge

    # The same bytes from somebody who publishes to the topic himself.
    start = body.find(b"{")
    raw = body
    if start >= 0:
        raw = body[: start + 1] + orjson.dumps(AUDIT)[1:-1] + b"," + body[start + 1 :]
    row, refusal = in_the_pipeline(widgets, raw)
    if pipeline is None or isinstance(pipeline, Kept):
        assert refusal is None
        check_kept(widgets, row, pipeline)
    else:
        assert refusal == pipeline
