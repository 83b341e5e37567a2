"""StreamingPull: one long call on which messages come down, and acks and deadlines go up."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

import grpc
from google.pubsub_v1 import types

from emulators.fault_server import after, before
from emulators.faults import FaultInjector
from emulators.pubsub.backlog import MAX_BATCH_MESSAGES
from emulators.pubsub.broker import Broker, Subscription
from emulators.pubsub.config import ACK_DEADLINE_MAX, ACK_DEADLINE_MIN
from emulators.pubsub.delivery import AckId, Consumer, Delivered
from emulators.rpc import Context, Handler, StatusError, invalid, not_found, serialize

METHOD: Final = "StreamingPull"
# Only in a stream's first request: https://cloud.google.com/pubsub/docs/reference/rpc
_FIRST_ONLY: Final = (
    "subscription",
    "max_outstanding_messages",
    "max_outstanding_bytes",
    "protocol_version",
)

_Request: Final[Any] = types.StreamingPullRequest.pb()
_Response: Final[Any] = types.StreamingPullResponse.pb()


class StreamingPull:
    """Serves the streams; the faults of a stream strike its opening and each of its answers."""

    def __init__(self, broker: Broker, faults: FaultInjector, name: str) -> None:
        self._broker = broker
        self._faults = faults
        self._name = name
        self._streams: set[asyncio.Event] = set()
        self._closing = False

    def handler(self) -> Handler:
        """The method's handler."""
        return grpc.stream_stream_rpc_method_handler(
            self._serve,
            request_deserializer=_Request.FromString,
            response_serializer=serialize,
        )

    def close(self) -> None:
        """Ends every stream with UNAVAILABLE, on which clients open a new one."""
        self._closing = True
        for stream in self._streams:
            stream.set()

    async def _serve(self, requests: AsyncIterator[Any], context: Context) -> None:
        await before(self._faults.take(self._name, METHOD), context)
        changed = asyncio.Event()
        self._streams.add(changed)
        try:
            await self._run(requests, context, changed)
        except StatusError as error:
            await context.abort(error.code, error.message)
        finally:
            self._streams.discard(changed)

    async def _run(
        self, requests: AsyncIterator[Any], context: Context, changed: asyncio.Event
    ) -> None:
        first = await anext(requests, None)
        if first is None:
            return
        subscription = self._broker.subscription(first.subscription)
        consumer = Consumer(
            _ack_deadline(first.stream_ack_deadline_seconds),
            first.max_outstanding_messages,
            first.max_outstanding_bytes,
            changed.set,
        )
        subscription.backlog.join(consumer)
        # Clients wait for the headers to know that the stream is open.
        await context.send_initial_metadata(())
        reader = asyncio.create_task(_read(first, requests, subscription, consumer))
        reader.add_done_callback(lambda _: changed.set())
        try:
            while not reader.done():
                await self._write(subscription, consumer, context)
                if subscription.deleted:
                    raise not_found("Subscription does not exist")
                if self._closing:
                    raise StatusError(grpc.StatusCode.UNAVAILABLE, "The server is shutting down")
                await changed.wait()
                changed.clear()
            reader.result()  # The client has closed its side, or sent what it must not.
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError, StatusError):
                await reader
            subscription.backlog.leave(consumer)

    async def _write(
        self, subscription: Subscription, consumer: Consumer, context: Context
    ) -> None:
        backlog = subscription.backlog
        while backlog.has(consumer):
            fault = self._faults.take(self._name, METHOD)
            await before(fault, context)
            taken = backlog.take(consumer, MAX_BATCH_MESSAGES, time.monotonic())
            if not taken:  # Another stream was faster, while a fault made this one wait.
                continue
            response = _Response()
            fill(response, taken, self._faults.take_delivery(self._name, METHOD))
            await after(fault, context)
            await context.write(response)


def fill(response: Any, taken: Sequence[Delivered], kinds: Iterable[str]) -> None:
    """Adds deliveries to a PullResponse or StreamingPullResponse, with these delivery faults."""
    ordered = list(taken)
    if "reorder" in kinds:
        ordered = _reordered(ordered)
    copies = 2 if "duplicate" in kinds else 1
    add = response.received_messages.add
    for copy in range(copies):
        for ack_id, message, attempt in ordered:
            received = add(ack_id=f"{ack_id}:{copy}" if copy else ack_id, delivery_attempt=attempt)
            received.message.MergeFromString(message.wire)


def _reordered(taken: list[Delivered]) -> list[Delivered]:
    # Order is promised for a key, and a fault of Google's would be another matter than this.
    free = [item for item in reversed(taken) if not item.message.ordering_key]
    unkeyed = iter(free)
    return [item if item.message.ordering_key else next(unkeyed) for item in taken]


async def _read(
    first: Any, requests: AsyncIterator[Any], subscription: Subscription, consumer: Consumer
) -> None:
    _apply(first, subscription)
    async for request in requests:
        if any(getattr(request, field) for field in _FIRST_ONLY):
            raise invalid(f"{', '.join(_FIRST_ONLY)}: only in the first request of a stream")
        if request.stream_ack_deadline_seconds:
            consumer.ack_deadline = _ack_deadline(request.stream_ack_deadline_seconds)
        _apply(request, subscription)


def _apply(request: Any, subscription: Subscription) -> None:
    backlog = subscription.backlog
    seconds = request.modify_deadline_seconds
    if len(seconds) != len(request.modify_deadline_ack_ids):
        raise invalid("modify_deadline_seconds and modify_deadline_ack_ids differ in length")
    if any(not 0 <= deadline <= ACK_DEADLINE_MAX for deadline in seconds):
        raise invalid(f"modify_deadline_seconds is from 0 to {ACK_DEADLINE_MAX}")
    acks = [AckId.parse(text) for text in request.ack_ids]
    changes = [AckId.parse(text) for text in request.modify_deadline_ack_ids]
    now = time.monotonic()
    for ack_id in acks:
        backlog.acknowledge(ack_id)
    for ack_id, deadline in zip(changes, seconds, strict=True):
        backlog.modify(ack_id, deadline, now)


def _ack_deadline(seconds: int) -> int:
    if not ACK_DEADLINE_MIN <= seconds <= ACK_DEADLINE_MAX:
        raise invalid(
            f"stream_ack_deadline_seconds is from {ACK_DEADLINE_MIN} to {ACK_DEADLINE_MAX}"
        )
    return seconds
