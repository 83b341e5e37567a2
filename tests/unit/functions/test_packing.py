import uuid

import orjson
import pytest

from functions.audit import EVENT_NAMESPACE
from functions.google_rpc import PublishRequest
from functions.packing import DELETE, UPSERT, Envelope, Packer
from schemas import limits

NOW = "2026-01-02T03:04:05.678901Z"


@pytest.fixture
def packer(real_registry):
    return Packer(real_registry["patients"])


def envelope(op: str = UPSERT, *, is_repeatable: bool = False, traceparent: str | None = None):
    return Envelope(op, "the-request", "v1", NOW, is_repeatable, traceparent)


def ids(count: int) -> list[str]:
    return [str(uuid.UUID(int=number)) for number in range(count)]


def decode(encoded: bytes):
    (message,) = PublishRequest.FromString(encoded).messages
    return message


def test_one_record_is_one_json_message(packer):
    (encoded,) = packer.pack(envelope(), [b'{"a":1}'], ["e"]).messages
    message = decode(encoded)
    assert message.data == (
        b'{"a":1,"created_ts":"2026-01-02T03:04:05.678901Z",'
        b'"updated_ts":"2026-01-02T03:04:05.678901Z","created_by":"v1","is_active":true,'
        b'"request_id":"the-request","event_id":"e"}'
    )
    assert dict(message.attributes) == {
        "resource": "patients",
        "schema_version": "1",
        "op": "upsert",
        "request_id": "the-request",
        "key_id": "v1",
        "content_type": "application/json",
        "dedup_id": "e",
    }


def test_a_tombstone_says_so(packer):
    message = decode(packer.pack(envelope(DELETE), [b'{"a":1}'], ["e"]).messages[0])
    assert message.attributes["op"] == "delete"
    assert orjson.loads(message.data)["is_active"] is False


def test_many_records_are_packed_as_lines(packer):
    (encoded,) = packer.pack(envelope(), [b'{"a":1}', b'{"a":2}'], ids(2)).messages
    message = decode(encoded)
    assert message.attributes["content_type"] == "application/x-ndjson"
    lines = [orjson.loads(line) for line in message.data.split(b"\n")]
    assert [line["a"] for line in lines] == [1, 2]
    assert [line["event_id"] for line in lines] == ids(2)
    assert message.attributes["dedup_id"] == ids(1)[0]


def test_a_repeat_of_a_pack_has_the_same_dedup_id_and_others_another(packer):
    def dedup_id(records: list[bytes], event_ids: list[str]) -> str:
        (encoded,) = packer.pack(envelope(is_repeatable=True), records, event_ids).messages
        return decode(encoded).attributes["dedup_id"]

    records = [b'{"a":1}', b'{"a":2}']
    expected = str(uuid.uuid5(EVENT_NAMESPACE, ",".join(ids(2))))
    assert dedup_id(records, ids(2)) == dedup_id(records, ids(2)) == expected
    assert dedup_id([*records, b'{"a":3}'], ids(3)) != expected
    assert dedup_id(records[:1], ids(1)) == ids(1)[0]


def test_a_trace_goes_with_its_own_message_alone(packer):
    traced = decode(packer.pack(envelope(traceparent="00-a-b-01"), [b'{"a":1}'], ["e"]).messages[0])
    assert traced.attributes["traceparent"] == "00-a-b-01"
    assert (
        "traceparent"
        not in decode(packer.pack(envelope(), [b'{"a":1}'], ["e"]).messages[0]).attributes
    )


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(2, [2]), (500, [500]), (501, [500, 1]), (1000, [500, 500]), (1001, [500, 500, 1])],
)
def test_a_pack_holds_at_most_500_records(packer, count, sizes):
    packs = [decode(m) for m in packer.pack(envelope(), [b'{"a":1}'] * count, ids(count)).messages]
    assert [pack.data.count(b"\n") + 1 for pack in packs] == sizes
    last = packs[-1].attributes["content_type"]
    assert last == ("application/json" if sizes[-1] == 1 else "application/x-ndjson")
    dedup_ids = [pack.attributes["dedup_id"] for pack in packs]
    assert len(set(dedup_ids)) == len(packs)


def line_length(packer: Packer, record: bytes) -> int:
    return len(decode(packer.pack(envelope(), [record], ids(1)).messages[0]).data)


@pytest.mark.parametrize(("extra", "sizes"), [(0, [2]), (1, [1, 1])])
def test_a_pack_holds_at_most_a_megabyte(packer, extra, sizes):
    audit = line_length(packer, b'{"a":""}') - 8
    half = (limits.PACK_MAX_BYTES - 1) // 2  # and the newline between
    first = b'{"a":"' + b"x" * (half - audit - 8) + b'"}'
    rest = limits.PACK_MAX_BYTES - 1 - half + extra
    second = b'{"a":"' + b"x" * (rest - audit - 8) + b'"}'
    packs = packer.pack(envelope(), [first, second], ids(2)).messages
    assert [decode(pack).data.count(b"\n") + 1 for pack in packs] == sizes


def test_a_record_that_is_larger_than_a_pack_goes_alone(packer):
    large = b'{"a":"' + b"x" * limits.PACK_MAX_BYTES + b'"}'
    small = b'{"a":1}'
    packs = packer.pack(envelope(), [small, large, small, small], ids(4)).messages
    assert [decode(pack).data.count(b"\n") + 1 for pack in packs] == [1, 1, 2]
