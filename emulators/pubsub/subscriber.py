"""The Subscriber service: https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from google.protobuf import empty_pb2
from google.pubsub_v1 import types

from emulators.faults import FaultInjector
from emulators.pubsub.broker import Broker, Subscription
from emulators.pubsub.config import ACK_DEADLINE_MAX
from emulators.pubsub.delivery import AckId, Consumer, Delivered
from emulators.pubsub.names import check_project
from emulators.pubsub.streaming import StreamingPull, fill
from emulators.rpc import Context, Handlers, invalid, page, unary, unimplemented

SERVICE: Final = "google.pubsub.v1.Subscriber"
MAX_PAGE: Final = 1_000
# How long a Pull of an empty subscription waits; Google promises "a bounded time". Beam's
# DirectRunner pulls its subscriptions in turn on one thread, so each empty one delays the others.
PULL_WAIT_SECONDS: Final = 0.01
# https://cloud.google.com/pubsub/quotas#resource_limits
MAX_ACK_REQUEST_BYTES: Final = 524_288

_ListSubscriptionsResponse: Final[Any] = types.ListSubscriptionsResponse.pb()
_PullResponse: Final[Any] = types.PullResponse.pb()
_SeekResponse: Final[Any] = types.SeekResponse.pb()


class Subscriber:
    """Answers with what the broker has; `name` is the service's in the fault injector."""

    def __init__(self, broker: Broker, faults: FaultInjector, name: str) -> None:
        self._broker = broker
        self._faults = faults
        self._name = name
        self.streaming = StreamingPull(broker, faults, name)

    def handlers(self) -> Handlers:
        """The service's methods."""
        return {
            "CreateSubscription": unary(self.create_subscription, types.Subscription.pb()),
            "GetSubscription": unary(self.get_subscription, types.GetSubscriptionRequest.pb()),
            "UpdateSubscription": unary(
                self.update_subscription, types.UpdateSubscriptionRequest.pb()
            ),
            "ListSubscriptions": unary(
                self.list_subscriptions, types.ListSubscriptionsRequest.pb()
            ),
            "DeleteSubscription": unary(
                self.delete_subscription, types.DeleteSubscriptionRequest.pb()
            ),
            "ModifyAckDeadline": unary(
                self.modify_ack_deadline, types.ModifyAckDeadlineRequest.pb()
            ),
            "Acknowledge": unary(self.acknowledge, types.AcknowledgeRequest.pb()),
            "Pull": unary(self.pull, types.PullRequest.pb(), with_context=True),
            "StreamingPull": self.streaming.handler(),
            "Seek": unary(self.seek, types.SeekRequest.pb()),
            "CreateSnapshot": unary(_no_snapshots, types.CreateSnapshotRequest.pb()),
            "GetSnapshot": unary(_no_snapshots, types.GetSnapshotRequest.pb()),
            "ListSnapshots": unary(_no_snapshots, types.ListSnapshotsRequest.pb()),
            "DeleteSnapshot": unary(_no_snapshots, types.DeleteSnapshotRequest.pb()),
        }

    def create_subscription(self, request: Any) -> Any:  # noqa: D102  # The reference says it.
        return self._broker.create_subscription(request).describe()

    def get_subscription(self, request: Any) -> Any:  # noqa: D102  # As above.
        return self._broker.subscription(request.subscription).describe()

    def update_subscription(self, request: Any) -> Any:  # noqa: D102  # As above.
        paths = request.update_mask.paths
        return self._broker.update_subscription(request.subscription, paths).describe()

    def list_subscriptions(self, request: Any) -> Any:  # noqa: D102  # As above.
        prefix = f"{check_project(request.project)}/"
        names = sorted(name for name in self._broker.subscriptions if name.startswith(prefix))
        kept, token = page(names, request.page_size, request.page_token, MAX_PAGE)
        subscriptions = [self._broker.subscriptions[name].describe() for name in kept]
        return _ListSubscriptionsResponse(subscriptions=subscriptions, next_page_token=token)

    def delete_subscription(self, request: Any) -> Any:  # noqa: D102  # As above.
        self._broker.delete_subscription(request.subscription)
        return empty_pb2.Empty()

    def acknowledge(self, request: Any) -> Any:  # noqa: D102  # As above.
        backlog = self._broker.subscription(request.subscription).backlog
        for ack_id in _ack_ids(request):
            backlog.acknowledge(ack_id)
        return empty_pb2.Empty()

    def modify_ack_deadline(self, request: Any) -> Any:  # noqa: D102  # As above.
        backlog = self._broker.subscription(request.subscription).backlog
        seconds = request.ack_deadline_seconds
        if not 0 <= seconds <= ACK_DEADLINE_MAX:
            raise invalid(f"ack_deadline_seconds is from 0 to {ACK_DEADLINE_MAX}")
        now = time.monotonic()
        for ack_id in _ack_ids(request):
            backlog.modify(ack_id, seconds, now)
        return empty_pb2.Empty()

    async def pull(self, request: Any, context: Context) -> Any:  # noqa: D102  # As above.
        subscription = self._broker.subscription(request.subscription)
        if request.max_messages < 1:
            raise invalid("max_messages is at least 1")
        wait = 0.0 if request.return_immediately else _wait_seconds(context)
        taken = await _take(subscription, request.max_messages, wait)
        response = _PullResponse()
        kinds = self._faults.take_delivery(self._name, "Pull") if taken else frozenset()
        fill(response, taken, kinds)
        return response

    def seek(self, request: Any) -> Any:  # noqa: D102  # As above.
        subscription = self._broker.subscription(request.subscription)
        if request.WhichOneof("target") != "time":
            _no_snapshots(request)
        self._broker.seek(subscription, request.time.ToMicroseconds())
        return _SeekResponse()


async def _take(subscription: Subscription, limit: int, wait: float) -> list[Delivered]:
    backlog = subscription.backlog
    arrived = asyncio.Event()
    consumer = Consumer(subscription.config.ack_deadline_seconds, wake=arrived.set)
    backlog.join(consumer)
    try:
        end = time.monotonic() + wait
        while not (taken := backlog.take(consumer, limit, time.monotonic())):
            remaining = end - time.monotonic()
            if remaining <= 0 or subscription.deleted:
                break
            try:
                await asyncio.wait_for(arrived.wait(), remaining)
            except TimeoutError:
                break
            arrived.clear()
    finally:
        backlog.leave(consumer)
    return taken


def _wait_seconds(context: Context) -> float:
    # An answer with nothing in it has to come before the client gives up.
    remaining = context.time_remaining()
    margin = 0.1
    return PULL_WAIT_SECONDS if remaining is None else min(PULL_WAIT_SECONDS, remaining - margin)


def _ack_ids(request: Any) -> Iterable[AckId]:
    if not request.ack_ids:
        raise invalid("No ack ids specified")
    if request.ByteSize() > MAX_ACK_REQUEST_BYTES:
        raise invalid(f"The request is larger than {MAX_ACK_REQUEST_BYTES} bytes")
    # All of them before the first is acted upon: a refused request has changed nothing.
    return [AckId.parse(ack_id) for ack_id in request.ack_ids]


def _no_snapshots(_: Any) -> NoReturn:
    raise unimplemented("snapshots are not part of the emulator: seek to a time")
