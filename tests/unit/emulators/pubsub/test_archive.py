import google.pubsub_v1 as gapic
import pytest

from emulators.pubsub import archive
from emulators.pubsub.broker import Broker
from emulators.pubsub.delivery import AckId, Consumer
from emulators.pubsub.messages import PubsubMessage

TOPIC = "projects/demo-project/topics/patients"
HOUR = {"seconds": 3600}


def subscription(name: str, **settings):
    full = f"projects/demo-project/subscriptions/{name}"
    return gapic.Subscription.pb()(name=full, topic=TOPIC, **settings)


@pytest.fixture
def broker() -> Broker:
    made = Broker()
    made.create_topic(gapic.Topic.pb()(name=TOPIC, message_retention_duration=HOUR))
    return made


def reborn(broker: Broker, folder) -> Broker:
    archive.save(broker, folder)
    other = Broker()
    archive.load(other, folder)
    return other


def take(broker: Broker, name: str):
    backlog = broker.subscriptions[f"projects/demo-project/subscriptions/{name}"].backlog
    return backlog, backlog.take(Consumer(10.0), 1000, 0.0)


def texts(taken) -> list[bytes]:
    return [PubsubMessage.FromString(item.message.wire).data for item in taken]


def publish(broker: Broker, *texts: str) -> list[str]:
    return broker.publish(broker.topics[TOPIC], [PubsubMessage(data=t.encode()) for t in texts])


def test_nothing_unacknowledged_is_lost(broker, tmp_path):
    for name in ("one", "two"):
        broker.create_subscription(subscription(name))
    ids = publish(broker, "a", "b", "c")
    backlog, taken = take(broker, "one")
    backlog.acknowledge(AckId.parse(taken[0].ack_id))  # b and c are out, and not acknowledged.
    after = reborn(broker, tmp_path)
    assert texts(take(after, "one")[1]) == [b"b", b"c"]
    assert texts(take(after, "two")[1]) == [b"a", b"b", b"c"]
    assert int(publish(after, "d")[0]) > int(ids[-1])


def test_settings_and_failures_are_kept(broker, tmp_path):
    broker.create_subscription(
        subscription(
            "strict",
            filter="attributes:a",
            ack_deadline_seconds=33,
            dead_letter_policy={"dead_letter_topic": TOPIC, "max_delivery_attempts": 7},
        )
    )
    broker.publish(
        broker.topics[TOPIC], [PubsubMessage(attributes={"a": "1"}), PubsubMessage(data=b"no")]
    )
    backlog, [received] = take(broker, "strict")
    backlog.modify(AckId.parse(received.ack_id), 0, 0.0)
    after = reborn(broker, tmp_path)
    [again] = take(after, "strict")[1]
    assert again.attempt == 2
    stored = after.subscription("projects/demo-project/subscriptions/strict").describe()
    assert stored.ack_deadline_seconds == 33
    assert after.topic(TOPIC).config.message_retention_duration.seconds == 3600


def test_retained_messages_can_still_be_sought(broker, tmp_path):
    broker.create_subscription(subscription("keeps", retain_acked_messages=True))
    publish(broker, "a")
    backlog, [received] = take(broker, "keeps")
    backlog.acknowledge(AckId.parse(received.ack_id))
    after = reborn(broker, tmp_path)
    assert take(after, "keeps")[1] == []
    late = after.create_subscription(subscription("late"))
    for kept in (after.subscriptions[f"{late.config.name[:-4]}keeps"], late):
        after.seek(kept, 0)
    assert texts(take(after, "keeps")[1]) == [b"a"]
    assert texts(take(after, "late")[1]) == [b"a"]


def test_subscription_of_a_deleted_topic_is_kept(broker, tmp_path):
    created = broker.create_subscription(subscription("orphan"))
    publish(broker, "a")
    broker.delete_topic(TOPIC)
    broker.create_topic(gapic.Topic.pb()(name=TOPIC))
    after = reborn(broker, tmp_path)
    assert after.subscription(created.config.name).describe().topic == "_deleted-topic_"
    assert texts(take(after, "orphan")[1]) == [b"a"]


def test_first_start_has_nothing(tmp_path):
    broker = Broker()
    archive.load(broker, tmp_path / "none")
    assert not broker.topics
