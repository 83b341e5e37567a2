"""Publishes an audit event for every request, in the order of its chain and until it is held.

Events are packed: all that wait while a Publish call is in flight go out together in the next, as
NDJSON. Only what is about to be sent gets its place in the chain, and what has one is sent again
until Pub/Sub acknowledges it: a gap in the chain means that somebody made it.
"""

import asyncio
import logging
import random
from collections import deque
from contextlib import suppress
from typing import Any, Final, NamedTuple

import grpc

from functions.audit import Clock, UuidV7
from functions.audit_event import UNKNOWN_KEY, Counts, Facts, audit_event
from functions.client_address import ClientHash
from functions.exchange import Exchange
from functions.google_rpc import RpcError
from functions.hash_chain import Chain
from functions.logging import OncePerMinute, fields, get_logger
from functions.packing import NDJSON, UPSERT
from functions.problems import (
    OVERLOADED,
    PUBLISH_REFUSED,
    PUBLISH_TIMEOUT,
    Problem,
    retry_later,
)
from functions.publisher import TRANSIENT
from functions.topic import Topic, encode_message
from schemas import limits
from schemas.registry import Resource

_log = get_logger("ledger")

MAX_WAITING: Final = 10_000
# Requests without a known key that are listed one by one; the others of that second are counted.
LISTED_A_SECOND: Final = 10
ANCHOR_SECONDS: Final = 60.0
_COUNT_SECONDS: Final = 1.0
_PACKS_A_CALL: Final = 8
# A call that fails for so long is no hiccup: what arrives then is refused before it is published.
_DOWN_SECONDS: Final = 1.0
# What is left at least for the event where publishing the records took all of the time.
_LEAST_SECONDS: Final = 1.0
_BACKOFF_SECONDS: Final = 0.05
_MAX_BACKOFF_SECONDS: Final = 1.0


class _Waiting(NamedTuple):
    event: dict[str, Any]
    held: asyncio.Future[None] | None
    deadline: float


