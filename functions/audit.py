"""Ids, times and the audit columns that the endpoint, never the producer, gives to a record."""

import hashlib
import os
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import orjson

# Never change: ids of repeated requests would no longer agree.
EVENT_NAMESPACE: Final = uuid.UUID("b7a3d9ce-6d0c-5a5e-9c55-3f1f6b8f2d10")

_LOW_BITS: Final = 48
_LOW_LIMIT: Final = 1 << _LOW_BITS
_ENTROPY_BYTES: Final = 10
# A system call is dearer than all the rest of making an id.
_ENTROPIES_A_CALL: Final = 50


class UuidV7:
    """Makes UUIDv7 (RFC 9562, section 5.7) that only grow within this process.

    The 74 random bits are renewed every millisecond; within one the lowest 48 count up (section
    6.2, method 1, seeded), so ids of one request are neighbours and cost no system call each.
    A clock that goes back is ridden out on the last millisecond seen.
    """

    def __init__(self) -> None:
        self._millisecond = 0
        self._prefix = ""
        self._low = _LOW_LIMIT
        self._entropy = b""

    def take(self, count: int) -> list[str]:
        """Return that many new ids in ascending order."""
        low = self._reserve(count)  # first, as it may renew the prefix
        prefix = self._prefix
        return [f"{prefix}{number:012x}" for number in range(low, low + count)]

    def one(self) -> str:
        """Return one new id."""
        low = self._reserve(1)  # first, as above
        return f"{self._prefix}{low:012x}"

    def _reserve(self, count: int) -> int:
        """Return the first of `count` free values of the low bits, under the current prefix."""
        now = time.time_ns() // 1_000_000
        if now <= self._millisecond:
            if self._low + count <= _LOW_LIMIT:
                low = self._low
                self._low += count
                return low
            now = self._millisecond + 1  # beyond 2^47 ids in a millisecond: borrow the next
        if not self._entropy:
            self._entropy = os.urandom(_ENTROPY_BYTES * _ENTROPIES_A_CALL)
        entropy = int.from_bytes(self._entropy[:_ENTROPY_BYTES])
        self._entropy = self._entropy[_ENTROPY_BYTES:]
        rand_a, rand_b = entropy & 0xFFF, (entropy >> 12) & 0x3FFF
        self._millisecond = now
        self._prefix = f"{now >> 16:08x}-{now & 0xFFFF:04x}-7{rand_a:03x}-{0x8000 | rand_b:04x}-"
        # The top bit stays clear, so that there is room to count.
        low = (entropy >> 26) & (_LOW_LIMIT // 2 - 1)
        self._low = low + count
        return low


class Clock:
    """Writes the present as BigQuery and JSON Schema read it: UTC, microseconds, `Z`."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def now(self) -> str:
        """Return the time; the part down to the second is formatted once a second."""
        second, rest = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        return f"{self._text}{rest // 1000:06d}Z"


def repeatable_ids(*name: str, positions: Iterable[int]) -> list[str]:
    """Return the ids that a repeat of the request gets again: UUIDv5 of the name and position.

    The parts are joined as a JSON array, so that no two lists of parts share a text.
    """
    prefix = orjson.dumps(name)[:-1] + b","
    base = hashlib.sha1(EVENT_NAMESPACE.bytes + prefix, usedforsecurity=False)
    ids = []
    for position in positions:
        digest = base.copy()
        digest.update(b"%d]" % position)
        ids.append(str(uuid.UUID(bytes=digest.digest()[:16], version=5)))
    return ids


def audit_columns(now: str, key_id: str, request_id: str, *, is_active: bool) -> bytes:
    """Return the members that all records of a request share, as JSON up to the event id.

    Spliced between a record without its closing brace and `<event id>"}`.
    """
    return (
        b'"created_ts":"%b","updated_ts":"%b","created_by":%b,"is_active":%b,"request_id":"%b","event_id":"'
        % (
            now.encode(),
            now.encode(),
            orjson.dumps(key_id),
            b"true" if is_active else b"false",
            request_id.encode(),
        )
    )
