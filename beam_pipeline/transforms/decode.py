"""Opens Pub/Sub messages: packed ones into their records, audit fields apart from the record's."""

import time
from collections.abc import Iterator
from typing import Any, Final

import apache_beam as beam
import orjson
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from beam_pipeline import column_values, dead_letters
from beam_pipeline.dead_letters import dead_letter
from beam_pipeline.metrics import ResourceMetrics
from beam_pipeline.records import DELETE, UPSERT, Envelope, Record
from beam_pipeline.transforms import DEAD, Dead
from schemas import limits
from schemas.validation import NOT_AN_OBJECT, RecordError

# How many records go on together, of one message or of several. A step between two transforms costs
# as much as validating a short record, so more than one; but some hundred decoded records no longer
# fit the processor's cache while they pass three steps. Measured: 1 → 42 µs a record, 16 → 33,
# 500 → 65. And how many bytes: sixteen of the largest messages would not fit the memory.
CHUNK_RECORDS: Final = 16
CHUNK_BYTES: Final = 1_000_000
_NDJSON: Final = "application/x-ndjson"
_OPS: Final = (UPSERT, DELETE)
_MAX_VERSION_DIGITS: Final = 9
_TOO_DEEP: Final = RecordError("$", "maxDepth", f"must nest at most {limits.MAX_DEPTH} deep")
# An event id is a UUID; something longer is not worth a column of the dead letter.
_MAX_ID_CHARS: Final = 256


class Decode(beam.DoFn):
    """PubsubMessages → their Records, some of one `op` at a time; each unreadable → DeadLetter.

    The last few of a bundle come as it ends.

    Args:
        resource: The subscription's resource.
        version: The contract's version where the message names none.
    """

    def __init__(self, resource: str, version: int) -> None:
        self._resource, self._version = resource, version
        self._metrics = ResourceMetrics(resource)

    def start_bundle(self) -> None:
        """Begin to count."""
        self._read = 0
        # Records of a pack and both times of a record are mostly stamped alike.
        self._last_time, self._last_us = "", 0
        self._chunk: list[Record] = []
        self._chunk_bytes = 0

    def process(self, element: PubsubMessage) -> Iterator[list[Record] | Dead]:
        """Yield the message's records."""
        envelope, fault = self._open(element)
        packed = envelope.attributes.get("content_type", "").startswith(_NDJSON)
        data = element.data or b""
        lines = _lines(data) if packed else (data,)
        self._read += len(lines)
        if self._chunk and self._chunk[0].envelope.op != envelope.op:
            yield self._take_chunk()
        for position, line in enumerate(lines):
            try:
                self._chunk.append(self._record(envelope, line, position, fault))
            except _UnreadableError as error:
                yield self._dead(envelope, line, position, fault, error)
                continue
            self._chunk_bytes += len(line)
            if len(self._chunk) == CHUNK_RECORDS or self._chunk_bytes >= CHUNK_BYTES:
                yield self._take_chunk()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Report the count; yield what is left."""
        self._metrics.read.inc(self._read)
        if self._chunk:
            timestamp = Timestamp(micros=self._chunk[-1].envelope.publish_us)
            yield WindowedValue(self._take_chunk(), timestamp, (GlobalWindow(),))

    def _take_chunk(self) -> list[Record]:
        chunk, self._chunk, self._chunk_bytes = self._chunk, [], 0
        return chunk

    def _open(self, message: PubsubMessage) -> tuple[Envelope, str | None]:
        """Return the envelope, and the code of what is wrong with its attributes."""
        attributes = message.attributes or {}
        published = message.publish_time
        op = attributes.get("op", UPSERT)
        version, fault = self._version_of(attributes.get("schema_version")), None
        if version is None or op not in _OPS:
            fault = dead_letters.INVALID_ATTRIBUTES
        if attributes.get("resource", self._resource) != self._resource:
            fault = dead_letters.RESOURCE_MISMATCH
        envelope = Envelope(
            attributes=attributes,
            message_id=message.message_id,
            publish_us=column_values.datetime_micros(published) if published else _now_us(),
            op=op,
            schema_version=version,
        )
        return envelope, fault

    def _version_of(self, text: str | None) -> int | None:
        """Return the contract's version that a message names, None if that is no number."""
        if text is None:
            return self._version
        is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_VERSION_DIGITS
        return int(text) if is_number else None

    def _record(self, envelope: Envelope, line: bytes, position: int, fault: str | None) -> Record:
        """Read one line, and take the audit fields out of the record's."""
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError:
            # The cause's text can hold a part of the record.
            raise _UnreadableError(dead_letters.INVALID_JSON) from None
        if type(fields) is not dict:
            raise _UnreadableError(dead_letters.INVALID_RECORD, None, NOT_AN_OBJECT)
        take = fields.pop
        created, updated = take("created_ts", None), take("updated_ts", None)
        created_by, is_active = take("created_by", None), take("is_active", None)
        event_id, request_id = take("event_id", None), take("request_id", None)
        if fault is not None:
            raise _UnreadableError(fault, event_id)
        # It cannot nest deeper than it has brackets, and counting them costs next to nothing.
        brackets = line.count(b"{") + line.count(b"[")
        if brackets > limits.MAX_DEPTH and _nests_too_deep(fields):
            raise _UnreadableError(dead_letters.INVALID_RECORD, event_id, _TOO_DEEP)
        created_us, updated_us = self._micros(created), self._micros(updated)
        if (
            created_us is None
            or updated_us is None
            or not type(created_by) is type(event_id) is type(request_id) is str
            or not (created_by and event_id and request_id)
            or is_active is not (envelope.op == UPSERT)
        ):
            errors = _audit_errors(
                {"created_ts": (created, created_us), "updated_ts": (updated, updated_us)},
                {"created_by": created_by, "event_id": event_id, "request_id": request_id},
                is_active,
            )
            raise _UnreadableError(dead_letters.INVALID_AUDIT, event_id, *errors)
        system = {
            "created_ts": created_us,
            "updated_ts": updated_us,
            "created_by": created_by,
            "is_active": is_active,
            "event_id": event_id,
            "request_id": request_id,
            "schema_version": envelope.schema_version,
            "publish_ts": envelope.publish_us,
        }
        return Record(envelope, line, position, event_id, fields, system)

    def _micros(self, text: object) -> int | None:
        """Return the time, or None if that is not one."""
        if text == self._last_time:
            return self._last_us
        if not isinstance(text, str):
            return None
        try:
            micros = column_values.timestamp_micros(text)
        except (TypeError, ValueError):  # no offset, or no time at all
            return None
        self._last_time, self._last_us = text, micros
        return micros

    def _dead(
        self,
        envelope: Envelope,
        line: bytes,
        position: int,
        fault: str | None,
        error: "_UnreadableError",
    ) -> Dead:
        code = fault or error.code
        self._metrics.dead(code)
        letter = dead_letter(
            self._resource,
            dead_letters.DECODE,
            code,
            envelope=envelope,
            payload=line,
            position=position,
            event_id=error.event_id,
            errors=error.errors,
        )
        return TaggedOutput(DEAD, letter)


