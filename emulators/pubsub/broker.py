"""The topics and the subscriptions, and the way of a message from the one to the others."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from emulators.pubsub.backlog import Backlog
from emulators.pubsub.config import (
    SUBSCRIPTION_UPDATABLE,
    TOPIC_UPDATABLE,
    complete_subscription,
    complete_topic,
    policy_of,
    updated,
)
from emulators.pubsub.filters import parse_filter
from emulators.pubsub.messages import Message, PubsubMessage, stamp
from emulators.pubsub.names import DELETED_TOPIC, project_id, short_id
from emulators.rpc import already_exists, not_found

MICROSECOND_NANOS = 1_000


def wall_micros() -> int:
    """The time, in microseconds since 1970."""
    return time.time_ns() // MICROSECOND_NANOS


class Topic:
    """A topic, and what it retains for subscriptions that seek."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.subscriptions: dict[str, Subscription] = {}
        self.log: deque[Message] = deque()

    @property
    def retains(self) -> bool:
        """Whether messages are kept beyond what the subscriptions keep."""
        return bool(self.config.HasField("message_retention_duration"))


class Subscription:
    """A subscription: its settings and its backlog. `topic` is None once that was deleted."""

    def __init__(self, config: Any, topic: Topic | None, backlog: Backlog) -> None:
        self.config = config
        self.topic = topic
        self.backlog = backlog
        self.wants = parse_filter(config.filter)
        self.deleted = False

    def describe(self) -> Any:
        """The configuration as clients see it."""
        described = type(self.config)()
        described.CopyFrom(self.config)
        if self.topic is None:
            described.topic = DELETED_TOPIC
        elif self.topic.retains:
            described.topic_message_retention_duration.CopyFrom(
                self.topic.config.message_retention_duration
            )
        return described

    def admits(self, message: Any) -> bool:
        """Whether the filter lets a PubsubMessage through."""
        return self.wants is None or self.wants(message.attributes)


