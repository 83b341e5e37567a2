"""Takes what is published as fast as Python can, and counts it: the same for all that is measured.

It keeps nothing and delivers nothing, so that its own cost hides no difference of its clients.
"""

from collections.abc import Collection
from typing import Any, Final

import grpc

from functions.google_rpc import GetTopicRequest, PublishRequest, PublishResponse, TopicResponse

SERVICE: Final = "google.pubsub.v1.Publisher"
_NDJSON: Final = "application/x-ndjson"


class PubSubSink:
    """Pub/Sub's Publisher service.

    Args:
        topics: Names of those that carry records; others are taken too (the audit's), but their
            messages are no records. Each line of a packed message is one.
    """

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = frozenset(topics)
        self.calls = self.messages = self.records = 0

    async def publish(self, request: bytes, _: Any) -> bytes:
        """Acknowledge every message."""
        published = PublishRequest.FromString(request)
        messages = published.messages
        first = self.messages
        self.calls += 1
        self.messages += len(messages)
        if published.topic.rpartition("/")[2] in self._topics:
            for message in messages:
                packed = message.attributes.get("content_type") == _NDJSON
                self.records += message.data.count(b"\n") + 1 if packed else 1
        ids = [str(number) for number in range(first, self.messages)]
        answer: bytes = PublishResponse(message_ids=ids).SerializeToString()
        return answer

    async def get_topic(self, request: bytes, _: Any) -> bytes:
        """Answer that any topic is there: a readiness check asks."""
        name = GetTopicRequest.FromString(request).topic
        answer: bytes = TopicResponse(name=name).SerializeToString()
        return answer

    def handler(self) -> "grpc.GenericRpcHandler[Any, Any]":
        """Return what a server is given; requests and answers stay bytes until here."""
        methods = {"Publish": self.publish, "GetTopic": self.get_topic}
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {name: grpc.unary_unary_rpc_method_handler(serve) for name, serve in methods.items()},
        )
