"""Messages become records; whatever does not is told of with its own bytes."""

import orjson
import pytest
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.pvalue import TaggedOutput

from beam_pipeline.transforms.decode import CHUNK_BYTES, CHUNK_RECORDS, Decode
from schemas import limits
from tests.fixtures.pipeline import AUDIT, PUBLISHED, message

SECRET = "SSN 078-05-1120"
PUBLISHED_US = 1_767_323_046_000_000
CREATED_US = 1_767_323_045_678_901
DEEP = b"[" * 5_000 + b"]" * 5_000


def nested(depth):
    """An object that nests this deep, itself counted."""
    return orjson.dumps(AUDIT)[:-1] + b',"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def decode_bundle(*elements):
    """Return the chunks and the dead letters of one bundle."""
    step = Decode("widgets", version=3)
    step.start_bundle()
    outputs = [output for element in elements for output in step.process(element)]
    outputs += [last.value for last in step.finish_bundle()]
    dead = [output.value for output in outputs if isinstance(output, TaggedOutput)]
    chunks = [output for output in outputs if not isinstance(output, TaggedOutput)]
    assert all(0 < len(chunk) <= CHUNK_RECORDS for chunk in chunks)
    return chunks, dead


def decode(element):
    chunks, dead = decode_bundle(element)
    return [record for chunk in chunks for record in chunk], dead


def one_dead(element):
    records, dead = decode(element)
    assert records == []
    assert len(dead) == 1
    assert SECRET not in dead[0].message + str(dead[0].errors)
    return dead[0]


def test_a_single_record():
    sent = message({"id": "a"})
    (record,), dead = decode(sent)
    assert dead == []
    assert record.fields == {"id": "a"}
    assert record.system == {
        "created_ts": CREATED_US,
        "updated_ts": CREATED_US,
        "created_by": "hospital-a",
        "is_active": True,
        "event_id": "0190-event",
        "request_id": "0190-request",
        "schema_version": 1,
        "publish_ts": PUBLISHED_US,
    }
    assert (record.position, record.line, record.event_id) == (0, sent.data, "0190-event")
    assert record.envelope.attributes == sent.attributes
    assert (record.envelope.message_id, record.envelope.op) == ("m-1", "upsert")


@pytest.mark.parametrize("count", [1, CHUNK_RECORDS, CHUNK_RECORDS + 1, 500])
def test_a_packed_message(count):
    records, dead = decode(message(*({"id": str(n)} for n in range(count)), packed=True))
    assert [record.fields["id"] for record in records] == [str(n) for n in range(count)]
    assert [record.position for record in records] == list(range(count))
    assert len({id(record.envelope) for record in records}) == 1
    assert dead == []


def singles(count, op="upsert"):
    return [message({"id": str(n), "is_active": op == "upsert"}, op=op) for n in range(count)]


def test_messages_of_a_bundle_go_on_together():
    chunks, dead = decode_bundle(*singles(CHUNK_RECORDS + 1))
    assert [len(chunk) for chunk in chunks] == [CHUNK_RECORDS, 1]
    ids = [record.fields["id"] for chunk in chunks for record in chunk]
    assert ids == [str(n) for n in range(CHUNK_RECORDS + 1)]
    assert dead == []


def test_a_chunk_has_one_op():
    chunks, dead = decode_bundle(*singles(2), *singles(3, op="delete"), *singles(1))
    ops = [[record.envelope.op for record in chunk] for chunk in chunks]
    assert ops == [["upsert"] * 2, ["delete"] * 3, ["upsert"]]
    assert dead == []


def test_large_records_go_on_at_once():
    chunks, _ = decode_bundle(*[message({"id": "a", "x": "x" * CHUNK_BYTES})] * 2)
    assert [len(chunk) for chunk in chunks] == [1, 1]


def test_a_failed_bundle_leaves_nothing_behind():
    step = Decode("widgets", version=3)
    step.start_bundle()
    assert list(step.process(message({"id": "a"}))) == []
    step.start_bundle()
    assert list(step.finish_bundle()) == []


def test_the_last_of_a_bundle_have_their_publish_time():
    step = Decode("widgets", version=3)
    step.start_bundle()
    list(step.process(message({"id": "a"})))
    [last] = step.finish_bundle()
    assert last.timestamp.micros == PUBLISHED_US


def test_a_bad_line_leaves_its_neighbours_alone():
    records, dead = decode(message({"id": "a"}, b'{"id": ', {"id": "c"}, packed=True))
    assert [record.position for record in records] == [0, 2]
    assert [(d.code, d.position, d.payload) for d in dead] == [("invalid_json", 1, b'{"id": ')]


def test_empty_lines_are_none():
    records, dead = decode(message(b"", {"id": "a"}, b"  \r", {"id": "b"}, b"", packed=True))
    assert [record.position for record in records] == [0, 1]
    assert dead == []


