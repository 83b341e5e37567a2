"""Makes Pub/Sub messages of accepted records: one alone, or many packed as NDJSON."""

import uuid
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from functions.audit import EVENT_NAMESPACE, audit_columns
from functions.topic import join_message
from schemas import limits
from schemas.registry import Resource

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
UPSERT: Final = "upsert"
DELETE: Final = "delete"

# A record loses its last brace, and gains the audit columns, its event id and this.
_END: Final = b'"}\n'
_ADDED_BYTES: Final = -1 + 36 + len(_END)


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


class Packed(NamedTuple):
    """The messages of one request, encoded, and the first event id in each."""

    messages: list[bytes]
    first_event_ids: list[str]


class Packer:
    """Packs the records of one resource.

    Args:
        resource: Its name and version go with every message.
    """

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._schema_version = str(resource.version)

    def pack(
        self, envelope: Envelope, records: Sequence[bytes], event_ids: Sequence[str]
    ) -> Packed:
        """Return the records as messages, each with its audit columns.

        Args:
            envelope: Of the request.
            records: Canonical JSON of non-empty objects.
            event_ids: One for each record.
        """
        audit = b"," + audit_columns(
            envelope.now, envelope.key_id, envelope.request_id, is_active=envelope.op == UPSERT
        )
        if len(records) == 1:
            return Packed([self._pack(envelope, audit, records, event_ids)], [event_ids[0]])
        packed = Packed([], [])
        # One pack after the other: of a large request there is never a third copy in memory.
        for start, end in _packs(records, len(audit) + _ADDED_BYTES):
            pack = self._pack(envelope, audit, records[start:end], event_ids[start:end])
            packed.messages.append(pack)
            packed.first_event_ids.append(event_ids[start])
        return packed

    def _pack(
        self,
        envelope: Envelope,
        audit: bytes,
        records: Sequence[bytes],
        event_ids: Sequence[str],
    ) -> bytes:
        pieces = [
            piece
            for record, event_id in zip(records, event_ids, strict=True)
            for piece in (record[:-1], audit, event_id.encode(), _END)
        ]
        pieces[-1] = _END[:-1]
        if len(records) == 1:
            return self._message(envelope, JSON, pieces, event_ids[0])
        # An event id is new with every request, unless it is made to be the same in a repeat.
        dedup_id = event_ids[0]
        if envelope.is_repeatable:
            dedup_id = str(uuid.uuid5(EVENT_NAMESPACE, ",".join(event_ids)))
        return self._message(envelope, NDJSON, pieces, dedup_id)

    def _message(
        self, envelope: Envelope, content_type: str, pieces: Sequence[bytes], dedup_id: str
    ) -> bytes:
        """Encode one message; its attributes hold ids, names and versions, never the data's own."""
        attributes = {
            "resource": self._resource.name,
            "schema_version": self._schema_version,
            "op": envelope.op,
            "request_id": envelope.request_id,
            "key_id": envelope.key_id,
            "content_type": content_type,
            "dedup_id": dedup_id,
        }
        if envelope.traceparent is not None:
            attributes["traceparent"] = envelope.traceparent
        return join_message(pieces, attributes)


def _packs(records: Sequence[bytes], added: int) -> Iterator[tuple[int, int]]:
    """Yield slices within PACK_MAX_RECORDS and PACK_MAX_BYTES; a record beyond it goes alone.

    Args:
        records: Without their audit columns.
        added: How many bytes these add to each record, with the newline after it.
    """
    start, room = 0, limits.PACK_MAX_BYTES + 1  # as the last one has no newline
    for index, record in enumerate(records):
        room -= len(record) + added
        if index > start and (room < 0 or index - start == limits.PACK_MAX_RECORDS):
            yield start, index
            start, room = index, limits.PACK_MAX_BYTES + 1 - len(record) - added
    yield start, len(records)
