"""One message on its way through one subscription, and who has it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from emulators.pubsub.messages import Message
from emulators.rpc import StatusError, invalid

if TYPE_CHECKING:
    from emulators.pubsub.ordering import KeyQueue

UNLIMITED: Final = 0
_ACK_ID_PARTS: Final = 3


class State(Enum):
    """Where a message stands in a subscription."""

    READY = auto()
    LEASED = auto()  # delivered: until `due`, its consumer has it
    DELAYED = auto()  # failed: from `due` on it is ready again, as the retry policy wants
    ACKED = auto()


@dataclass(slots=True, eq=False)
class Consumer:
    """A stream or a single Pull: what it may hold unacknowledged, and what it holds."""

    ack_deadline: float  # seconds
    max_messages: int = UNLIMITED
    max_bytes: int = UNLIMITED
    wake: Callable[[], None] = lambda: None  # called when there may be something to take
    open: bool = True
    messages: int = 0
    bytes: int = 0
    # Ordering keys with messages for this consumer alone, as it holds earlier ones of theirs.
    keys: "deque[KeyQueue]" = field(default_factory=deque)

    def has_room(self, size: int) -> bool:
        """Whether flow control admits a message of this size; the first is always admitted."""
        if self.messages == 0:
            return True
        if self.max_messages > UNLIMITED and self.messages >= self.max_messages:
            return False
        return self.max_bytes <= UNLIMITED or self.bytes + size <= self.max_bytes


@dataclass(slots=True, eq=False)
class Delivery:
    """A message's standing in one subscription, from its publication until it is done with."""

    message: Message
    state: State = State.READY
    lease: int = 0  # names the latest delivery; 0 before any, and when that delivery was revoked
    due: float = 0.0
    failures: int = 0  # nacks and missed deadlines
    consumer: Consumer | None = None

    def lease_to(self, consumer: Consumer, lease: int, due: float) -> None:
        """Delivers to a consumer, which then has it until `due`."""
        self.state, self.lease, self.due, self.consumer = State.LEASED, lease, due, consumer
        consumer.messages += 1
        consumer.bytes += self.message.size

    def end(self, state: State) -> None:
        """Ends a lease, if there is one: the consumer has room again."""
        consumer, self.consumer, self.state = self.consumer, None, state
        if consumer is not None:
            consumer.messages -= 1
            consumer.bytes -= self.message.size
            consumer.wake()


class Delivered(NamedTuple):
    """What a subscriber gets."""

    ack_id: str
    message: Message
    attempt: int  # 0 where the subscription has no dead-letter policy


class AckId(NamedTuple):
    """Names one delivery of one message: `backlog:sequence:lease`, and `:n` on its n-th copy."""

    backlog: str
    sequence: int
    lease: int

    @classmethod
    def parse(cls, text: str) -> "AckId":
        """Raises StatusError INVALID_ARGUMENT for what no Pull ever gave out."""
        parts = text.split(":")
        if len(parts) < _ACK_ID_PARTS or not all(map(str.isdecimal, parts[1:])):
            raise _malformed()
        return cls(parts[0], int(parts[1]), int(parts[2]))

    def __str__(self) -> str:
        return f"{self.backlog}:{self.sequence}:{self.lease}"


def _malformed() -> StatusError:
    return invalid("Invalid ack id: no delivery has it")