class Ledger:
    """The audit events of this process.

    Args:
        topic: Where they are published.
        contract: Theirs.
        ids: Makes event ids.
        clock: Tells the time.
        clients: Hashes addresses.
        timeout: Seconds that a request waits for its event.
        max_waiting: How many events may wait; then refusals are counted instead.
    """

    def __init__(
        self,
        *,
        topic: Topic,
        contract: Resource,
        ids: UuidV7,
        clock: Clock,
        clients: ClientHash,
        timeout: float,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self.topic = topic
        self.refused: grpc.StatusCode | None = None
        self._attributes = {
            "resource": contract.name,
            "schema_version": str(contract.version),
            "op": UPSERT,
            "content_type": NDJSON,
        }
        self._ids, self._clock, self._clients = ids, clock, clients
        self._timeout = timeout
        self._max_waiting = max_waiting
        self._chain = Chain()
        self._waiting: deque[_Waiting] = deque()
        self._sealed: list[bytes] = []
        self._sealed_waiting: list[_Waiting] = []
        self._held = self._anchored = (-1, self._chain.head)
        self._sender: asyncio.Task[None] | None = None
        self._down_since: float | None = None
        self._counts = Counts()
        self._listed, self._listed_second = 0, 0
        self._log_failure = OncePerMinute(_log, logging.ERROR, "audit events cannot be published")

    def check(self) -> None:
        """Raise the problem that a request would end with, before its records are published."""
        if self.refused:
            raise _refused()
        down = self._down_since
        if down is not None and asyncio.get_running_loop().time() - down > _DOWN_SECONDS:
            raise retry_later(PUBLISH_TIMEOUT, "audit events cannot be published at present")
        if len(self._waiting) >= self._max_waiting:
            raise retry_later(OVERLOADED, "too many audit events wait to be published")

    async def accept(self, exchange: Exchange, facts: Facts, spent: float) -> None:
        """Return once Pub/Sub holds the event of a request whose records it holds.

        Args:
            exchange: The request.
            facts: What became of it.
            spent: Seconds that publishing the records took; the event has what is left.

        Raises:
            Problem: The event is late or refused. It is still sent: the records are published.
        """
        loop = asyncio.get_running_loop()
        held = loop.create_future()
        deadline = loop.time() + max(self._timeout - spent, _LEAST_SECONDS)
        self._add(self._event(exchange, facts, 202, None), held, deadline)
        await held

    def note(self, exchange: Exchange, facts: Facts, status: int, code: str | None) -> None:
        """Add the event of a request that needs not wait for it: one that was refused."""
        if len(self._waiting) >= self._max_waiting or (
            facts.key_id == UNKNOWN_KEY and not self._may_list()
        ):
            if not self._counts:
                asyncio.get_running_loop().call_later(_COUNT_SECONDS, self._add_counts)
            self._counts.add(facts, status, code)
            return
        self._add(self._event(exchange, facts, status, code), None, 0.0)

    async def keep_anchored(self) -> None:
        """Log the head of the chain every minute; runs until it is cancelled."""
        while True:
            await asyncio.sleep(ANCHOR_SECONDS)
            self._anchor()

    async def settle(self, seconds: float) -> None:
        """Wait until every event is held, so that the process may end; then log the head."""
        self._add_counts()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._sender is not None:
                    await asyncio.wait([self._sender])
        self._anchor()

    async def close(self) -> None:
        """End what runs besides the requests."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    def _event(
        self, exchange: Exchange, facts: Facts, status: int, code: str | None
    ) -> dict[str, Any]:
        return audit_event(
            facts,
            exchange,
            status,
            code,
            event_id=self._ids.one(),
            now=facts.now or self._clock.now(),
            client_hash=self._clients(exchange),
        )

    def _may_list(self) -> bool:
        second = int(asyncio.get_running_loop().time())
        if second != self._listed_second:
            self._listed, self._listed_second = 0, second
        self._listed += 1
        return self._listed <= LISTED_A_SECOND

    def _add_counts(self) -> None:
        now = self._clock.now()
        for event in self._counts.take():
            event |= {"created_ts": now, "updated_ts": now}
            event |= {"event_id": self._ids.one(), "request_id": self._ids.one()}
            self._add(event, None, 0.0)

    def _add(
        self, event: dict[str, Any], held: asyncio.Future[None] | None, deadline: float
    ) -> None:
        self._waiting.append(_Waiting(event, held, deadline))
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send_all())

    async def _send_all(self) -> None:
        failures = 0
        try:
            while self._sealed or self._waiting:
                if not self._sealed:
                    self._seal()
                status = await self._call()
                if status is None:
                    failures = 0
                    self._note_held()
                else:
                    self._note_failure(status)
                    pause = min(_BACKOFF_SECONDS * 2.0**failures, _MAX_BACKOFF_SECONDS)
                    failures += 1
                    await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (jitter)
        finally:
            self._sender = None

    def _seal(self) -> None:
        """Give the next events their places, in packs that one call carries."""
        waiting = self._waiting
        while waiting and len(self._sealed) < _PACKS_A_CALL:
            lines: list[bytes] = []
            size, first = 0, waiting[0].event["event_id"]
            while waiting and len(lines) < limits.PACK_MAX_RECORDS and size < limits.PACK_MAX_BYTES:
                entry = waiting.popleft()
                lines.append(self._chain.seal(entry.event))
                size += len(lines[-1])
                if entry.held is not None:
                    self._sealed_waiting.append(entry)
            attributes = {**self._attributes, "dedup_id": first}
            self._sealed.append(encode_message(b"\n".join(lines), attributes))

    async def _call(self) -> grpc.StatusCode | None:
        now = asyncio.get_running_loop().time()
        left = [w.deadline - now for w in self._sealed_waiting[:1]]
        timeout = min([self._timeout, *(seconds for seconds in left if seconds > 0)])
        try:
            await self.topic.publish(self._sealed, len(self._sealed), timeout)
        except RpcError as error:
            return error.status
        except Exception:  # noqa: BLE001 (whatever it is, it must be tried again)
            _log.exception("audit events failed on this side")
            return grpc.StatusCode.UNKNOWN
        return None

    def _note_held(self) -> None:
        self.refused = self._down_since = None
        self._held = (self._chain.sequence - 1, self._chain.head)
        self._sealed.clear()
        waiting, self._sealed_waiting = self._sealed_waiting, []
        for entry in waiting:
            if entry.held is not None and not entry.held.done():
                entry.held.set_result(None)

    def _note_failure(self, status: grpc.StatusCode) -> None:
        self._log_failure(self.topic.name, status=status.name)
        now = asyncio.get_running_loop().time()
        self._down_since = self._down_since or now
        self.refused = None if status in TRANSIENT else status
        for entry in (*self._sealed_waiting, *self._waiting):
            if entry.held is not None and not entry.held.done():
                if self.refused:
                    entry.held.set_exception(_refused())
                elif entry.deadline <= now:
                    detail = "the records were, but not their audit event: repeat the request"
                    entry.held.set_exception(retry_later(PUBLISH_TIMEOUT, detail))

    def _anchor(self) -> None:
        """Log the head that Pub/Sub holds: a cut at the end of the chain shows nowhere else."""
        if self._held != self._anchored:
            self._anchored = sequence, head = self._held
            about = {"writer_id": self._chain.writer_id, "sequence": sequence, "hash": head}
            _log.info("audit chain head", extra=fields(**about, at=self._clock.now()))


def _refused() -> Problem:
    return Problem(PUBLISH_REFUSED, "its operator has been told")
