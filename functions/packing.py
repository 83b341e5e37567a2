"""Makes Pub/Sub messages of accepted records: one alone, or many packed as NDJSON."""

import uuid
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from functions.audit import EVENT_NAMESPACE, audit_columns
from functions.topic import MessageMould
from schemas import limits
from schemas.registry import Resource

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
UPSERT: Final = "upsert"
DELETE: Final = "delete"


class Envelope(NamedTuple):
    """What all messages of one request say about themselves.

    Attributes:
        op: UPSERT or DELETE.
        request_id: Of the HTTP request.
        key_id: Of the API key.
        now: When the records were accepted.
        is_repeatable: Whether a repeat of the request gets the same event ids.
        traceparent: W3C trace context, if there is one.
    """

    op: str
    request_id: str
    key_id: str
    now: str
    is_repeatable: bool
    traceparent: str | None


class Packer:
    """Packs the records of one resource.

    Args:
        resource: Its name and version go with every message.
    """

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        # A message differs from the next in its ids and data alone. Bounded by the number of keys.
        self._moulds: dict[tuple[str, str, str], MessageMould] = {}

    def pack(
        self, envelope: Envelope, records: Sequence[bytes], event_ids: Sequence[str]
    ) -> list[bytes]:
        """Return the records as encoded messages, each with its audit columns.

        Args:
            envelope: Of the request.
            records: Canonical JSON of non-empty objects.
            event_ids: One for each record.
        """
        audit = audit_columns(
            envelope.now, envelope.key_id, envelope.request_id, is_active=envelope.op == UPSERT
        )
        lines = [
            b'%b,%b%b"}' % (record[:-1], audit, event_id.encode())
            for record, event_id in zip(records, event_ids, strict=True)
        ]
        if len(lines) == 1:
            return [self._message(envelope, JSON, lines[0], event_ids[0])]
        return [
            self._pack(envelope, lines[start:end], event_ids[start:end])
            for start, end in _packs(lines)
        ]

    def _pack(self, envelope: Envelope, lines: Sequence[bytes], event_ids: Sequence[str]) -> bytes:
        if len(lines) == 1:
            return self._message(envelope, JSON, lines[0], event_ids[0])
        # An event id is new with every request, unless it is made to be the same in a repeat.
        dedup_id = event_ids[0]
        if envelope.is_repeatable:
            dedup_id = str(uuid.uuid5(EVENT_NAMESPACE, ",".join(event_ids)))
        return self._message(envelope, NDJSON, b"\n".join(lines), dedup_id)

    def _message(self, envelope: Envelope, content_type: str, data: bytes, dedup_id: str) -> bytes:
        """Encode one message; its attributes hold ids, names and versions, never the data's own."""
        of = (envelope.op, envelope.key_id, content_type)
        mould = self._moulds.get(of)
        if mould is None:
            mould = self._moulds[of] = MessageMould(
                {
                    "resource": self._resource.name,
                    "schema_version": str(self._resource.version),
                    "op": envelope.op,
                    "key_id": envelope.key_id,
                    "content_type": content_type,
                }
            )
        return mould.cast(data, envelope.request_id, dedup_id, envelope.traceparent)


def _packs(lines: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yield slices within PACK_MAX_RECORDS and PACK_MAX_BYTES; a line beyond it goes alone."""
    start, size = 0, 0
    for index, line in enumerate(lines):
        longer = size + len(line) + 1
        if index > start and (
            index - start == limits.PACK_MAX_RECORDS or longer - 1 > limits.PACK_MAX_BYTES
        ):
            yield start, index
            start, longer = index, len(line) + 1
        size = longer
    yield start, len(lines)
