import asyncio
import logging

import grpc
import pytest

from functions import publisher as publisher_module
from functions.backlog import Backlog
from functions.google_rpc import open_channel
from functions.problems import OVERLOADED, PUBLISH_REFUSED, PUBLISH_TIMEOUT, Problem
from functions.publisher import MAX_CALLS_IN_FLIGHT, TRANSIENT, Publisher
from functions.topic import Topic, encode_message
from schemas import limits
from tests.fixtures.fake_google import PROJECT

FAILURES = [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK]
PERMANENT = [
    status
    for status in FAILURES
    if status not in TRANSIENT and status is not grpc.StatusCode.INVALID_ARGUMENT
]
MEGABYTE = 1_000_000


def message(data: bytes) -> bytes:
    return encode_message(data, {"resource": "patients", "request_id": "r", "dedup_id": "d"})


@pytest.fixture
def backlog():
    return Backlog(20_000, 40 * MEGABYTE)


@pytest.fixture
def make_publisher(google_channel, backlog):
    def make(timeout: float = 5, topic: str = "patients") -> Publisher:
        return Publisher(Topic(google_channel, PROJECT, topic), backlog, timeout)

    return make


@pytest.fixture
def publisher(make_publisher):
    return make_publisher()


def published(google) -> list[bytes]:
    return [message.data for message in google.published["patients"]]


async def test_a_message_is_published_with_its_attributes(publisher, google):
    await publisher.publish([message(b"record")])
    (sent,) = google.published["patients"]
    assert sent.data == b"record"
    assert dict(sent.attributes) == {"resource": "patients", "request_id": "r", "dedup_id": "d"}
    topic = f"projects/{PROJECT}/topics/patients"
    assert google.metadata["x-goog-request-params"] == f"topic={topic}"


async def test_what_arrives_during_a_call_goes_out_together_in_the_next(publisher, google):
    google.latency = 0.05
    first = asyncio.create_task(publisher.publish([message(b"first")]))
    await asyncio.sleep(0.01)
    others = [publisher.publish([message(b"%d" % n)]) for n in range(50)]
    await asyncio.gather(first, *others)
    assert google.calls == [1, 50]
    assert published(google) == [b"first", *(b"%d" % n for n in range(50))]


@pytest.mark.parametrize("status", TRANSIENT)
async def test_a_transient_status_is_tried_again(publisher, google, status):
    google.failures["Publish"].extend([status, status])
    await asyncio.gather(*(publisher.publish([message(b"%d" % n)]) for n in range(3)))
    assert sorted(published(google)) == [b"0", b"1", b"2"]
    assert google.attempts == 3
    assert publisher.refused is None


@pytest.mark.parametrize("status", TRANSIENT)
async def test_a_transient_status_that_stays_ends_with_the_deadline(
    make_publisher, google, status, backlog
):
    publisher = make_publisher(timeout=0.3)
    google.always["Publish"] = status
    started = asyncio.get_running_loop().time()
    with pytest.raises(Problem) as caught:
        await publisher.publish([message(b"record")])
    assert caught.value.kind is PUBLISH_TIMEOUT
    assert 0.25 < asyncio.get_running_loop().time() - started < 2
    assert (backlog.messages, backlog.size) == (0, 0)
    google.always["Publish"] = None
    await publisher.publish([message(b"later")])
    assert published(google) == [b"later"]


@pytest.mark.parametrize("status", PERMANENT)
async def test_a_permanent_status_fails_at_once_and_is_remembered_until_it_works(
    publisher, google, status, caplog
):
    google.failures["Publish"].extend([status, status])
    for _ in range(2):
        with pytest.raises(Problem) as caught:
            await publisher.publish([message(b"record")])
        assert caught.value.kind is PUBLISH_REFUSED
    assert google.attempts == 2
    assert publisher.refused is status
    # Once a minute, with the status and without the server's words.
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.fields == {"about": "patients", "times": 1, "status": status.name}
    await publisher.publish([message(b"record")])
    assert publisher.refused is None


def test_every_status_is_either_transient_or_permanent():
    assert len(TRANSIENT) + len(PERMANENT) + 1 == len(FAILURES)


async def test_a_missing_topic_is_refused(make_publisher):
    with pytest.raises(Problem) as caught:
        await make_publisher(topic="nowhere").publish([message(b"record")])
    assert caught.value.kind is PUBLISH_REFUSED


async def test_a_poison_message_fails_its_own_request_alone(publisher, google):
    google.refuse_data = b"poison"
    google.latency = 0.02
    first = asyncio.create_task(publisher.publish([message(b"first")]))
    await asyncio.sleep(0.01)
    good = [publisher.publish([message(b"a%d" % n), message(b"b%d" % n)]) for n in range(20)]
    poison = publisher.publish([message(b"fine"), message(b"poison")])
    results = await asyncio.gather(*good[:13], poison, *good[13:], return_exceptions=True)
    await first
    assert [r for r in results if r is not None] == [results[13]]
    assert results[13].kind is PUBLISH_REFUSED
    assert len(published(google)) == 41
    assert publisher.refused is None  # it says nothing about the topic


async def test_an_answer_for_fewer_messages_is_not_taken_for_success(publisher, google):
    google.lose_ids = 1
    await publisher.publish([message(b"a"), message(b"b")])
    assert google.attempts == 2


async def test_a_request_that_is_cancelled_does_not_break_the_group(publisher, google, backlog):
    google.latency = 0.05
    first = asyncio.create_task(publisher.publish([message(b"first")]))
    await asyncio.sleep(0.01)
    requests = [asyncio.create_task(publisher.publish([message(b"%d" % n)])) for n in range(3)]
    await asyncio.sleep(0)
    requests[1].cancel()
    first.cancel()
    results = await asyncio.gather(first, *requests, return_exceptions=True)
    assert [type(result) for result in results] == [
        asyncio.CancelledError,
        type(None),
        asyncio.CancelledError,
        type(None),
    ]
    assert published(google) == [b"first", b"0", b"2"]
    assert (backlog.messages, backlog.size) == (0, 0)


