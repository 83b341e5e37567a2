"""One Pub/Sub topic, as the publisher and the readiness check call it."""

from collections.abc import Iterable, Mapping
from typing import Final

import grpc
import grpc.aio

from functions.google_rpc import (
    GetTopicRequest,
    PublishRequest,
    PublishResponse,
    PubsubMessage,
    Rpc,
    RpcError,
    TopicResponse,
)
from schemas import limits

GET_TIMEOUT_SECONDS: Final = 2.0


class Topic:
    """A topic of a project, over a channel that others may share."""

    def __init__(self, channel: grpc.aio.Channel, project_id: str, name: str) -> None:
        service = "/google.pubsub.v1.Publisher"
        self.name = name
        self._path = f"projects/{project_id}/topics/{name}"
        self._head: bytes = PublishRequest(topic=self._path).SerializeToString()
        self._publish = Rpc(channel, f"{service}/Publish", PublishResponse, "topic")
        self._get = Rpc(channel, f"{service}/GetTopic", TopicResponse, "topic")

    @property
    def capacity(self) -> int:
        """How many bytes of encoded messages one call may carry."""
        return limits.PUBSUB_MAX_REQUEST_BYTES - len(self._head)

    async def publish(self, messages: Iterable[bytes], count: int, timeout: float) -> None:  # noqa: ASYNC109 (gRPC enforces it)
        """Publish in one call; returning means that Pub/Sub holds every message.

        Args:
            messages: Of `encode_message`.
            count: How many they are.
            timeout: Seconds until DEADLINE_EXCEEDED.

        Raises:
            RpcError: The call failed, or was answered for another number of messages (as INTERNAL).
        """
        # Encoded messages that are joined are one message with all their fields:
        # https://protobuf.dev/programming-guides/encoding/#last-one-wins
        request = b"".join((self._head, *messages))
        response = await self._publish(request, self._path, timeout)
        if len(response.message_ids) != count:
            raise RpcError(grpc.StatusCode.INTERNAL)

    async def check(self) -> None:
        """Ask for the topic; needs the permission pubsub.topics.get.

        Raises:
            RpcError: It does not exist, may not be seen or cannot be reached.
        """
        await self._get(GetTopicRequest(topic=self._path), self._path, GET_TIMEOUT_SECONDS)


def encode_message(data: bytes, attributes: Mapping[str, str]) -> bytes:
    """Return a message as its part of an encoded PublishRequest, so that its length is exact."""
    return join_message((data,), attributes)


def join_message(pieces: Iterable[bytes], attributes: Mapping[str, str]) -> bytes:
    """Return a message whose data comes in pieces, encoded as by `encode_message`.

    A pack is joined and framed in one step here; through message objects, it would be copied three
    times more. Attributes are their library's business. The message is new each time: an object
    that is filled again and again never frees what it held before.
    """
    parts = list(pieces)
    size = sum(map(len, parts))
    message = PubsubMessage()
    for name, value in attributes.items():
        message.attributes[name] = value  # quicker than update(), which is written in Python
    tail = message.SerializeToString()
    head = b"\x0a" + _varint(size)  # field 1 of a PubsubMessage, its data
    length = len(head) + size + len(tail)
    return b"".join((b"\x12", _varint(length), head, *parts, tail))  # field 2 of the request


def _varint(number: int) -> bytes:
    """Return a length as protobuf writes it: https://protobuf.dev/programming-guides/encoding/."""
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004 (seven bits a byte)
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
