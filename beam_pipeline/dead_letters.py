"""What could not be loaded, whole and explained, as a row from which it can be replayed."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from beam_pipeline.records import Envelope, Record, Row
from beam_pipeline.row_encoder import RowEncoder, shared_encoder
from beam_pipeline.row_message import table_columns
from schemas.bigquery import load_tables
from schemas.validation import RecordError

TABLE: Final = "dead_letters"

# Stages
DECODE: Final = "decode"
VALIDATE: Final = "validate"
ENCODE: Final = "encode"
APPEND: Final = "append"

# Codes: contract with operators and with what replays. None of the texts repeats a value.
INVALID_JSON: Final = "invalid_json"
INVALID_ATTRIBUTES: Final = "invalid_attributes"
RESOURCE_MISMATCH: Final = "resource_mismatch"
INVALID_AUDIT: Final = "invalid_audit"
INVALID_RECORD: Final = "invalid_record"
ENCODE_FAILED: Final = "encode_failed"
ROW_TOO_LARGE: Final = "row_too_large"
ROW_REFUSED: Final = "row_refused"

MESSAGES: Final = {
    INVALID_JSON: "The bytes are not one JSON value in UTF-8.",
    INVALID_ATTRIBUTES: "An attribute of the message has a value that the contract does not know.",
    RESOURCE_MISMATCH: "The message's resource is not its subscription's.",
    INVALID_AUDIT: "The fields that the endpoint adds are missing or wrong.",
    INVALID_RECORD: "The record breaks its contract.",
    ENCODE_FAILED: "A value passed validation, but its column cannot hold it.",
    ROW_TOO_LARGE: "The row is larger than an append to BigQuery may be.",
    ROW_REFUSED: "BigQuery refused the row.",
}

# A redelivered message gives the same ids, so that repeats can be told from failures.
_ID_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:vitalflow:dead-letter")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record, or one message that holds none, on its way to the dead letters.

    Attributes:
        stage: The step that gave up: decode, validate, encode or append.
        code: One of the codes above.
        payload: The record's own bytes, never changed.
        position: The record's index in its message.
        event_id: The record's, where it could be read.
        failed_us: When, in microseconds since the epoch.
    """

    resource: str
    stage: str
    code: str
    message: str
    payload: bytes
    envelope: Envelope
    position: int
    event_id: str | None
    errors: tuple[RecordError, ...]
    failed_us: int

    @property
    def id(self) -> str:
        """The same for the same failure of the same message."""
        name = (self.resource, self.envelope.message_id, self.position, self.code)
        return str(uuid.uuid5(_ID_NAMESPACE, orjson.dumps(name).decode()))


def dead_letter(
    resource: str,
    stage: str,
    code: str,
    *,
    envelope: Envelope,
    payload: bytes,
    position: int,
    event_id: str | None,
    errors: Sequence[RecordError] = (),
    detail: str = "",
) -> DeadLetter:
    """Return a dead letter of now; `detail` is a code of BigQuery's, never a value."""
    message = f"{MESSAGES[code]} ({detail})" if detail else MESSAGES[code]
    return DeadLetter(
        resource=resource,
        stage=stage,
        code=code,
        message=message,
        payload=payload,
        envelope=envelope,
        position=position,
        event_id=event_id,
        errors=tuple(errors),
        failed_us=time.time_ns() // 1_000,
    )


def dead_record(
    resource: str,
    stage: str,
    code: str,
    record: Record | Row,
    *,
    errors: Sequence[RecordError] = (),
    detail: str = "",
) -> DeadLetter:
    """Return a dead letter of a record that was decoded."""
    return dead_letter(
        resource,
        stage,
        code,
        envelope=record.envelope,
        payload=record.line,
        position=record.position,
        event_id=record.event_id,
        errors=errors,
        detail=detail,
    )


def dead_letter_encoder() -> RowEncoder:
    """Return the encoder of the table's rows."""
    return shared_encoder(_columns(), ())


def encode(letter: DeadLetter, pipeline_version: str) -> bytes:
    """Return the serialized row of a dead letter."""
    envelope = letter.envelope
    attributes = envelope.attributes
    values: dict[str, Any] = {
        "dead_letter_id": letter.id,
        "failed_ts": letter.failed_us,
        "resource": letter.resource,
        "stage": letter.stage,
        "error_code": letter.code,
        "message": letter.message,
        "errors": [error.as_dict() for error in letter.errors],
        "payload": letter.payload,
        "attributes": orjson.dumps(attributes).decode(),
        "event_id": letter.event_id,
        "request_id": attributes.get("request_id"),
        "key_id": attributes.get("key_id"),
        "message_id": envelope.message_id,
        "position": letter.position,
        "publish_ts": envelope.publish_us,
        "schema_version": envelope.schema_version,
        "pipeline_version": pipeline_version,
        "attempt": attempt(attributes),
    }
    return dead_letter_encoder().serialize(values)


def attempt(attributes: dict[str, str]) -> int:
    """Return which try this is: 1, unless a replay says otherwise."""
    text = attributes.get("attempt", "1")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 1  # noqa: PLR2004  # fits INT64


@lru_cache(maxsize=1)
def _columns() -> Any:
    table = next(table for table in load_tables() if table["tableId"] == TABLE)
    return table_columns(table["schema"]["fields"])
