"""What Google's clients may expect of Pub/Sub: run against ours and against Google's emulator."""

import datetime
import threading
import time
from collections import Counter
from concurrent.futures import TimeoutError as FutureTimeoutError
from queue import SimpleQueue

import pytest
from google.api_core.exceptions import (
    AlreadyExists,
    InvalidArgument,
    MethodNotImplemented,
    NotFound,
    OutOfRange,
)
from google.pubsub_v1 import StreamingPullRequest

from tests.fixtures.pubsub import PROJECT, PubSub, ours_only

MEGABYTE = 1_000_000


def data(received) -> list[bytes]:
    return [item.message.data for item in received]


def test_topic_lives_from_create_to_delete(pubsub: PubSub):
    topic = pubsub.topic()
    assert pubsub.publisher.get_topic(topic=topic).name == topic
    listed = pubsub.publisher.list_topics(project=f"projects/{PROJECT}")
    assert topic in [item.name for item in listed]
    pubsub.publisher.delete_topic(topic=topic)
    with pytest.raises(NotFound):
        pubsub.publisher.get_topic(topic=topic)


def test_lists_come_in_pages(pubsub: PubSub):
    topic = pubsub.topic()
    names = {pubsub.subscription(topic) for _ in range(5)}
    pages = list(
        pubsub.publisher.list_topic_subscriptions(request={"topic": topic, "page_size": 2}).pages
    )
    assert len(pages) == 3
    assert {name for page in pages for name in page.subscriptions} == names


@pytest.mark.parametrize(
    "name",
    ["1st", "ab", "google", "with space", "x" * 256, "umläut"],
    ids=["digit", "short", "goog", "space", "long", "umlaut"],
)
def test_bad_topic_name_is_refused(pubsub: PubSub, name):
    with pytest.raises(InvalidArgument):
        pubsub.publisher.create_topic(name=f"projects/{PROJECT}/topics/{name}")


def test_second_topic_of_a_name_is_refused(pubsub: PubSub):
    topic = pubsub.topic()
    with pytest.raises(AlreadyExists):
        pubsub.publisher.create_topic(name=topic)


def test_subscription_lives_from_create_to_delete(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic, ack_deadline_seconds=42)
    stored = pubsub.subscriber.get_subscription(subscription=name)
    assert (stored.topic, stored.ack_deadline_seconds) == (topic, 42)
    listed = pubsub.subscriber.list_subscriptions(project=f"projects/{PROJECT}")
    assert name in [item.name for item in listed]
    with pytest.raises(AlreadyExists):
        pubsub.subscriber.create_subscription(name=name, topic=topic)
    pubsub.subscriber.delete_subscription(subscription=name)
    with pytest.raises(NotFound):
        pubsub.subscriber.get_subscription(subscription=name)


def test_subscription_has_the_documented_defaults(pubsub: PubSub):
    stored = pubsub.subscriber.get_subscription(subscription=pubsub.subscription(pubsub.topic()))
    assert stored.ack_deadline_seconds == 10
    assert stored.message_retention_duration == datetime.timedelta(days=7)
    assert not stored.retain_acked_messages


@pytest.mark.parametrize("method", ["publish", "subscribe", "pull", "delete", "seek"])
def test_what_does_not_exist_is_not_found(pubsub: PubSub, method):
    topic = f"projects/{PROJECT}/topics/missing"
    subscription = f"projects/{PROJECT}/subscriptions/missing"
    calls = {
        "publish": lambda: pubsub.publish(topic, {"data": b"x"}),
        "subscribe": lambda: pubsub.subscription(topic),
        "pull": lambda: pubsub.pull(subscription),
        "delete": lambda: pubsub.subscriber.delete_subscription(subscription=subscription),
        "seek": lambda: pubsub.subscriber.seek(
            request={"subscription": subscription, "time": datetime.datetime.now(datetime.UTC)}
        ),
    }
    with pytest.raises(NotFound):
        calls[method]()


def test_ack_deadline_of_more_than_ten_minutes_is_refused(pubsub: PubSub):
    topic = pubsub.topic()
    pubsub.subscription(topic, ack_deadline_seconds=600)
    with pytest.raises(InvalidArgument):
        pubsub.subscription(topic, ack_deadline_seconds=601)


