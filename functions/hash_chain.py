"""Ties the audit events of one writer together, so that none is changed or removed unseen."""

import uuid
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import orjson

# What the first event of a writer names as the hash before its own.
GENESIS: Final = "0" * 64


def canonical(event: Mapping[str, Any]) -> bytes:
    """Return the one JSON text of an event: members sorted by name, no space.

    Its values are text, integers, booleans, and lists and objects of these: what comes back from
    BigQuery as it was sent. Members that are null or empty are left out by the caller.
    """
    return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)


def event_hash(event: Mapping[str, Any]) -> str:
    """Return the hash of an event that names its writer, its sequence and the hash before."""
    return sha256(canonical(event)).hexdigest()


class Chain:
    """The chain of one process, which is its only writer.

    Attributes:
        writer_id: New with every chain.
        sequence: Of the next event.
        head: Hash of the last event.
    """

    def __init__(self) -> None:
        self.writer_id = str(uuid.uuid4())
        self.sequence = 0
        self.head = GENESIS

    def seal(self, event: dict[str, Any]) -> bytes:
        """Give the event its place in the chain, and return it as JSON with its hash."""
        event["writer_id"] = self.writer_id
        event["sequence"] = self.sequence
        event["previous_hash"] = self.head
        text = canonical(event)
        self.sequence += 1
        self.head = sha256(text).hexdigest()
        return b'%b,"hash":"%b"}' % (text[:-1], self.head.encode())
