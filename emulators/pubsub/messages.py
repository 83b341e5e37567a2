"""A published message: checked against Pub/Sub's limits, stamped, and kept as its wire form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.pubsub_v1 import types

from emulators.rpc import invalid
from schemas import limits

PubsubMessage: Final[Any] = types.PubsubMessage.pb()

# https://cloud.google.com/pubsub/quotas#resource_limits
MAX_ORDERING_KEY_BYTES: Final = 1_024
RESERVED_PREFIX: Final = "goog"
# UTF-8 takes at most four bytes a character: a shorter text need not be encoded to be measured.
_BYTES_A_CHARACTER: Final = 4


@dataclass(frozen=True, slots=True)
class Message:
    """One message as every subscription of its topic shares it."""

    sequence: int  # its id as a number: rises with every message of the emulator
    published: int  # microseconds since 1970
    ordering_key: str
    wire: bytes  # the stamped PubsubMessage

    @property
    def size(self) -> int:
        """Bytes, as flow control counts them."""
        return len(self.wire)


def check_publish(messages: Sequence[Any], request_bytes: int) -> None:
    """Raises StatusError INVALID_ARGUMENT for what Pub/Sub would not take."""
    if not messages:
        raise invalid("No messages to publish")
    if len(messages) > limits.PUBSUB_MAX_MESSAGES:
        raise invalid(
            f"Too many messages to publish: {len(messages)}, "
            f"the limit is {limits.PUBSUB_MAX_MESSAGES}"
        )
    if request_bytes > limits.PUBSUB_MAX_REQUEST_BYTES:
        raise invalid(
            f"Request of {request_bytes} bytes, the limit is {limits.PUBSUB_MAX_REQUEST_BYTES}"
        )
    for position, message in enumerate(messages):
        if reason := _objection(message):
            # Never a value: attributes and data may hold what must not be repeated.
            raise invalid(f"Message {position}: {reason}")


def stamp(message: Any, sequence: int, published: int) -> Message:
    """The message as published, with its id and its time (microseconds since 1970)."""
    message.message_id = str(sequence)
    seconds, micros = divmod(published, 1_000_000)
    message.publish_time.seconds = seconds
    message.publish_time.nanos = micros * 1_000
    return Message(sequence, published, message.ordering_key, message.SerializeToString())


def _objection(message: Any) -> str | None:  # noqa: PLR0911  # One return a rule.
    attributes = message.attributes
    if not attributes and not message.data:
        return "data and attributes are both empty"
    if len(attributes) > limits.PUBSUB_MAX_ATTRIBUTES:
        return f"more than {limits.PUBSUB_MAX_ATTRIBUTES} attributes"
    if _longer(message.ordering_key, MAX_ORDERING_KEY_BYTES):
        return f"an ordering key of more than {MAX_ORDERING_KEY_BYTES} bytes"
    for key, value in attributes.items():
        if not key or key.startswith(RESERVED_PREFIX):
            return f"an attribute's key is empty or starts with {RESERVED_PREFIX}"
        if _longer(key, limits.PUBSUB_MAX_ATTRIBUTE_KEY_BYTES):
            return f"an attribute's key of over {limits.PUBSUB_MAX_ATTRIBUTE_KEY_BYTES} bytes"
        if _longer(value, limits.PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES):
            return f"an attribute's value of over {limits.PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES} bytes"
    return None


def _longer(text: str, maximum: int) -> bool:
    return len(text) * _BYTES_A_CHARACTER > maximum and len(text.encode()) > maximum