class _UnreadableError(Exception):
    """Why a line gives no record."""

    def __init__(self, code: str, event_id: object = None, *errors: RecordError) -> None:
        super().__init__(code)
        self.code, self.errors = code, errors
        self.event_id: str | None = None
        if isinstance(event_id, str) and 0 < len(event_id) <= _MAX_ID_CHARS:
            self.event_id = event_id


def _audit_errors(
    times: dict[str, tuple[object, int | None]], texts: dict[str, object], is_active: object
) -> list[RecordError]:
    """Say what is wrong with the audit fields, without their values."""
    errors = []
    for name, (text, micros) in times.items():
        if micros is None:
            errors.append(_fault(name, text, str, "format", "must be an RFC 3339 date-time"))
    for name, text in texts.items():
        if not isinstance(text, str) or not text:
            errors.append(_fault(name, text, str, "minLength", "must not be empty"))
    if not errors or not isinstance(is_active, bool):
        rule = "must be false in a tombstone and true in any other record"
        errors.append(_fault("is_active", is_active, bool, "const", rule))
    return errors


def _fault(name: str, value: object, expected: type, rule: str, message: str) -> RecordError:
    path = f"$.{name}"
    if value is None:
        return RecordError(path, "required", "is required")
    if not isinstance(value, expected):
        kind = "string" if expected is str else "boolean"
        return RecordError(path, "type", f"must be a {kind}")
    return RecordError(path, rule, message)


def _lines(data: bytes) -> list[bytes]:
    """Return the lines that hold something; of an empty message one empty line, to be told of."""
    return [line for line in data.split(b"\n") if line and not line.isspace()] or [data]


def _nests_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(limits.MAX_DEPTH):
        level = [child for container in level for child in _containers(container)]
        if not level:
            return False
    return True


def _containers(container: Any) -> Iterator[Any]:
    children = container.values() if type(container) is dict else container
    return (child for child in children if type(child) is dict or type(child) is list)


def _now_us() -> int:
    return time.time_ns() // 1_000
