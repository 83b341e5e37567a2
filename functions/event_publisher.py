"""Publishes the events of the ledger in the order of their chain, until all of them are held.

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

from functions.audit import Clock
from functions.google_rpc import RpcError
from functions.hash_chain import Chain
from functions.logging import OncePerMinute, fields, get_logger
from functions.packing import NDJSON, UPSERT
from functions.problems import PUBLISH_REFUSED, PUBLISH_TIMEOUT, Problem, retry_later
from functions.publisher import TRANSIENT
from functions.topic import Topic, encode_message
from schemas import limits
from schemas.registry import Resource

_log = get_logger("ledger")

_PACKS_A_CALL: Final = 8
_BACKOFF_SECONDS: Final = 0.05
_MAX_BACKOFF_SECONDS: Final = 1.0


class _Waiting(NamedTuple):
    event: dict[str, Any]
    held: asyncio.Future[None] | None
    deadline: float


class EventPublisher:
    """The one chain of audit events of this process, on its way to their topic.

    Args:
        topic: Where they are published.
        contract: Theirs.
        clock: Tells the time.
        timeout: Seconds for one call.

    Attributes:
        refused: The status by which Pub/Sub refuses events, one that no retry mends.
    """

    def __init__(self, topic: Topic, contract: Resource, clock: Clock, timeout: float) -> None:
        self.topic = topic
        self.refused: grpc.StatusCode | None = None
        self._attributes = {
            "resource": contract.name,
            "schema_version": str(contract.version),
            "op": UPSERT,
            "content_type": NDJSON,
        }
        self._clock = clock
        self._timeout = timeout
        self._chain = Chain()
        self._waiting: deque[_Waiting] = deque()
        self._sealed: list[bytes] = []
        self._sealed_waiting: list[_Waiting] = []
        self._held = self._anchored = (-1, self._chain.head)
        self._sender: asyncio.Task[None] | None = None
        self._is_down = False
        self._retry = asyncio.Event()
        self._tried: asyncio.Future[None] | None = None
        self._log_failure = OncePerMinute(_log, logging.ERROR, "audit events cannot be published")

    def __len__(self) -> int:
        return len(self._waiting)

    async def check(self, seconds: float) -> None:
        """Raise a problem if events fail; while they do, wait for the next try to end.

        Args:
            seconds: How long at most.
        """
        if not self._is_down:
            return
        try:
            async with asyncio.timeout(seconds):
                while self._is_down:
                    await self._next_try()
                    if self.refused:
                        raise _refused()
        except TimeoutError:
            detail = "audit events cannot be published at present"
            raise retry_later(PUBLISH_TIMEOUT, detail) from None

    async def hold(self, event: dict[str, Any], seconds: float) -> None:
        """Add an event; return once Pub/Sub holds it.

        Raises:
            Problem: It is late or refused. It is still sent.
        """
        loop = asyncio.get_running_loop()
        held = loop.create_future()
        self._add(_Waiting(event, held, loop.time() + seconds))
        await held

    def add(self, event: dict[str, Any]) -> None:
        """Add an event that nobody waits for."""
        self._add(_Waiting(event, None, 0.0))

    async def settle(self, seconds: float) -> None:
        """Wait until every event is held, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._sender is not None:
                    await asyncio.wait([self._sender])

    async def close(self) -> None:
        """Stop sending."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    def anchor(self) -> None:
        """Log the head that Pub/Sub holds: a cut at the end of the chain shows nowhere else."""
        if self._held != self._anchored:
            self._anchored = sequence, head = self._held
            about = {"writer_id": self._chain.writer_id, "sequence": sequence, "hash": head}
            _log.info("audit chain head", extra=fields(**about, at=self._clock.now()))

    def _add(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
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
                    await self._back_off(failures)
                    failures += 1
        finally:
            self._sender = None

    async def _back_off(self, failures: int) -> None:
        """Wait with jitter, longer with every failure, but not long where a request waits too."""
        await asyncio.sleep(_BACKOFF_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 (jitter)
        pause = min(_BACKOFF_SECONDS * 2.0**failures, _MAX_BACKOFF_SECONDS)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._retry.wait(), pause)
        self._retry.clear()

    async def _next_try(self) -> None:
        if self._tried is None:
            self._tried = asyncio.get_running_loop().create_future()
        self._retry.set()
        await asyncio.shield(self._tried)

    def _note_tried(self) -> None:
        if self._tried is not None:
            self._tried.set_result(None)
            self._tried = None

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
        self.refused, self._is_down = None, False
        self._note_tried()
        self._held = (self._chain.sequence - 1, self._chain.head)
        self._sealed.clear()
        waiting, self._sealed_waiting = self._sealed_waiting, []
        for entry in waiting:
            if entry.held is not None and not entry.held.done():
                entry.held.set_result(None)

    def _note_failure(self, status: grpc.StatusCode) -> None:
        self._log_failure(self.topic.name, status=status.name)
        now = asyncio.get_running_loop().time()
        self._is_down = True
        self.refused = None if status in TRANSIENT else status
        self._note_tried()
        for entry in (*self._sealed_waiting, *self._waiting):
            if entry.held is not None and not entry.held.done():
                if self.refused:
                    entry.held.set_exception(_refused())
                elif entry.deadline <= now:
                    detail = "the records were, but not their audit event: repeat the request"
                    entry.held.set_exception(retry_later(PUBLISH_TIMEOUT, detail))


def _refused() -> Problem:
    return Problem(PUBLISH_REFUSED, "its operator has been told")