def test_without_attributes_the_subscription_speaks():
    data = orjson.dumps(AUDIT | {"id": "a"})
    (record,), _ = decode(PubsubMessage(data, None, "m-1", PUBLISHED))
    assert record.system["schema_version"] == 3
    assert record.envelope.op == "upsert"


def test_a_tombstone():
    (record,), dead = decode(message({"id": "a", "is_active": False}, op="delete"))
    assert dead == []
    assert (record.envelope.op, record.system["is_active"]) == ("delete", False)


@pytest.mark.parametrize(
    "data",
    [b"", b" ", b"{", b"\xff\xfe", b"\xef\xbb\xbf{}", b"NaN", b"{}{}", b'"\\ud800"', DEEP, b"\0"],
    ids=lambda data: repr(data[:8]),
)
@pytest.mark.parametrize("packed", [False, True])
def test_not_json(data, packed):
    dead = one_dead(message(data, packed=packed))
    assert (dead.stage, dead.code, dead.payload) == ("decode", "invalid_json", data)
    assert dead.event_id is None


@pytest.mark.parametrize("data", [b"[]", b"null", b"1", b'"SSN 078-05-1120"', b"[{}]"])
def test_not_an_object(data):
    dead = one_dead(message(data))
    assert (dead.code, dead.errors[0].rule) == ("invalid_record", "notObject")


def test_the_deepest_that_is_taken():
    records, dead = decode(message(nested(limits.MAX_DEPTH)))
    assert (len(records), dead) == (1, [])


def test_one_deeper():
    dead = one_dead(message(nested(limits.MAX_DEPTH + 1)))
    assert (dead.code, dead.errors[0].rule) == ("invalid_record", "maxDepth")
    assert dead.event_id == "0190-event"


def test_many_brackets_are_not_deep():
    records, _ = decode(message({"id": "a", "x": [[] for _ in range(limits.MAX_DEPTH + 1)]}))
    assert len(records) == 1


def test_the_last_of_repeated_names_counts():
    (record,), _ = decode(message(orjson.dumps(AUDIT)[:-1] + b',"id":"a","id":"b"}'))
    assert record.fields == {"id": "b"}


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"resource": "gadgets"}, "resource_mismatch"),
        ({"resource": ""}, "resource_mismatch"),
        ({"op": "merge"}, "invalid_attributes"),
        ({"schema_version": "one"}, "invalid_attributes"),
        ({"schema_version": "-1"}, "invalid_attributes"),
        ({"schema_version": "1.0"}, "invalid_attributes"),
        ({"schema_version": "²"}, "invalid_attributes"),
        ({"schema_version": "9" * 30}, "invalid_attributes"),
    ],
)
def test_wrong_attributes_make_every_record_a_dead_letter(attributes, code):
    records, dead = decode(message({"id": "a"}, b"{", packed=True, **attributes))
    assert records == []
    assert [(d.code, d.position) for d in dead] == [(code, 0), (code, 1)]
    assert dead[0].event_id == "0190-event"


@pytest.mark.parametrize("name", AUDIT)
def test_an_audit_field_is_missing(name):
    record = {key: value for key, value in AUDIT.items() if key != name}
    dead = one_dead(message(orjson.dumps(record | {"id": "a"})))
    assert dead.code == "invalid_audit"
    assert [(error.path, error.rule) for error in dead.errors] == [(f"$.{name}", "required")]
    assert dead.event_id == AUDIT["event_id"] if name != "event_id" else dead.event_id is None


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("created_ts", SECRET, "format"),
        ("created_ts", "2026-01-01T00:00:00", "format"),
        ("updated_ts", 5, "type"),
        ("created_by", "", "minLength"),
        ("created_by", [SECRET], "type"),
        ("event_id", 7, "type"),
        ("request_id", {}, "type"),
        ("is_active", "true", "type"),
        ("is_active", False, "const"),
    ],
)
def test_an_audit_field_is_wrong(name, value, rule):
    dead = one_dead(message({"id": "a", name: value}))
    assert [(error.path, error.rule) for error in dead.errors] == [(f"$.{name}", rule)]


def test_all_that_is_wrong_with_the_audit_fields_is_told():
    dead = one_dead(message(b'{"id":"a"}'))
    assert [error.path for error in dead.errors] == [f"$.{name}" for name in (
        "created_ts", "updated_ts", "created_by", "event_id", "request_id", "is_active",
    )]  # fmt: skip


def test_times_of_neighbours_are_not_mixed_up():
    other = "2026-01-02T03:04:05.678902Z"
    records, _ = decode(
        message({"id": "a"}, {"updated_ts": other}, {"created_ts": other}, {}, packed=True)
    )
    times = [(r.system["created_ts"], r.system["updated_ts"]) for r in records]
    a, b = CREATED_US, CREATED_US + 1
    assert times == [(a, a), (a, b), (b, a), (a, a)]
