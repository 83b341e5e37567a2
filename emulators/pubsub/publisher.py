"""The Publisher service: https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1."""

from typing import Any, Final

from google.protobuf import empty_pb2
from google.pubsub_v1 import types

from emulators.pubsub.broker import Broker
from emulators.pubsub.messages import check_publish
from emulators.pubsub.names import check_project
from emulators.rpc import Handlers, page, unary

SERVICE: Final = "google.pubsub.v1.Publisher"
MAX_PAGE: Final = 1_000

_ListTopicsResponse: Final[Any] = types.ListTopicsResponse.pb()
_ListTopicSubscriptionsResponse: Final[Any] = types.ListTopicSubscriptionsResponse.pb()
_PublishResponse: Final[Any] = types.PublishResponse.pb()


class Publisher:
    """Answers with what the broker has."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> Handlers:
        """The service's methods."""
        return {
            "CreateTopic": unary(self.create_topic, types.Topic.pb()),
            "UpdateTopic": unary(self.update_topic, types.UpdateTopicRequest.pb()),
            "GetTopic": unary(self.get_topic, types.GetTopicRequest.pb()),
            "ListTopics": unary(self.list_topics, types.ListTopicsRequest.pb()),
            "ListTopicSubscriptions": unary(
                self.list_topic_subscriptions, types.ListTopicSubscriptionsRequest.pb()
            ),
            "DeleteTopic": unary(self.delete_topic, types.DeleteTopicRequest.pb()),
            "Publish": unary(self.publish, types.PublishRequest.pb()),
        }

    def create_topic(self, request: Any) -> Any:  # noqa: D102  # The service's reference says it.
        return self._broker.create_topic(request).config

    def update_topic(self, request: Any) -> Any:  # noqa: D102  # As above.
        return self._broker.update_topic(request.topic, request.update_mask.paths).config

    def get_topic(self, request: Any) -> Any:  # noqa: D102  # As above.
        return self._broker.topic(request.topic).config

    def list_topics(self, request: Any) -> Any:  # noqa: D102  # As above.
        prefix = f"{check_project(request.project)}/"
        names = sorted(name for name in self._broker.topics if name.startswith(prefix))
        kept, token = page(names, request.page_size, request.page_token, MAX_PAGE)
        topics = [self._broker.topics[name].config for name in kept]
        return _ListTopicsResponse(topics=topics, next_page_token=token)

    def list_topic_subscriptions(self, request: Any) -> Any:  # noqa: D102  # As above.
        names = sorted(self._broker.topic(request.topic).subscriptions)
        kept, token = page(names, request.page_size, request.page_token, MAX_PAGE)
        return _ListTopicSubscriptionsResponse(subscriptions=kept, next_page_token=token)

    def delete_topic(self, request: Any) -> Any:  # noqa: D102  # As above.
        self._broker.delete_topic(request.topic)
        return empty_pb2.Empty()

    def publish(self, request: Any) -> Any:  # noqa: D102  # As above.
        topic = self._broker.topic(request.topic)
        messages = list(request.messages)
        check_publish(messages, request.ByteSize())
        return _PublishResponse(message_ids=self._broker.publish(topic, messages))