@pytest.mark.parametrize(
    ("bound", "fits"),
    [((2, 10**6), True), ((1, 10**6), False), ((2, 2 * 59), True), ((2, 2 * 59 - 1), False)],
)
async def test_the_backlog_is_bounded_in_messages_and_in_bytes(google_channel, google, bound, fits):
    messages = [message(b"a"), message(b"b")]
    assert sum(map(len, messages)) == 2 * 59
    publisher = Publisher(Topic(google_channel, PROJECT, "patients"), Backlog(*bound), 5)
    if fits:
        await publisher.publish(messages)
    else:
        with pytest.raises(Problem) as caught:
            await publisher.publish(messages)
        assert caught.value.kind is OVERLOADED
    assert google.attempts == fits


async def test_the_backlog_counts_what_is_in_flight(google_channel, google):
    publisher = Publisher(Topic(google_channel, PROJECT, "patients"), Backlog(1, 10**6), 5)
    google.latency = 0.05
    first = asyncio.create_task(publisher.publish([message(b"a")]))
    await asyncio.sleep(0.01)
    with pytest.raises(Problem):
        await publisher.publish([message(b"b")])
    await first
    await publisher.publish([message(b"c")])


@pytest.mark.parametrize(("count", "calls"), [(1000, [1000]), (1001, [1000, 1])])
async def test_a_call_holds_at_most_1000_messages(publisher, google, count, calls):
    await publisher.publish([message(b"x")] * count)
    assert google.calls == calls


async def test_a_request_of_which_a_part_fails_is_not_published(make_publisher, google):
    publisher = make_publisher(timeout=0.3)
    google.fail_after = 1
    with pytest.raises(Problem) as caught:
        await publisher.publish([message(b"x")] * 1001)
    assert caught.value.kind is PUBLISH_TIMEOUT
    assert google.calls == [1000]


@pytest.mark.parametrize(("spare", "calls"), [(0, [10]), (-1, [9, 1])])
async def test_a_call_holds_at_most_10_mb_as_encoded(publisher, google, spare, calls):
    capacity = publisher.topic.capacity
    overhead = len(message(b"x" * MEGABYTE)) - MEGABYTE
    last = message(b"x" * (capacity - 9 * (MEGABYTE + overhead) - overhead - spare))
    messages = [message(b"x" * MEGABYTE)] * 9 + [last]
    assert sum(map(len, messages)) == capacity - spare
    await publisher.publish(messages)
    assert google.calls == calls
    assert google.largest <= limits.PUBSUB_MAX_REQUEST_BYTES


async def test_more_calls_are_in_flight_only_while_whole_ones_wait(publisher, google):
    google.latency = 0.05
    requests = [publisher.publish([message(b"x")] * 500) for _ in range(10)]
    requests += [publisher.publish([message(b"x")]) for _ in range(10)]
    await asyncio.gather(*requests)
    assert 1 < google.most_in_flight <= MAX_CALLS_IN_FLIGHT
    assert sum(google.calls) == 5010
    google.most_in_flight = 0
    await asyncio.gather(*(publisher.publish([message(b"x")]) for _ in range(500)))
    assert google.most_in_flight == 1


async def test_a_slow_service_costs_nobody_more_than_the_deadline(make_publisher, google):
    publisher = make_publisher(timeout=0.3)
    google.latency = 2
    started = asyncio.get_running_loop().time()

    async def send(pause: float) -> float:
        await asyncio.sleep(pause)
        with pytest.raises(Problem) as caught:
            await publisher.publish([message(b"record")])
        assert caught.value.kind is PUBLISH_TIMEOUT
        return asyncio.get_running_loop().time() - started - pause

    for waited in await asyncio.gather(*(send(n / 20) for n in range(5))):
        assert waited < 1
    google.latency = 0
    await publisher.publish([message(b"later")])


async def test_the_connection_is_made_again_when_the_service_returns(publisher, google):
    await publisher.publish([message(b"before")])
    await google.stop()
    request = asyncio.create_task(publisher.publish([message(b"after")]))
    await asyncio.sleep(0.5)
    assert not request.done()
    await google.start()
    await request
    assert published(google) == [b"before", b"after"]


async def test_a_service_that_was_never_there_is_a_timeout(backlog):
    channel = open_channel("127.0.0.1:1", None)
    publisher = Publisher(Topic(channel, PROJECT, "patients"), backlog, 0.3)
    with pytest.raises(Problem) as caught:
        await publisher.publish([message(b"record")])
    assert caught.value.kind is PUBLISH_TIMEOUT
    await channel.close(grace=None)


async def test_a_fault_on_this_side_fails_the_request_and_not_the_publisher(
    publisher, google, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(publisher.topic, "publish", None)
        with pytest.raises(Problem) as caught:
            await publisher.publish([message(b"record")])
    assert caught.value.kind is PUBLISH_REFUSED
    await publisher.publish([message(b"record")])


async def test_the_pause_grows_and_ends_with_the_deadline(publisher, monkeypatch):
    pauses = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(publisher_module.asyncio, "sleep", sleep)
    monkeypatch.setattr(publisher_module.random, "uniform", lambda _low, high: high)

    now = asyncio.get_running_loop().time()
    for failures in (0, 1, 10):
        await publisher._back_off(failures, now + 60)
    await publisher._back_off(10, now - 1)
    assert pauses == pytest.approx([0.075, 0.15, 1.5, 0])
