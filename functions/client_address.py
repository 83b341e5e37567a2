"""Finds the address that a request came from, and names it without telling it."""

import hmac
import os
import time
from collections.abc import Callable
from typing import Final

from functions.exchange import Exchange

_SALT_SECONDS: Final = 86_400.0
_CACHE_ADDRESSES: Final = 10_000
# The longest is an IPv6 address that holds one of IPv4, with a zone or a port after it.
_MAX_CHARS: Final = 64


def client_address(exchange: Exchange, position: int) -> bytes:
    """Return the client's address.

    Args:
        exchange: The request.
        position: Which entry of X-Forwarded-For has it, counted from the right; what stands left
            of it was sent by the client itself and proves nothing. Cloud Run appends one entry
            (1). An application load balancer appends two, the client's and its own (2):
            https://cloud.google.com/load-balancing/docs/https#x-forwarded-for_header. 0 is the
            other end of the connection, for a server that stands behind nothing.
    """
    if position:
        forwarded = exchange.joined(b"x-forwarded-for")
        if forwarded is not None:
            entries = forwarded.rsplit(b",", position)
            # Something longer is no address, and not to be remembered as one.
            if len(entries) >= position and len(entries[-position]) <= _MAX_CHARS:
                return entries[-position].strip()
    return exchange.peer


class ClientHash:
    """Hashes addresses with a key that is never stored.

    With a fixed key, the four billion addresses of IPv4 could all be tried. So the same hash tells
    of the same client only within one process and one day.
    """

    def __init__(self, position: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._position = position
        self._clock = clock
        self._salted_at = -float("inf")
        self._salt = b""
        self._known: dict[bytes, str] = {}

    def __call__(self, exchange: Exchange) -> str:
        """Return the hash of the client's address."""
        now = self._clock()
        if now - self._salted_at >= _SALT_SECONDS:
            self._salt, self._salted_at = os.urandom(32), now
            self._known.clear()
        address = client_address(exchange, self._position)
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _CACHE_ADDRESSES:
                self._known.clear()
            known = hmac.digest(self._salt, address, "sha256")[:16].hex()
            self._known[address] = known
        return known
