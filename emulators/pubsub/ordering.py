"""The messages of one ordering key: https://cloud.google.com/pubsub/docs/ordering.

They go out in order, to one consumer at a time; when one fails, it and everything delivered after
it goes out again, what was acknowledged among it included.
"""

from collections import deque
from itertools import islice

from emulators.pubsub.delivery import Consumer, Delivery, State


class KeyQueue:
    """A window over the key's messages: first what is delivered, then what waits."""

    def __init__(self) -> None:
        self._deliveries: deque[Delivery] = deque()
        self._delivered = 0  # how many from the left are delivered and not yet done with
        self.holder: Consumer | None = None  # who has the delivered ones
        self.queued = False  # whether it stands in line where `holder` may find it

    def __bool__(self) -> bool:
        return bool(self._deliveries)

    def append(self, delivery: Delivery) -> None:
        """Adds the newest message."""
        self._deliveries.append(delivery)

    def head(self) -> Delivery | None:
        """The next message to deliver, or None while the key is blocked or has none."""
        while self._delivered < len(self._deliveries):
            delivery = self._deliveries[self._delivered]
            if delivery.state is not State.ACKED:
                return delivery if delivery.state is State.READY else None
            # Dead-lettered, expired, or acknowledged late: passed over.
            self._delivered += 1
        return None

    def take(self, consumer: Consumer) -> None:
        """Counts the head as delivered."""
        self._delivered += 1
        self.holder = consumer

    def settle(self) -> list[Delivery]:
        """Forgets what is acknowledged up to the first that is not, and returns it."""
        done = []
        while self._delivered and self._deliveries[0].state is State.ACKED:
            done.append(self._deliveries.popleft())
            self._delivered -= 1
        if not self._delivered:
            self.holder = None
        return done

    def rewind(self, failed: Delivery) -> None:
        """Takes back the failed message and all that were delivered after it."""
        position = self._deliveries.index(failed)
        later = list(islice(self._deliveries, position + 1, self._delivered))
        for delivery in later:
            delivery.end(State.READY)
            delivery.lease = 0  # An ack of the delivery that is taken back comes too late.
        self._delivered = min(position, self._delivered)
        if not self._delivered:
            self.holder = None
