"""What a subscription still has to deliver, what is out on a lease, and what comes back.

It knows neither gRPC nor a clock: times are handed in, as seconds on a clock that only rises.
"""

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Final

from emulators.pubsub.delivery import AckId, Consumer, Delivered, Delivery, State
from emulators.pubsub.messages import Message
from emulators.pubsub.ordering import KeyQueue
from emulators.pubsub.policy import Policy
from emulators.pubsub.timers import Timers

# What one answer carries at most, so that several streams share a backlog. gRPC clients refuse an
# answer of more than 4 MB unless told otherwise, and Beam's local runner is not told. One larger
# message still goes out, alone.
MAX_BATCH_MESSAGES: Final = 1_000
MAX_BATCH_BYTES: Final = 3_000_000


class Backlog:
    """The messages of one subscription.

    `bury(message, attempts)` publishes a message to the dead-letter topic, and says whether it did:
    what could not be buried stays.
    """

    def __init__(self, policy: Policy, bury: Callable[[Message, int], bool]) -> None:
        self.policy = policy
        self._bury = bury
        self._id = uuid.uuid4().hex[:12]
        self._leases = count(1)
        self._deliveries: dict[int, Delivery] = {}  # by sequence, in order of publication
        self._ready: deque[Delivery | KeyQueue] = deque()
        self._keys: dict[str, KeyQueue] = {}
        self._timers = Timers(self._due)
        self._consumers: set[Consumer] = set()

    def __len__(self) -> int:
        """How many messages are kept, acknowledged ones that are retained included."""
        return len(self._deliveries)

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self._deliveries.values())

    def join(self, consumer: Consumer) -> None:
        """Lets a consumer know from now on when there may be something to take."""
        self._consumers.add(consumer)

    def leave(self, consumer: Consumer) -> None:
        """Forgets a consumer. What it holds stays leased, as nobody knows what became of it."""
        consumer.open = False
        self._consumers.discard(consumer)

    def offer(self, messages: Iterable[Message]) -> None:
        """Adds what was published."""
        for message in messages:
            self._add(Delivery(message))
        self.wake()

    def restore(self, deliveries: Iterable[Delivery]) -> None:
        """Adds what an earlier process had, in order of publication."""
        for delivery in deliveries:
            self._add(delivery)

    def has(self, consumer: Consumer) -> bool:
        """Whether `take` would have something for this consumer."""
        _, delivery = self._head(consumer)
        return delivery is not None and consumer.has_room(delivery.message.size)

    def take(self, consumer: Consumer, limit: int, now: float) -> list[Delivered]:
        """Leases up to `limit` messages to a consumer, as far as its flow control admits."""
        taken: list[Delivered] = []
        size = 0
        while len(taken) < min(limit, MAX_BATCH_MESSAGES):
            line, delivery = self._head(consumer)
            if delivery is None or not consumer.has_room(delivery.message.size):
                break
            size += delivery.message.size
            if taken and size > MAX_BATCH_BYTES:
                break
            first = line.popleft()
            due = now + consumer.ack_deadline
            delivery.lease_to(consumer, next(self._leases), due)
            self._timers.set(due, delivery.message.sequence)
            if isinstance(first, KeyQueue):
                first.take(consumer)
                first.queued = False
                self._stand_in_line(first)
            ack_id = AckId(self._id, delivery.message.sequence, delivery.lease)
            attempt = delivery.failures + 1 if self.policy.max_attempts else 0
            taken.append(Delivered(str(ack_id), delivery.message, attempt))
        return taken

    def acknowledge(self, ack_id: AckId) -> None:
        """Ends a message's way. A late ack counts, as long as there was no later delivery."""
        delivery = self._find(ack_id)
        if delivery is not None and delivery.state is not State.ACKED:
            self._finish(delivery)

    def modify(self, ack_id: AckId, seconds: float, now: float) -> None:
        """Sets the deadline of a lease to `seconds` from now; 0 gives the message back."""
        delivery = self._find(ack_id)
        if delivery is None or delivery.state is not State.LEASED:
            return
        if seconds <= 0:
            self._fail(delivery, now)
            self.wake()
            return
        earlier = now + seconds < delivery.due
        delivery.due = now + seconds
        if earlier:
            self._timers.set(delivery.due, delivery.message.sequence)

    def tick(self, now: float) -> None:
        """Gives back what nobody acknowledged in time, and what has waited out its backoff."""
        changed = False
        for sequence in self._timers.pop(now):
            due = self._due(sequence)
            if due is None:
                continue
            if due > now:  # The lease was extended.
                self._timers.set(due, sequence)
                continue
            delivery = self._deliveries[sequence]
            changed = True
            if delivery.state is State.LEASED:
                self._fail(delivery, now)
            else:
                delivery.state = State.READY
                self._line_up(delivery)
        if changed:
            self.wake()

    def expire(self, published_before: int) -> None:
        """Drops what was published before this time (microseconds since 1970)."""
        old = []
        for delivery in self._deliveries.values():
            if delivery.message.published >= published_before:
                break
            old.append(delivery)
        for delivery in old:
            self._finish(delivery)
            self._deliveries.pop(delivery.message.sequence, None)

    def seek(self, published_from: int, log: Iterable[Message]) -> None:
        """Everything published from this time on is to be delivered, and nothing from before it.

        `log` is what the topic retains besides.
        """
        kept = self._deliveries
        for message in log:
            kept.setdefault(message.sequence, Delivery(message))
        self._deliveries = {}
        self._ready.clear()
        self._keys.clear()
        self._timers.clear()
        for consumer in self._consumers:
            consumer.keys.clear()
        for sequence in sorted(kept):
            delivery = kept[sequence]
            wanted = delivery.message.published >= published_from
            delivery.end(State.READY if wanted else State.ACKED)
            delivery.lease = delivery.failures = 0
            if wanted or self.policy.retain_acked:
                self._add(delivery)
        self.wake()

    def _add(self, delivery: Delivery) -> None:
        self._deliveries[delivery.message.sequence] = delivery
        if delivery.state is State.ACKED:
            return
        if key := self._key_of(delivery):
            self._keys.setdefault(key, KeyQueue()).append(delivery)
        self._line_up(delivery)

    def _line_up(self, delivery: Delivery) -> None:
        if key := self._key_of(delivery):
            self._stand_in_line(self._keys[key])
        else:
            self._ready.append(delivery)

    def _stand_in_line(self, queue: KeyQueue) -> None:
        if queue.queued or queue.head() is None:
            return
        if queue.holder is None:
            self._ready.append(queue)
            queue.queued = True
        elif queue.holder.open:
            queue.holder.keys.append(queue)
            queue.queued = True
        # Else its holder has gone: the key waits until what that one has is acknowledged or due.

    def _head(
        self, consumer: Consumer
    ) -> tuple[deque[KeyQueue] | deque[Delivery | KeyQueue], Delivery | None]:
        while consumer.keys:
            queue = consumer.keys[0]
            if queue.holder is consumer and (delivery := queue.head()) is not None:
                return consumer.keys, delivery
            consumer.keys.popleft()
        while self._ready:
            first = self._ready[0]
            if isinstance(first, KeyQueue):
                if first.holder in (None, consumer) and (delivery := first.head()) is not None:
                    return self._ready, delivery
            elif first.state is State.READY:
                return self._ready, first
            self._ready.popleft()
        return self._ready, None

    def _find(self, ack_id: AckId) -> Delivery | None:
        delivery = self._deliveries.get(ack_id.sequence)
        current = delivery is not None and delivery.lease == ack_id.lease
        return delivery if current and ack_id.backlog == self._id else None

    def _due(self, sequence: int) -> float | None:
        delivery = self._deliveries.get(sequence)
        waits = delivery is not None and delivery.state in (State.LEASED, State.DELAYED)
        return delivery.due if delivery is not None and waits else None

    def _fail(self, delivery: Delivery, now: float) -> None:
        queue = self._keys.get(self._key_of(delivery))
        if queue is not None:
            holder = queue.holder
            queue.rewind(delivery)
            # Where its old holder looked, no other consumer would find it.
            queue.queued = queue.queued and queue.holder is holder
        delivery.failures += 1
        attempts = self.policy.max_attempts
        exhausted = attempts and delivery.failures >= attempts
        if exhausted and self._bury(delivery.message, delivery.failures):
            self._finish(delivery)
            return
        delay = self.policy.backoff(delivery.failures)
        delivery.end(State.DELAYED if delay else State.READY)
        if delay:
            delivery.due = now + delay
            self._timers.set(delivery.due, delivery.message.sequence)
        else:
            self._line_up(delivery)

    def _finish(self, delivery: Delivery) -> None:
        delivery.end(State.ACKED)
        key = self._key_of(delivery)
        queue = self._keys.get(key)
        if queue is None:
            self._drop(delivery)
            return
        holder = queue.holder
        queue.head()  # Passes over what was never delivered and need not be any more.
        for done in queue.settle():
            self._drop(done)
        if not queue:
            del self._keys[key]
            return
        queue.queued = queue.queued and queue.holder is holder
        self._stand_in_line(queue)
        self.wake()

    def _drop(self, delivery: Delivery) -> None:
        if not self.policy.retain_acked:
            self._deliveries.pop(delivery.message.sequence, None)

    def _key_of(self, delivery: Delivery) -> str:
        return delivery.message.ordering_key if self.policy.ordered else ""

    def wake(self) -> None:
        """Lets every consumer look again."""
        for consumer in self._consumers:
            consumer.wake()
