"""What Google's clients see of each fault of Pub/Sub, and that all is well once it is over."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import google.pubsub_v1 as gapic
import grpc
import pytest
from google.api_core import exceptions

from emulators.faults import FaultInjector
from emulators.pubsub import PubSubEmulator
from tests.fixtures.pubsub import PubSub, ours_only

pytestmark = ours_only  # Google's emulator has no faults.

STATUSES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
BROKEN = {"service": "pubsub", "method": "Publish", "drop_connection": True}


@pytest.fixture
def onlooker(pubsub_host: str) -> Iterator[PubSub]:
    clients = PubSub(pubsub_host)
    yield clients
    clients.close()


@pytest.fixture
def faults(pubsub_emulator: PubSubEmulator) -> FaultInjector:
    return pubsub_emulator.faults


@pytest.mark.parametrize("status", STATUSES, ids=lambda code: code.name)
def test_call_gets_the_status_and_the_next_one_passes(pubsub: PubSub, faults, status):
    topic = pubsub.topic()
    rule = faults.add({"method": "Publish", "status": status.name, "calls": 2})
    for _ in range(2):
        with pytest.raises(exceptions.GoogleAPICallError) as caught:
            pubsub.publish(topic, {"data": b"x"})
        assert caught.value.grpc_status_code is status
    assert pubsub.publish(topic, {"data": b"x"})
    assert faults.fired(rule) == 2


def test_client_retries_until_the_fault_is_over(pubsub: PubSub, faults):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    rule = faults.add({"method": "Publish", "status": "UNAVAILABLE", "calls": 3})
    pubsub.publisher.publish(topic, b"x").result(20)
    assert faults.fired(rule) == 3
    assert len(pubsub.pull(name)) == 1


def test_fault_ends_with_its_time(pubsub: PubSub, faults):
    topic = pubsub.topic()
    faults.add({"service": "pubsub", "status": "UNAVAILABLE", "seconds": 0.4})
    with pytest.raises(exceptions.ServiceUnavailable):
        pubsub.publish(topic, {"data": b"x"})
    time.sleep(0.4)
    assert pubsub.publish(topic, {"data": b"x"})


def test_fault_of_one_method_leaves_the_others_alone(pubsub: PubSub, faults):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    faults.add({"method": "Pull", "status": "INTERNAL"})
    assert pubsub.publish(topic, {"data": b"x"})
    with pytest.raises(exceptions.InternalServerError):
        pubsub.pull(name)


def test_latency_makes_the_caller_wait(pubsub: PubSub, faults):
    topic = pubsub.topic()
    faults.add({"method": "Publish", "latency_ms": 300, "calls": 1})
    began = time.monotonic()
    pubsub.publish(topic, {"data": b"x"})
    assert 0.3 <= time.monotonic() - began < 3


def test_latency_beyond_the_deadline_is_the_callers_deadline(pubsub: PubSub, faults):
    topic = pubsub.topic()
    faults.add({"method": "Publish", "latency_ms": 2_000, "calls": 1})
    with pytest.raises(exceptions.DeadlineExceeded):
        pubsub.raw_publisher.publish(
            topic=topic, messages=[{"data": b"x"}], retry=None, timeout=0.3
        )


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", [{"status": "UNAVAILABLE"}, {"drop_connection": True}], ids=str)
def test_failure_comes_before_or_after_the_work(
    pubsub: PubSub, onlooker: PubSub, faults, kind, after_effect
):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    faults.add({"method": "Publish", "calls": 1, "after_effect": after_effect, **kind})
    with pytest.raises(exceptions.ServiceUnavailable):
        pubsub.publish(topic, {"data": b"x"})
    # On another connection: the next call on a broken one may still find it broken.
    assert len(onlooker.pull(name, seconds=0.5)) == (1 if after_effect else 0)


def test_dropped_connection_takes_every_call_on_it(pubsub: PubSub, faults):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    # A stream that waits, on the connection that the Publish breaks.
    stream = pubsub.channel.stream_stream(
        "/google.pubsub.v1.Subscriber/StreamingPull",
        request_serializer=gapic.StreamingPullRequest.serialize,
        response_deserializer=gapic.StreamingPullResponse.deserialize,
    )
    first = gapic.StreamingPullRequest(subscription=name, stream_ack_deadline_seconds=10)
    is_over = threading.Event()

    def requests() -> Iterator[Any]:
        yield first
        is_over.wait(10)

    waiting = stream(requests(), timeout=10)
    time.sleep(0.1)
    faults.add({**BROKEN, "calls": 1})
    with pytest.raises(exceptions.ServiceUnavailable) as caught:
        pubsub.publish(topic, {"data": b"x"})
    assert "injected" not in str(caught.value)  # No status of ours: the connection is gone.
    with pytest.raises(grpc.RpcError) as ended:
        next(waiting)
    is_over.set()
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    # The clients open another one.
    assert pubsub.publisher.publish(topic, b"again").result(20)


def test_publish_cut_before_its_answer_is_repeated_by_the_client(pubsub: PubSub, faults):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    faults.add({**BROKEN, "after_effect": True, "calls": 1})
    pubsub.publisher.publish(topic, b"twice").result(20)
    received = pubsub.pull(name, 2)
    assert [item.message.data for item in received] == [b"twice", b"twice"]
    assert len({item.message.message_id for item in received}) == 2


@pytest.mark.parametrize("kind", [{"status": "UNAVAILABLE"}, {"drop_connection": True}], ids=str)
def test_stream_is_opened_again_after_a_fault(pubsub: PubSub, faults, kind):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    arrived: SimpleQueue[bytes] = SimpleQueue()
    pulling = pubsub.subscriber.subscribe(
        name, lambda message: (message.ack(), arrived.put(message.data))
    )
    pubsub.publish(topic, {"data": b"1"})
    assert arrived.get(timeout=10) == b"1"
    rule = faults.add({"method": "StreamingPull", "calls": 2, **kind})
    pubsub.publish(topic, {"data": b"2"})
    assert arrived.get(timeout=15) == b"2"
    assert faults.fired(rule) == 2
    pulling.cancel()
    pulling.result(10)


def test_stream_that_was_not_allowed_to_open_fails(pubsub: PubSub, faults):
    name = pubsub.subscription(pubsub.topic())
    faults.add({"method": "StreamingPull", "status": "PERMISSION_DENIED", "calls": 1})
    with pytest.raises(exceptions.PermissionDenied):
        pubsub.subscriber.subscribe(name, lambda _: None).result(10)


def test_what_a_broken_stream_had_comes_again(pubsub: PubSub, faults):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    pubsub.publish(topic, {"data": b"x"})
    rule = faults.add({"method": "Pull", "status": "UNAVAILABLE", "after_effect": True, "calls": 1})
    with pytest.raises(exceptions.ServiceUnavailable):
        pubsub.pull(name)
    assert faults.fired(rule) == 1
    # It is leased to a caller that never saw it, as with Google: only its deadline brings it back.
    assert pubsub.is_empty(name)


@pytest.mark.parametrize("method", ["Pull", "StreamingPull"])
def test_duplicates_are_delivered_under_ids_of_their_own(pubsub: PubSub, faults, method):
    topic = pubsub.topic()
    name = pubsub.subscription(topic)
    pubsub.publish(topic, *[{"data": b"%d" % n} for n in range(5)])
    faults.add({"method": method, "duplicate": True, "calls": 1})
    if method == "Pull":
        received = pubsub.pull(name)
        assert len({item.ack_id for item in received}) == 10
        seen = Counter(item.message.data for item in received)
        # Either id acknowledges the message.
        pubsub.acknowledge(name, *received[:2], *received[-3:])
    else:
        arrived: SimpleQueue[bytes] = SimpleQueue()
        pulling = pubsub.subscriber.subscribe(
            name, lambda message: (message.ack(), arrived.put(message.data))
        )
        seen = Counter(arrived.get(timeout=10) for _ in range(10))
        pulling.cancel()
        pulling.result(10)
    assert seen == {b"%d" % n: 2 for n in range(5)}
    assert pubsub.is_empty(name)


def test_reordering_spares_the_messages_of_a_key(pubsub: PubSub, faults):
    topic = pubsub.topic()
    name = pubsub.subscription(topic, enable_message_ordering=True)
    pubsub.publish(topic, *[{"data": b"free %d" % n} for n in range(5)])
    pubsub.publish(topic, *[{"data": b"key %d" % n, "ordering_key": "k"} for n in range(5)])
    faults.add({"method": "Pull", "reorder": True, "calls": 1})
    received = [item.message.data for item in pubsub.pull(name, 10)]
    assert [item for item in received if item.startswith(b"key")] == [
        b"key %d" % n for n in range(5)
    ]
    assert [item for item in received if item.startswith(b"free")] == [
        b"free %d" % n for n in reversed(range(5))
    ]
