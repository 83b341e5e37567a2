"""Publishes by group commit: what arrives during one Publish call goes out together in the next.

There is no timer: alone, a request is sent at once; under load, the calls grow instead of their
number. Nothing is reported as published before Pub/Sub has acknowledged all of it.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Sequence
from typing import Final

import grpc

from functions.backlog import Backlog
from functions.google_rpc import RpcError
from functions.logging import OncePerMinute, get_logger
from functions.problems import (
    OVERLOADED,
    PUBLISH_REFUSED,
    PUBLISH_TIMEOUT,
    Problem,
    retry_later,
)
from functions.topic import Topic
from schemas import limits

_log = get_logger("publisher")

# Worth another try within the request's deadline: the same as Google's own publisher client
# (google-cloud-pubsub, PublisherTransport) retries.
TRANSIENT: Final = (
    grpc.StatusCode.UNAVAILABLE,  # no connection, or the server is going away
    grpc.StatusCode.DEADLINE_EXCEEDED,  # the group's oldest member is out of time, others are not
    grpc.StatusCode.INTERNAL,  # a fault on their side
    grpc.StatusCode.ABORTED,  # lost against a concurrent operation
    grpc.StatusCode.RESOURCE_EXHAUSTED,  # over quota, which refills
    grpc.StatusCode.CANCELLED,  # by the server: this side never cancels a Publish
    grpc.StatusCode.UNKNOWN,  # a proxy or the connection broke the answer
)
# More than one only while a whole call's worth is waiting: a link that is long or slow is then
# filled, and the groups of an ordinary load stay as large as they can be.
MAX_CALLS_IN_FLIGHT: Final = 2
_BACKOFF_SECONDS: Final = 0.05
_MAX_BACKOFF_SECONDS: Final = 1.0


class Parcel:
    """The messages of one request, which succeed or fail as one."""

    __slots__ = ("deadline", "done", "unacknowledged")

    def __init__(self, done: asyncio.Future[None], deadline: float, messages: int) -> None:
        self.done = done
        self.deadline = deadline
        self.unacknowledged = messages

    def acknowledge(self) -> None:
        """Note that one of the messages is safe."""
        self.unacknowledged -= 1
        if not self.unacknowledged and not self.done.done():
            self.done.set_result(None)

    def fail(self, problem: Problem) -> None:
        """End the request, unless it has ended: its client may be gone."""
        if not self.done.done():
            self.done.set_exception(problem)


# One message in the queue, and whose it is.
Entry = tuple[Parcel, bytes]


class Publisher:
    """Publishes to one topic on behalf of all requests of this process.

    Args:
        topic: Where to.
        backlog: Bounds what waits; may be shared with other topics.
        timeout: Seconds that each request has from its arrival.
    """

    def __init__(self, topic: Topic, backlog: Backlog, timeout: float) -> None:
        self.topic = topic
        self.refused: grpc.StatusCode | None = None
        self._backlog = backlog
        self._capacity = topic.capacity
        self._timeout = timeout
        self._queue: deque[Entry] = deque()
        self._queued_bytes = 0
        self._senders: set[asyncio.Task[None]] = set()
        self._log_refused = OncePerMinute(_log, logging.ERROR, "Pub/Sub refuses to publish")
        self._log_retry = OncePerMinute(_log, logging.WARNING, "publishing is tried again")

    async def publish(self, messages: Sequence[bytes]) -> None:
        """Return once Pub/Sub has acknowledged every one of these encoded messages.

        Raises:
            Problem: OVERLOADED at once, and nothing was sent; PUBLISH_TIMEOUT when the deadline
                passed, or PUBLISH_REFUSED with a status that no retry mends: some or all of the
                messages may then be published.
        """
        count, size = len(messages), sum(map(len, messages))
        if not self._backlog.take(count, size):
            raise retry_later(OVERLOADED, "too many records wait to be published")
        try:
            loop = asyncio.get_running_loop()
            parcel = Parcel(loop.create_future(), loop.time() + self._timeout, count)
            self._queue.extend([(parcel, message) for message in messages])
            self._queued_bytes += size
            if not self._senders or (len(self._senders) < MAX_CALLS_IN_FLIGHT and self._is_full()):
                self._start_sender()
            await parcel.done
        finally:
            self._backlog.give_back(count, size)

    def _is_full(self) -> bool:
        """Tell whether the queue holds a whole call's worth."""
        return (
            len(self._queue) >= limits.PUBSUB_MAX_MESSAGES or self._queued_bytes >= self._capacity
        )

    def _start_sender(self) -> None:
        sender = asyncio.get_running_loop().create_task(self._send_queue())
        self._senders.add(sender)

    async def _send_queue(self) -> None:
        """Send group after group, until the queue is empty or too short for a second sender."""
        sender = asyncio.current_task()
        failures = 0
        try:
            while self._queue and (len(self._senders) == 1 or self._is_full()):
                again = await self._send(self._next_group())
                if not again:
                    failures = 0
                    continue
                # To the head, in order: the oldest request stays the first, and sets the timeout.
                self._queue.extendleft(reversed(again))
                self._queued_bytes += sum(len(message) for _, message in again)
                await self._back_off(failures, again[0][0].deadline)
                failures += 1
        finally:
            # At once, not when the task is seen to be done: the next to look must know.
            self._senders.discard(sender)

    def _next_group(self) -> list[Entry]:
        """Take from the queue what fits one call; end the requests that are out of time."""
        now = asyncio.get_running_loop().time()
        queue, capacity = self._queue, self._capacity
        group: list[Entry] = []
        size = 0
        while queue and len(group) < limits.PUBSUB_MAX_MESSAGES:
            parcel, message = queue[0]
            length = len(message)
            if parcel.deadline <= now:
                parcel.fail(_timed_out())
            if parcel.done.done():  # out of time, failed with another message, or cancelled
                queue.popleft()
                self._queued_bytes -= length
                continue
            if group and size + length > capacity:
                break
            queue.popleft()
            self._queued_bytes -= length
            size += length
            group.append((parcel, message))
        return group

    async def _send(self, group: list[Entry]) -> list[Entry]:
        """Send one group; return what to send again, oldest first."""
        again: list[Entry] = []
        pending = [group] if group else []
        while pending:
            part = pending.pop()
            status = await self._call(part)
            if status is None:
                for parcel, _ in part:
                    parcel.acknowledge()
            elif status in TRANSIENT:
                self._log_retry(self.topic.name, status=status.name)
                again += part
            elif status is grpc.StatusCode.INVALID_ARGUMENT and (halves := _halves(part)):
                # One message spoils the call: halve, so that it fails its own request alone.
                pending += reversed(halves)
            else:
                self._log_refused(self.topic.name, status=status.name)
                if status is not grpc.StatusCode.INVALID_ARGUMENT:  # that is about the message
                    self.refused = status
                for parcel, _ in part:
                    parcel.fail(_refused())
        return again

    async def _call(self, group: list[Entry]) -> grpc.StatusCode | None:
        remaining = group[0][0].deadline - asyncio.get_running_loop().time()
        try:
            await self.topic.publish(
                [message for _, message in group], len(group), max(remaining, 0.001)
            )
        except RpcError as error:
            return error.status
        except Exception:  # noqa: BLE001 (whatever it is, the requests must be answered)
            _log.exception("a Publish call failed on this side")
            return grpc.StatusCode.UNIMPLEMENTED
        self.refused = None
        return None

    async def _back_off(self, failures: int, deadline: float) -> None:
        """Wait with jitter, longer with every failure, but not beyond the oldest deadline."""
        pause = min(_BACKOFF_SECONDS * 2.0**failures, _MAX_BACKOFF_SECONDS)
        pause *= random.uniform(0.5, 1.5)  # noqa: S311 (jitter, not a secret)
        left = deadline - asyncio.get_running_loop().time()
        await asyncio.sleep(max(min(pause, left), 0))


def _timed_out() -> Problem:
    return retry_later(PUBLISH_TIMEOUT, "some records may have been: repeat the request")


def _refused() -> Problem:
    return Problem(PUBLISH_REFUSED, "its operator has been told")


def _halves(group: list[Entry]) -> list[list[Entry]]:
    """Split a group in two between requests; return nothing if it holds but one."""
    starts = [i for i in range(1, len(group)) if group[i][0] is not group[i - 1][0]]
    if not starts:
        return []
    middle = starts[len(starts) // 2]
    return [group[:middle], group[middle:]]