def test_subscription_is_updated_where_it_may_be(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)

    def update(mask, **settings):
        return pubsub.subscriber.update_subscription(
            request={
                "subscription": {"name": name, **settings},
                "update_mask": {"paths": mask},
            }
        )

    assert update(["ack_deadline_seconds"], ack_deadline_seconds=33).ack_deadline_seconds == 33
    with pytest.raises(InvalidArgument):
        update(["topic"], topic=pubsub.topic())
    with pytest.raises(InvalidArgument):
        update([], ack_deadline_seconds=44)


def test_subscription_outlives_its_topic(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    pubsub.publish(topic, {"data": b"kept"})
    pubsub.publisher.delete_topic(topic=topic)
    assert pubsub.subscriber.get_subscription(subscription=name).topic == "_deleted-topic_"
    assert data(pubsub.pull(name)) == [b"kept"]


def test_message_arrives_as_it_was_published(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    [message_id] = pubsub.publish(
        topic, {"data": bytes(range(256)), "attributes": {"op": "upsert", "ключ": "значение ✓"}}
    )
    [received] = pubsub.pull(name)
    assert received.message.data == bytes(range(256))
    assert dict(received.message.attributes) == {"op": "upsert", "ключ": "значение ✓"}
    assert received.message.message_id == message_id
    assert before < received.message.publish_time < before + datetime.timedelta(minutes=1)
    assert received.delivery_attempt == 0


def test_every_subscription_gets_what_is_published_after_it(pubsub: PubSub):
    topic = pubsub.topic()
    first = pubsub.subscription(topic)
    pubsub.publish(topic, {"data": b"1"})
    second = pubsub.subscription(topic)
    pubsub.publish(topic, {"data": b"2"})
    assert sorted(data(pubsub.pull(first, 2))) == [b"1", b"2"]
    assert data(pubsub.pull(second)) == [b"2"]


def test_message_ids_are_unique_and_rise(pubsub: PubSub):
    topic = pubsub.topic()
    ids = [
        int(message_id)
        for _ in range(3)
        for message_id in pubsub.publish(topic, *[{"data": b"x"}] * 100)
    ]
    assert ids == sorted(set(ids))
    assert len(ids) == 300


@pytest.mark.parametrize("attributes", [{}, {"only": "attributes"}], ids=["empty", "attributes"])
def test_message_needs_data_or_attributes(pubsub: PubSub, attributes):
    topic = pubsub.topic()
    if attributes:
        assert pubsub.publish(topic, {"attributes": attributes})
        return
    with pytest.raises(InvalidArgument):
        pubsub.publish(topic, {"data": b"good"}, {"data": b""})


def test_request_holds_one_to_a_thousand_messages(pubsub: PubSub):
    topic = pubsub.topic()
    assert len(pubsub.publish(topic, *[{"data": b"x"}] * 1000)) == 1000
    with pytest.raises(InvalidArgument):
        pubsub.publish(topic, *[{"data": b"x"}] * 1001)
    with pytest.raises(InvalidArgument):
        pubsub.publish(topic)


def test_message_of_almost_ten_megabytes_passes(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    pubsub.publish(topic, {"data": b"x" * (10 * MEGABYTE - 1000)})
    [received] = pubsub.pull(name)
    assert len(received.message.data) == 10 * MEGABYTE - 1000


@ours_only  # Google's emulator takes somewhat more, and resets the stream beyond that.
def test_request_of_more_than_ten_megabytes_is_refused(pubsub: PubSub):
    topic = pubsub.topic()
    half = {"data": b"x" * (5 * MEGABYTE)}
    with pytest.raises(InvalidArgument, match="10000000"):
        pubsub.publish(topic, half, half)


@ours_only  # Google's emulator does not check attributes.
@pytest.mark.parametrize(
    ("attributes", "passes"),
    [
        ({f"k{n}": "v" for n in range(100)}, True),
        ({f"k{n}": "v" for n in range(101)}, False),
        ({"k" * 256: "v"}, True),
        ({"k" * 257: "v"}, False),
        ({"k": "ä" * 512}, True),
        ({"k": "ä" * 513}, False),
        ({"": "v"}, False),
        ({"googclient": "v"}, False),
    ],
    ids=["100", "101", "key256", "key257", "value1024", "value1026", "no-key", "goog"],
)
def test_attributes_have_limits(pubsub: PubSub, attributes, passes):
    topic = pubsub.topic()
    if passes:
        assert pubsub.publish(topic, {"attributes": attributes})
        return
    with pytest.raises(InvalidArgument) as caught:
        pubsub.publish(topic, {"attributes": attributes})
    assert "ä" not in str(caught.value)


def test_pull_gives_no_more_than_asked_for(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    pubsub.publish(topic, *[{"data": b"%d" % n} for n in range(10)])
    first = pubsub.pull(name, at_most=4)
    assert 1 <= len(first) <= 4
    rest = pubsub.pull(name, 10 - len(first))
    assert len({*data(first), *data(rest)}) == 10
    with pytest.raises(InvalidArgument):
        pubsub.pull(name, at_most=0)


def test_acknowledged_message_is_gone_for_good(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    pubsub.publish(topic, {"data": b"x"})
    received = pubsub.pull(name)
    pubsub.set_deadline(name, 1, *received)
    pubsub.acknowledge(name, *received)
    pubsub.acknowledge(name, *received)  # A second time is no error.
    time.sleep(1.5)
    assert pubsub.is_empty(name)


def test_nack_brings_a_message_back_at_once(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    pubsub.publish(topic, {"data": b"x"})
    received = pubsub.pull(name)
    assert pubsub.is_empty(name)
    pubsub.nack(name, *received)
    assert data(pubsub.pull(name, seconds=3)) == [b"x"]


def test_deadline_that_passes_brings_a_message_back(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    pubsub.publish(topic, {"data": b"short"}, {"data": b"extended"})
    received = {item.message.data: item for item in pubsub.pull(name, 2)}
    pubsub.set_deadline(name, 1, *received.values())
    pubsub.set_deadline(name, 60, received[b"extended"])
    assert data(pubsub.pull(name, seconds=5)) == [b"short"]
    assert pubsub.is_empty(name)


@pytest.mark.parametrize("method", ["acknowledge", "modify_ack_deadline"])
def test_ack_id_that_nobody_gave_out_is_refused(pubsub: PubSub, method):
    name = pubsub.subscription(pubsub.topic())
    call = getattr(pubsub.subscriber, method)
    more = {"ack_deadline_seconds": 10} if method == "modify_ack_deadline" else {}
    with pytest.raises(InvalidArgument):
        call(subscription=name, ack_ids=["garbage"], **more)


@ours_only  # Google's emulator takes any deadline.
def test_deadline_of_more_than_ten_minutes_is_refused(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    pubsub.publish(topic, {"data": b"x"})
    received = pubsub.pull(name)
    pubsub.set_deadline(name, 600, *received)
    with pytest.raises(InvalidArgument):
        pubsub.set_deadline(name, 601, *received)


def test_thousands_of_messages_stream_through_the_clients(pubsub: PubSub):
    total = 3000
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    seen: Counter[bytes] = Counter()
    done = threading.Event()

    def receive(message):
        message.ack()
        seen[message.data] += 1
        if len(seen) == total:
            done.set()

    pulling = pubsub.subscriber.subscribe(name, receive)
    futures = [pubsub.publisher.publish(topic, b"%d" % n, n=str(n)) for n in range(total)]
    assert len({future.result(30) for future in futures}) == total
    assert done.wait(30)
    pulling.cancel()
    pulling.result(10)
    assert set(seen) == {b"%d" % n for n in range(total)}
    # The acks are in: nothing is left.
    assert pubsub.is_empty(name)


def test_stream_redelivers_what_the_callback_refuses(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    tries: SimpleQueue[str] = SimpleQueue()

    def receive(message):
        tries.put(message.message_id)
        if tries.qsize() < 3:
            message.nack()
        else:
            message.ack()

    pulling = pubsub.subscriber.subscribe(name, receive)
    [message_id] = pubsub.publish(topic, {"data": b"x"})
    assert [tries.get(timeout=10) for _ in range(3)] == [message_id] * 3
    pulling.cancel()
    pulling.result(10)


def test_stream_stays_open_while_nothing_comes(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    arrived: SimpleQueue[bytes] = SimpleQueue()
    pulling = pubsub.subscriber.subscribe(
        name, lambda message: (message.ack(), arrived.put(message.data))
    )
    with pytest.raises(FutureTimeoutError):
        pulling.result(1)
    pubsub.publish(topic, {"data": b"late"})
    assert arrived.get(timeout=10) == b"late"
    pulling.cancel()
    pulling.result(10)


def test_stream_of_a_missing_subscription_fails_for_good(pubsub: PubSub):
    pulling = pubsub.subscriber.subscribe(
        f"projects/{PROJECT}/subscriptions/missing", lambda _: None
    )
    with pytest.raises(NotFound):
        pulling.result(10)


@ours_only  # Google's emulator sends whatever there is and leaves flow control to the client.
def test_stream_holds_no_more_than_its_flow_control(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    pubsub.publish(topic, *[{"data": b"%d" % n} for n in range(20)])
    requests: SimpleQueue[StreamingPullRequest | None] = SimpleQueue()
    requests.put(
        StreamingPullRequest(
            subscription=name, stream_ack_deadline_seconds=60, max_outstanding_messages=5
        )
    )
    stream = pubsub.subscriber.streaming_pull(requests=iter(requests.get, None))
    answers: SimpleQueue[list[str]] = SimpleQueue()

    def read():
        for response in stream:
            answers.put([item.ack_id for item in response.received_messages])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    held = collect(answers, 5)
    assert len(held) == 5
    time.sleep(0.5)
    assert answers.empty()
    requests.put(StreamingPullRequest())  # Keeps the stream alive; nothing else.
    requests.put(StreamingPullRequest(ack_ids=held[:3]))
    assert len(collect(answers, 3)) == 3
    time.sleep(0.5)
    assert answers.empty()
    requests.put(None)  # The client closes its side, and the stream ends in good order.
    reader.join(10)
    assert not reader.is_alive()


def collect(answers: "SimpleQueue[list[str]]", wanted: int) -> list[str]:
    collected: list[str] = []
    while len(collected) < wanted:
        collected += answers.get(timeout=10)
    return collected


@pytest.mark.parametrize("keys", [1, 7])
def test_messages_of_a_key_come_in_order(pubsub: PubSub, keys):
    total = 200
    topic = pubsub.topic()
    name = pubsub.subscription(topic, enable_message_ordering=True)
    seen: dict[str, list[int]] = {f"key-{n}": [] for n in range(keys)}
    done = threading.Event()

    def receive(message):
        seen[message.ordering_key].append(int(message.data))
        message.ack()
        if sum(map(len, seen.values())) == total:
            done.set()

    pulling = pubsub.subscriber.subscribe(name, receive)
    futures = [
        pubsub.publisher.publish(topic, b"%d" % n, ordering_key=f"key-{n % keys}")
        for n in range(total)
    ]
    for future in futures:
        future.result(30)
    assert done.wait(30)
    pulling.cancel()
    pulling.result(10)
    assert seen == {f"key-{n}": list(range(n, total, keys)) for n in range(keys)}


def test_key_is_blocked_while_its_messages_are_out(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic, enable_message_ordering=True)
    pubsub.publish(topic, *[{"data": b"%d" % n, "ordering_key": "k"} for n in range(4)])
    first = pubsub.pull(name, at_most=2)
    assert data(first) == [b"0", b"1"]
    pubsub.acknowledge(name, first[1])
    assert pubsub.is_empty(name)
    pubsub.acknowledge(name, first[0])
    assert data(pubsub.pull(name, 2)) == [b"2", b"3"]


def test_dead_letter_says_where_it_comes_from(pubsub: PubSub):
    topic, graves = pubsub.topic(), pubsub.topic()
    letters = pubsub.subscription(graves)
    name = pubsub.subscription(
        topic, dead_letter_policy={"dead_letter_topic": graves, "max_delivery_attempts": 5}
    )
    pubsub.publish(topic, {"data": b"poison", "attributes": {"op": "upsert"}})
    for attempt in range(1, 6):
        [received] = pubsub.pull(name, seconds=5)
        assert received.delivery_attempt == attempt
        pubsub.nack(name, received)
    assert pubsub.is_empty(name)  # Google's emulator buries at the next Pull.
    [letter] = pubsub.pull(letters, seconds=5)
    assert letter.message.data == b"poison"
    attributes = dict(letter.message.attributes)
    published = attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime")
    assert datetime.datetime.fromisoformat(published).year >= 2024
    assert attributes == {
        "op": "upsert",
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
        "CloudPubSubDeadLetterSourceSubscription": name.rpartition("/")[2],
        "CloudPubSubDeadLetterSourceSubscriptionProject": PROJECT,
    }


def test_dead_letter_policy_is_checked(pubsub: PubSub):
    topic = pubsub.topic()
    with pytest.raises(OutOfRange):
        pubsub.subscription(
            topic, dead_letter_policy={"dead_letter_topic": topic, "max_delivery_attempts": 4}
        )
    with pytest.raises(NotFound):
        pubsub.subscription(topic, dead_letter_policy={"dead_letter_topic": f"{topic}-missing"})


def test_seek_back_delivers_again_and_seek_forward_drops(pubsub: PubSub):
    topic = pubsub.topic()
    name = pubsub.subscription(topic, retain_acked_messages=True)
    pubsub.publish(topic, {"data": b"first"})
    pubsub.acknowledge(name, *pubsub.pull(name))
    assert pubsub.is_empty(name)

    def seek(seconds):
        moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        pubsub.subscriber.seek(request={"subscription": name, "time": moment})

    seek(-60)
    assert data(pubsub.pull(name)) == [b"first"]
    pubsub.publish(topic, {"data": b"second"})
    seek(+5)
    assert pubsub.is_empty(name)


@ours_only  # Google's emulator stores a filter and then delivers everything.
def test_filter_lets_through_what_it_names(pubsub: PubSub):
    topic = pubsub.topic()
    deletes = pubsub.subscription(
        topic, filter='attributes.op = "delete" AND NOT hasPrefix(attributes.resource, "lab_")'
    )
    everything = pubsub.subscription(topic)
    pubsub.publish(
        topic,
        {"attributes": {"op": "delete", "resource": "patients"}},
        {"attributes": {"op": "upsert", "resource": "patients"}},
        {"attributes": {"op": "delete", "resource": "lab_results"}},
    )
    assert len(pubsub.pull(everything, 3)) == 3
    [received] = pubsub.pull(deletes)
    assert dict(received.message.attributes) == {"op": "delete", "resource": "patients"}
    assert pubsub.is_empty(deletes)


@ours_only  # Google's emulator takes any text for a filter.
@pytest.mark.parametrize("text", ['attributes.op == "x"', "x" * 257], ids=["syntax", "length"])
def test_bad_filter_is_refused(pubsub: PubSub, text):
    with pytest.raises(InvalidArgument, match="filter"):
        pubsub.subscription(pubsub.topic(), filter=text)


@ours_only  # Google's emulator has no labels.
def test_topic_is_updated_where_it_may_be(pubsub: PubSub):
    topic = pubsub.topic()
    changed = pubsub.publisher.update_topic(
        request={
            "topic": {
                "name": topic,
                "labels": {"env": "local"},
                "message_retention_duration": datetime.timedelta(hours=1),
            },
            "update_mask": {"paths": ["labels", "message_retention_duration"]},
        }
    )
    assert dict(changed.labels) == {"env": "local"}
    subscription = pubsub.subscriber.get_subscription(subscription=pubsub.subscription(topic))
    assert subscription.topic_message_retention_duration == datetime.timedelta(hours=1)


@ours_only  # Google's emulator does not look at a topic's retention.
def test_topic_retains_for_subscriptions_that_come_later(pubsub: PubSub):
    topic = pubsub.topic(message_retention_duration=datetime.timedelta(hours=1))
    pubsub.publish(topic, {"data": b"earlier"})
    name = pubsub.subscription(topic)
    assert pubsub.is_empty(name)
    moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)
    pubsub.subscriber.seek(request={"subscription": name, "time": moment})
    assert data(pubsub.pull(name)) == [b"earlier"]


@ours_only  # Google's emulator has some of these.
@pytest.mark.parametrize(
    "settings",
    [
        {"push_config": {"push_endpoint": "https://example.com"}},
        {"bigquery_config": {"table": "p.d.t"}},
        {"enable_exactly_once_delivery": True},
    ],
    ids=["push", "bigquery", "exactly-once"],
)
def test_what_is_not_emulated_is_refused_and_not_ignored(pubsub: PubSub, settings):
    with pytest.raises(MethodNotImplemented, match="emulator"):
        pubsub.subscription(pubsub.topic(), **settings)
