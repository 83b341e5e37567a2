"""Counts against token buckets, so that nobody takes more than a share, in bounded memory."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final

_MINUTE: Final = 60.0
# Who comes after so many others pushes out the one that was not seen for longest.
MAX_TRACKED: Final = 10_000
# Sums of fractions of a second are not exact.
_ROUNDING: Final = 1e-6


class Buckets:
    """A bucket of tokens for each name, which refills evenly; an unknown name's is full.

    Kept as the one instant at which the bucket will be full again (the generic cell rate algorithm,
    as ITU-T I.371 describes it), so that a name costs one number and no timer. It is safe to share
    between threads.

    Args:
        per_minute: Tokens that a bucket holds and gets back in a minute.
        clock: Seconds that never go back.
        max_tracked: Names that are remembered.
    """

    def __init__(
        self,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        max_tracked: int = MAX_TRACKED,
    ) -> None:
        self._interval = _MINUTE / per_minute
        self._clock = clock
        self._max_tracked = max_tracked
        self._lock = threading.Lock()
        # The least recently used first.
        self._full_at: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, name: Hashable) -> float:
        """Take a token; return 0, or if there is none the seconds until there will be one."""
        now = self._clock()
        with self._lock:
            full_at = max(self._full_at.pop(name, now), now)
            missing = full_at + self._interval - now - _MINUTE
            if missing > _ROUNDING:
                self._full_at[name] = full_at
                return missing
            if len(self._full_at) >= self._max_tracked:
                del self._full_at[next(iter(self._full_at))]
            self._full_at[name] = full_at + self._interval
            return 0.0

    def wait(self, name: Hashable) -> float:
        """Return the seconds until there is a token, 0 if there is one; take none."""
        full_at = self._full_at.get(name)
        if full_at is None:
            return 0.0
        missing = full_at + self._interval - self._clock() - _MINUTE
        return missing if missing > _ROUNDING else 0.0


class Guard:
    """Slows down who guesses keys, and who sends more than agreed.

    An address whose refused keys have emptied its bucket is refused whatever it sends, or its
    guesses would still be answered. Only what a key has sent from that address before goes on: one
    sender with an old key must not stop all others behind the same gateway.

    Args:
        refused_per_minute: Refused keys of one address; 0 for no bound.
        requests_per_minute: Requests of one key; 0 for no bound.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        refused_per_minute: int,
        requests_per_minute: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._refused = Buckets(refused_per_minute, clock) if refused_per_minute else None
        self._requests = Buckets(requests_per_minute, clock) if requests_per_minute else None
        self._trusted: set[tuple[bytes, str, str]] = set()

    def admit(self, address: bytes, resource: str, key_id: str | None) -> float:
        """Return 0, or the seconds after which a request may be tried again.

        Args:
            address: Of the client.
            resource: What the key is for.
            key_id: Of the key, None if it is not known.
        """
        if self._refused is not None:
            if key_id is None:
                return self._refused.wait(address)
            pair = (address, resource, key_id)
            if pair not in self._trusted:
                wait = self._refused.wait(address)
                if wait:
                    return wait
                if len(self._trusted) >= MAX_TRACKED:
                    self._trusted.clear()
                self._trusted.add(pair)
        if self._requests is not None and key_id is not None:
            return self._requests.take((resource, key_id))
        return 0.0

    def refused(self, address: bytes) -> None:
        """Count a key of this address that was refused."""
        if self._refused is not None:
            self._refused.take(address)