class Broker:
    """Everything Pub/Sub knows; `wall` gives publish times in microseconds since 1970."""

    def __init__(self, wall: Callable[[], int] = wall_micros) -> None:
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.wall = wall
        # Begins at the time, so that ids rise from one process to the next as well.
        self.last_sequence = wall()

    def topic(self, name: str) -> Topic:
        """The topic, or StatusError NOT_FOUND."""
        try:
            return self.topics[name]
        except KeyError:
            raise not_found("Topic not found") from None

    def subscription(self, name: str) -> Subscription:
        """The subscription, or StatusError NOT_FOUND."""
        try:
            return self.subscriptions[name]
        except KeyError:
            raise not_found("Subscription does not exist") from None

    def create_topic(self, config: Any) -> Topic:
        """Raises StatusError."""
        stored = complete_topic(config)
        if stored.name in self.topics:
            raise already_exists("Topic already exists")
        topic = self.topics[stored.name] = Topic(stored)
        return topic

    def update_topic(self, update: Any, paths: Sequence[str]) -> Topic:
        """Raises StatusError."""
        topic = self.topic(update.name)
        topic.config = complete_topic(updated(topic.config, update, paths, TOPIC_UPDATABLE))
        if not topic.retains:
            topic.log.clear()
        return topic

    def delete_topic(self, name: str) -> None:
        """Its subscriptions stay, with what they have."""
        topic = self.topic(name)
        for subscription in topic.subscriptions.values():
            subscription.topic = None
        del self.topics[name]

    def create_subscription(self, config: Any) -> Subscription:
        """Raises StatusError."""
        stored = complete_subscription(config)
        if stored.name in self.subscriptions:
            raise already_exists("Subscription already exists")
        if stored.topic not in self.topics:
            raise not_found("Subscription topic does not exist")
        self._check_dead_letters(stored)
        return self.attach(stored, self.topics[stored.topic])

    def attach(self, config: Any, topic: Topic | None) -> Subscription:
        """Adds a subscription whose configuration is complete."""
        subscription = Subscription(config, topic, Backlog(policy_of(config), self._bury(config)))
        self.subscriptions[config.name] = subscription
        if topic is not None:
            topic.subscriptions[config.name] = subscription
        return subscription

    def update_subscription(self, update: Any, paths: Sequence[str]) -> Subscription:
        """Raises StatusError."""
        subscription = self.subscription(update.name)
        changed = updated(subscription.config, update, paths, SUBSCRIPTION_UPDATABLE)
        stored = complete_subscription(changed)
        self._check_dead_letters(stored)
        # In place: the backlog buries by this configuration.
        subscription.config.CopyFrom(stored)
        subscription.backlog.policy = policy_of(stored)
        return subscription

    def delete_subscription(self, name: str) -> None:
        """Drops it with all it has; streams on it find it deleted."""
        subscription = self.subscription(name)
        del self.subscriptions[name]
        if subscription.topic is not None:
            del subscription.topic.subscriptions[name]
        subscription.deleted = True
        subscription.backlog.wake()

    def publish(self, topic: Topic, messages: Sequence[Any]) -> list[str]:
        """Hands checked PubsubMessages to every subscription; returns their ids."""
        published = self.wall()
        stamped = []
        for message in messages:
            self.last_sequence += 1
            stamped.append(stamp(message, self.last_sequence, published))
        for subscription in topic.subscriptions.values():
            if subscription.wants is None:
                subscription.backlog.offer(stamped)
            else:
                subscription.backlog.offer(
                    kept
                    for message, kept in zip(messages, stamped, strict=True)
                    if subscription.admits(message)
                )
        if topic.retains:
            topic.log.extend(stamped)
        return [str(message.sequence) for message in stamped]

    def seek(self, subscription: Subscription, published_from: int) -> None:
        """Sets a subscription back, or forward, to a time in microseconds since 1970."""
        log = subscription.topic.log if subscription.topic is not None else ()
        wanted = (m for m in log if subscription.admits(PubsubMessage.FromString(m.wire)))
        subscription.backlog.seek(published_from, wanted)

    def tick(self, now: float) -> None:
        """Redelivers what is due; `now` is on the clock of the backlogs."""
        # A copy: what is dead-lettered may reach any subscription, but creates none.
        for subscription in list(self.subscriptions.values()):
            subscription.backlog.tick(now)

    def expire(self) -> None:
        """Drops what is older than its retention."""
        now = self.wall()
        for subscription in self.subscriptions.values():
            retention = subscription.config.message_retention_duration
            subscription.backlog.expire(now - retention.ToMicroseconds())
        for topic in self.topics.values():
            if topic.retains:
                oldest = now - topic.config.message_retention_duration.ToMicroseconds()
                while topic.log and topic.log[0].published < oldest:
                    topic.log.popleft()

    def _check_dead_letters(self, config: Any) -> None:
        policy = config.dead_letter_policy
        if config.HasField("dead_letter_policy") and policy.dead_letter_topic not in self.topics:
            raise not_found("Dead letter topic not found")

    def _bury(self, config: Any) -> Callable[[Message, int], bool]:
        def bury(message: Message, attempts: int) -> bool:
            topic = self.topics.get(config.dead_letter_policy.dead_letter_topic)
            if topic is None:
                return False
            letter = PubsubMessage.FromString(message.wire)
            published = datetime.fromtimestamp(message.published / 1_000_000, UTC)
            # https://cloud.google.com/pubsub/docs/handling-failures#dead_letter_topic
            letter.attributes.update(
                {
                    "CloudPubSubDeadLetterSourceDeliveryCount": str(attempts),
                    "CloudPubSubDeadLetterSourceSubscription": short_id(config.name),
                    "CloudPubSubDeadLetterSourceSubscriptionProject": project_id(config.name),
                    "CloudPubSubDeadLetterSourceTopicPublishTime": (
                        published.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                    ),
                }
            )
            self.publish(topic, [letter])
            return True

        return bury
