"""Knows a resource's API keys: all enabled versions of its secret, read in the background."""

import asyncio
import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, Protocol

import orjson

from functions.audit_event import UNKNOWN_KEY
from functions.google_rpc import RpcError
from functions.logging import OncePerMinute, fields, get_logger
from functions.secret_store import SecretVersion

_log = get_logger("auth")

MAX_KEY_CHARS: Final = 512
_KEY: Final = re.compile(rb"[!-~]{1,%d}" % MAX_KEY_CHARS)
# It becomes `created_by` and an attribute of the message.
_KEY_ID: Final = re.compile(r"[ -~]{1,128}")

# A key that was added a moment ago is found without waiting for the next refresh, but no stream of
# wrong keys causes more reads than this.
_RECHECK_SECONDS: Final = 5.0
# After a failed read: how soon a request may cause the next, and how soon the background does.
_REQUEST_RETRY_SECONDS: Final = 1.0
_BACKGROUND_RETRY_SECONDS: Final = 10.0


class KeysUnavailableError(Exception):
    """The keys were never read, or not for too long: no key can be judged."""


class UnknownKeyError(Exception):
    """The key is none of the resource's, or is missing."""


class Key:
    """One key, held as a digest that means nothing outside this process."""

    __slots__ = ("digest", "key_id")

    def __init__(self, key_id: str, digest: bytes) -> None:
        self.key_id = key_id
        self.digest = digest

    def __repr__(self) -> str:
        return f"Key(key_id={self.key_id!r}, digest=***)"


class Store(Protocol):
    """Where secrets are kept."""

    async def enabled_versions(self, secret: str) -> list[SecretVersion]:
        """Return the enabled versions, or raise RpcError."""


class KeyRing:
    """The keys of one resource.

    Args:
        secret: Name of the secret.
        store: Where it is kept.
        refresh_seconds: Age at which the background reads the keys again.
        max_stale_seconds: Age up to which they serve while Secret Manager is out of reach.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        secret: str,
        store: Store,
        refresh_seconds: float,
        max_stale_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secret = secret
        self._store = store
        self._refresh_seconds = refresh_seconds
        self._max_stale_seconds = max_stale_seconds
        self._clock = clock
        self._pepper = os.urandom(32)
        self._keys: tuple[Key, ...] = ()
        self._read_at = -float("inf")
        self._tried_at = -float("inf")
        self._reading: asyncio.Task[None] | None = None
        self._log_outage = OncePerMinute(_log, logging.WARNING, "Secret Manager does not answer")

    @property
    def is_usable(self) -> bool:
        """Whether the keys are known and recent enough to judge by."""
        return self._clock() - self._read_at <= self._max_stale_seconds

    def __len__(self) -> int:
        return len(self._keys)

    def known(self, presented: bytes | None) -> str | None:
        """Return the id of a key that is known for certain; else `identify` has to look closer."""
        if presented is None or self._clock() - self._read_at > self._max_stale_seconds:
            return None
        return self._match(presented[: MAX_KEY_CHARS + 1])

    async def identify(self, presented: bytes | None) -> str:
        """Return the id of the key.

        Raises:
            UnknownKeyError: It is missing, malformed or none of ours.
            KeysUnavailableError: Secret Manager was never reached, or not for too long.
        """
        if presented is None or not _KEY.fullmatch(presented):
            raise UnknownKeyError
        if not self.is_usable:
            await self._read_unless_tried_within(_REQUEST_RETRY_SECONDS)
            if not self.is_usable:
                raise KeysUnavailableError
        key_id = self._match(presented)
        if key_id is None and await self._read_unless_tried_within(_RECHECK_SECONDS):
            key_id = self._match(presented)
        if key_id is None:
            raise UnknownKeyError
        return key_id

    def _match(self, presented: bytes) -> str | None:
        """Compare with every key, whichever matches: the time taken tells nothing."""
        digest = blake2b(presented, key=self._pepper, digest_size=32).digest()
        found = None
        for key in self._keys:
            if compare_digest(digest, key.digest):
                found = key.key_id
        return found

    def _digest(self, key: bytes) -> bytes:
        return blake2b(key, key=self._pepper, digest_size=32).digest()

    async def _read_unless_tried_within(self, seconds: float) -> bool:
        if self._reading is None and self._clock() - self._tried_at < seconds:
            return False
        await self.refresh()
        return True

    async def refresh(self) -> None:
        """Read the keys; concurrent callers share one read. On failure the known keys stay."""
        if self._reading is None:
            self._tried_at = self._clock()
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(self._forget_reading)
        # Shielded: a client that goes away must not stop the read for the others.
        await asyncio.shield(self._reading)

    def _forget_reading(self, _: asyncio.Task[None]) -> None:
        self._reading = None

    async def _read(self) -> None:
        started = self._clock()
        try:
            versions = await self._store.enabled_versions(self._secret)
        except RpcError as error:
            # Whatever the status: a secret that is gone by mistake should not stop the intake.
            self._log_outage(self._secret, status=error.status.name)
            return
        except Exception:  # noqa: BLE001 (the background must live on; the keys grow stale)
            _log.exception("keys cannot be read", extra=fields(secret=self._secret))
            return
        self._keys = tuple(self._parse(versions))
        self._read_at = started

    def _parse(self, versions: Iterable[SecretVersion]) -> Iterator[Key]:
        for version in versions:
            try:
                keys = parse_payload(version)
            except ValueError:
                extra = fields(secret=self._secret, version=version.number)
                _log.warning("a secret's version holds no keys and is skipped", extra=extra)
                continue
            for key_id, key in keys.items():
                yield Key(key_id, self._digest(key))

    async def keep_fresh(self) -> None:
        """Read the keys again and again; runs until it is cancelled."""
        while True:
            pause = self._refresh_seconds * random.uniform(0.9, 1.1)  # noqa: S311 (spreads load)
            if self._tried_at > self._read_at:
                pause = min(pause, _BACKGROUND_RETRY_SECONDS)
            await asyncio.sleep(pause)
            await self.refresh()


def parse_payload(version: SecretVersion) -> dict[str, bytes]:
    """Return the keys of a payload by their ids: JSON `{"<id>": "<key>"}`, or one raw key.

    A raw key's id is its version, such as `v3`. Space around it is left out: `echo` adds a newline.

    Raises:
        ValueError: It is neither; the text says nothing of what it holds.
    """
    payload = version.payload.strip()
    if payload.startswith(b"{"):
        try:
            keys = orjson.loads(payload)
        except orjson.JSONDecodeError:
            raise ValueError("not a JSON object") from None
    else:
        keys = {f"v{version.number}": payload.decode("ascii", errors="replace")}
    result = {}
    for key_id, key in keys.items():
        encoded = key.encode() if isinstance(key, str) else b""
        if not _KEY_ID.fullmatch(key_id) or not _KEY.fullmatch(encoded):
            raise ValueError("an id or a key is not printable ASCII of a fitting length")
        if key_id == UNKNOWN_KEY:
            raise ValueError("the id stands for requests without a known key")
        result[key_id] = encoded
    return result
