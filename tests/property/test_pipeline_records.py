"""Whatever arrives is loaded or told of, and what is loaded is what was sent."""

import datetime
import json
import uuid
from decimal import Decimal

import apache_beam as beam
import orjson
import pytest
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.pvalue import TaggedOutput
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pipeline import column_values, dead_letters
from beam_pipeline.dead_letters import dead_letter_encoder
from beam_pipeline.options import VitalflowOptions
from beam_pipeline.pipeline import build_pipeline
from beam_pipeline.row_encoder import RowEncoder
from beam_pipeline.row_message import row_class
from beam_pipeline.transforms.decode import Decode
from beam_pipeline.transforms.encode import record_encoder
from beam_pipeline.transforms.validate import Validate
from schemas.registry import Column, load_registry
from tests.fixtures.pipeline import AUDIT, PUBLISHED, MemorySink, message

REGISTRY = load_registry()
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

names = st.text(max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
attribute_names = st.sampled_from(
    ["resource", "op", "schema_version", "content_type", "attempt", "key_id", "dedup_id", "x"]
)
attribute_values = st.sampled_from(
    ["patients", "upsert", "delete", "1", "application/x-ndjson", "application/json"]
) | st.text(max_size=5)
any_attributes = st.dictionaries(attribute_names, attribute_values, max_size=5)
audited = st.dictionaries(names, json_values, max_size=3).map(lambda r: orjson.dumps(AUDIT | r))
any_line = st.binary(max_size=40) | json_values.map(orjson.dumps) | audited
any_data = st.binary(max_size=200) | st.lists(any_line, max_size=5).map(b"\n".join)


def last_outputs(step):
    return [last.value for last in step.finish_bundle() or ()]


def outputs(step, element):
    good, dead = [], []
    for output in (*step.process(element), *last_outputs(step)):
        if isinstance(output, TaggedOutput):
            dead.append(output.value)
        else:
            good += output
    return good, dead


@given(data=any_data, attributes=any_attributes)
@settings(max_examples=500)
def test_no_bytes_crash_the_first_steps(data, attributes):
    decode, validate = Decode("patients", 1), Validate(REGISTRY["patients"])
    decode.start_bundle()
    validate.setup()
    validate.start_bundle()
    if not data and not attributes:
        attributes = {"op": "upsert"}  # Pub/Sub takes no message without either
    records, dead = outputs(decode, PubsubMessage(data, attributes, "m", PUBLISHED))
    lines = [data]
    if attributes.get("content_type", "").startswith("application/x-ndjson"):
        lines = [line for line in data.split(b"\n") if line.strip()] or [data]
    told = {record.position: record.line for record in records}
    told |= {letter.position: letter.payload for letter in dead}
    assert len(records) + len(dead) == len(lines)
    assert told == dict(enumerate(lines))
    if records:
        valid, invalid = outputs(validate, records)
        assert {r.position for r in records} == {r.position for r in (*valid, *invalid)}
        dead += invalid
    for letter in dead:  # each has a row
        row = row_class(dead_letter_encoder().descriptor).FromString(
            dead_letters.encode(letter, "v1")
        )
        assert (row.payload, json.loads(row.attributes)) == (letter.payload, attributes)


instants = st.datetimes(timezones=st.just(datetime.UTC))
VALUES = {
    "STRING": st.text(max_size=20),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "FLOAT64": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
    "BOOL": st.booleans(),
    "DATE": st.dates().map(datetime.date.isoformat),
    "TIMESTAMP": instants.map(lambda t: t.isoformat().replace("+00:00", "Z")),
    "NUMERIC": st.decimals(-(10**15), 10**15, places=4).map(str) | st.integers(-(10**9), 10**9),
    "JSON": st.dictionaries(names, json_values, max_size=3),
}  # fmt: skip


def instant(us):
    return (EPOCH + datetime.timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")


READ = {
    "DATE": lambda days: (EPOCH + datetime.timedelta(days)).date().isoformat(),
    "TIMESTAMP": instant,
    "NUMERIC": Decimal,
    "JSON": orjson.loads,
}


def records_of(columns, extra):
    """Records of these columns, each present, null or absent, with unknown names besides."""
    known = {column.name: value_of(column, extra) for column in columns}
    taken = {column.name for column in columns}
    unknown = st.dictionaries(
        st.text("abcXYZ_", min_size=1, max_size=4).filter(lambda n: n not in taken),
        json_values, max_size=2,
    )  # fmt: skip
    record = st.fixed_dictionaries({}, optional=known)
    return st.builds(lambda a, b: a | b, record, unknown) if extra else record


def value_of(column, extra):
    one = records_of(column.fields, extra) if column.type == "RECORD" else VALUES[column.type]
    return st.lists(one, max_size=3) if column.mode == "REPEATED" else st.none() | one


def normal(columns, record):
    """A record without nulls, unknown names and empty lists; numbers as Decimal."""
    result = {}
    for column in columns:
        value = record.get(column.name)
        if value is None or (column.mode == "REPEATED" and not value):
            continue
        values = value if column.mode == "REPEATED" else [value]
        values = [
            normal(column.fields, v) if column.type == "RECORD"
            else Decimal(str(v)) if column.type == "NUMERIC" else v
            for v in values
        ]  # fmt: skip
        result[column.name] = values if column.mode == "REPEATED" else values[0]
    return result


def decoded(columns, row):
    """A row's record by its JSON names."""
    result = {}
    for column in columns:
        if column.mode == "REPEATED":
            values = list(getattr(row, column.column))
        elif row.HasField(column.column):
            values = [getattr(row, column.column)]
        else:
            continue
        read = READ.get(column.type, lambda v: v)
        values = [decoded(column.fields, v) if column.type == "RECORD" else read(v) for v in values]
        if values:
            result[column.name] = values if column.mode == "REPEATED" else values[0]
    return result


def unknown_of(columns, record):
    """What the contract does not know of a record, in its place."""
    known = {column.name: column for column in columns}
    result = {}
    for name, value in record.items():
        column = known.get(name)
        if column is None:
            result[name] = value
        elif column.type == "RECORD" and value is not None:
            many = column.mode == "REPEATED"
            rest = [unknown_of(column.fields, v) for v in (value if many else [value])]
            if any(rest):
                result[name] = rest if many else rest[0]
    return result


def relaxed(columns):
    return tuple(
        Column(c.name, c.column, c.type, "NULLABLE" if c.mode == "REQUIRED" else c.mode,
               date_format=None, fields=relaxed(c.fields))
        for c in columns
    )  # fmt: skip


@pytest.mark.parametrize("resource", REGISTRY)
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_is_encoded_decodes_to_the_same_values(resource, data):
    columns = relaxed(REGISTRY[resource].columns)
    encoder = RowEncoder(columns, (Column("additional_fields", "additional_fields", "JSON"),))
    record = data.draw(records_of(columns, extra=data.draw(st.booleans())))
    row = row_class(encoder.descriptor).FromString(encoder.encode(record, {}))
    assert decoded(columns, row) == normal(columns, record)
    unknown = unknown_of(columns, record)
    assert (orjson.loads(row.additional_fields) if row.HasField("additional_fields") else {}) == (
        unknown
    )


@given(instants.map(lambda t: t.isoformat()))
def test_a_timestamp_is_read_to_the_microsecond(text):
    micros = column_values.timestamp_micros(text)
    assert EPOCH + datetime.timedelta(microseconds=micros) == datetime.datetime.fromisoformat(text)


lines = st.lists(
    st.sampled_from([{"id": "a"}, {"id": "b", "x": 1}, {"id": "POISON"}, {"id": 5}, {}, b"{"])
    | st.binary(max_size=20).filter(lambda b: b"\n" not in b and b.strip()),
    min_size=1, max_size=40,
)  # fmt: skip


@given(messages=st.lists(lines, max_size=4))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_good_and_dead_are_the_input(messages, make_resource):
    resource = make_resource()
    sink = MemorySink(uuid.uuid4().hex, widgets=b"POISON")
    options = VitalflowOptions(["--project=demo-project"])
    pipeline = beam.Pipeline(runner=FnApiRunner())
    elements = [message(*lines, packed=True) for lines in messages]
    build_pipeline(
        pipeline, options, {"widgets": resource},
        source=lambda _: beam.Create(elements, reshuffle=False), sink=sink,
    )  # fmt: skip
    pipeline.run().wait_until_finish()
    row = row_class(record_encoder(resource).descriptor)
    letter = row_class(dead_letter_encoder().descriptor)
    rows = [row.FromString(data) for data in sink.tables.get("widgets", [])]
    letters = [letter.FromString(data) for data in sink.tables.get("dead_letters", [])]
    sent = [line for element in elements for line in element.data.split(b"\n")]
    assert len(rows) + len(letters) == len(sent)
    good = [line for line in sent if b'"id":"a"' in line or b'"id":"b"' in line]
    assert len(rows) == len(good)
    assert sorted(d.payload for d in letters) == sorted(line for line in sent if line not in good)
