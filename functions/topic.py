"""One Pub/Sub topic, as the publisher and the readiness check call it."""

from collections.abc import Iterable, Mapping
from typing import Final

import grpc
import grpc.aio

from functions.google_rpc import (
    GetTopicRequest,
    PublishRequest,
    PublishResponse,
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
    """Return a message as its part of an encoded PublishRequest, so that its length is exact.

    Always of a new object: one that is filled again and again never frees what it held before.
    """
    request = PublishRequest()
    message = request.messages.add(data=data)
    for name, value in attributes.items():
        message.attributes[name] = value  # quicker than update(), which is written in Python
    encoded: bytes = request.SerializeToString()
    return encoded
