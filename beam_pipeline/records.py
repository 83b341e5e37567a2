"""What passes between the steps: small slotted values, as each of them is made once a record."""

from dataclasses import dataclass
from typing import Any, Final

UPSERT: Final = "upsert"
DELETE: Final = "delete"


@dataclass(slots=True)
class Envelope:
    """The Pub/Sub message around a record; the records of a packed message share one.

    It leaves the message's data behind: each record has its own line, and what passes between steps
    is pickled where a runner does not keep them together.

    Attributes:
        attributes: All of the message's attributes, untouched.
        publish_us: When Pub/Sub took the message, in microseconds since the epoch.
        op: `upsert` or `delete`.
        schema_version: The contract's version that the endpoint checked.
    """

    attributes: dict[str, str]
    message_id: str | None
    publish_us: int
    op: str
    schema_version: int | None


@dataclass(slots=True)
class Record:
    """One decoded record: its own fields, and the columns that every table has.

    Attributes:
        line: The record's bytes: its line of a packed message, else the message's data.
        position: Its index in the message, from 0.
        event_id: Id of the change.
        fields: What the producer sent.
        system: The system columns in wire form: the audit fields, taken out of `fields`, and what
            the message tells.
    """

    envelope: Envelope
    line: bytes
    position: int
    event_id: str
    fields: dict[str, Any]
    system: dict[str, Any]


@dataclass(slots=True)
class Row:
    """A record's serialized protobuf row, and what a dead letter of it would need.

    Many rows wait for their acknowledgement together: that they leave the record's fields behind
    keeps the garbage collector from walking through all of them again and again.
    """

    data: bytes
    envelope: Envelope
    line: bytes
    position: int
    event_id: str
    created_us: int
