import itertools
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from emulators.pubsub.backlog import MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, Backlog
from emulators.pubsub.delivery import AckId, Consumer, Delivered
from emulators.pubsub.messages import Message
from emulators.pubsub.policy import Policy
from emulators.rpc import StatusError

DEADLINE = 10.0


def message(sequence: int, key: str = "", size: int = 1) -> Message:
    return Message(sequence, sequence * 1_000_000, key, b"x" * size)


def backlog(buried: list[Message] | None = None, **policy) -> Backlog:
    def bury(dead: Message, _attempts: int) -> bool:
        if buried is None:
            return False
        buried.append(dead)
        return True

    return Backlog(Policy(**policy), bury)


def offered(*sequences: int, key: str = "", **policy) -> Backlog:
    made = backlog(**policy)
    made.offer(message(sequence, key) for sequence in sequences)
    return made


def take(from_: Backlog, consumer: Consumer | None = None, limit=1000, now=0.0) -> list[Delivered]:
    return from_.take(consumer or Consumer(DEADLINE), limit, now)


def sequences(taken: list[Delivered]) -> list[int]:
    return [item.message.sequence for item in taken]


def acknowledge(at: Backlog, *taken: Delivered) -> None:
    for item in taken:
        at.acknowledge(AckId.parse(item.ack_id))


def nack(at: Backlog, *taken: Delivered, now=0.0) -> None:
    for item in taken:
        at.modify(AckId.parse(item.ack_id), 0, now)


def test_messages_come_once_and_in_order_of_publication():
    queue = offered(1, 2, 3)
    assert sequences(take(queue, limit=2)) == [1, 2]
    assert sequences(take(queue)) == [3]
    assert take(queue) == []


def test_acknowledged_message_is_forgotten():
    queue = offered(1)
    acknowledge(queue, *take(queue))
    queue.tick(DEADLINE)
    assert take(queue) == []
    assert len(queue) == 0


@pytest.mark.parametrize(("now", "back"), [(9.9, []), (10.0, [1])])
def test_lease_ends_with_its_deadline(now, back):
    queue = offered(1)
    take(queue, now=0.0)
    queue.tick(now)
    assert sequences(take(queue, now=now)) == back


def test_deadline_moves_both_ways():
    queue = offered(1, 2)
    later, sooner = take(queue)
    queue.modify(AckId.parse(later.ack_id), 60, 0.0)
    queue.modify(AckId.parse(sooner.ack_id), 1, 0.0)
    queue.tick(1.0)
    assert sequences(take(queue, now=1.0)) == [2]
    queue.tick(DEADLINE)
    assert take(queue, now=DEADLINE) == []
    queue.tick(60.0)
    assert 1 in sequences(take(queue, now=60.0))


def test_nacked_message_waits_behind_its_neighbours():
    queue = offered(1, 2, 3)
    nack(queue, *take(queue, limit=1))
    assert sequences(take(queue)) == [2, 3, 1]


def test_late_ack_counts_until_the_next_delivery():
    queue = offered(1)
    first = take(queue)
    queue.tick(DEADLINE)
    acknowledge(queue, *first)
    assert take(queue) == []
    queue = offered(1)
    first = take(queue)
    queue.tick(DEADLINE)
    second = take(queue, now=DEADLINE)
    acknowledge(queue, *first)
    queue.tick(2 * DEADLINE)
    assert sequences(take(queue)) == sequences(second)


def test_ack_of_another_subscription_is_no_ack():
    queue, other = offered(1), offered(1)
    acknowledge(queue, *take(other))
    assert sequences(take(queue)) == [1]


@pytest.mark.parametrize("text", ["", "x", "a:b:c", "a:1", "a:1:-1", "a:1:2:x", "a:1:²"])
def test_malformed_ack_id_is_refused(text):
    with pytest.raises(StatusError):
        AckId.parse(text)


def test_flow_control_by_messages():
    queue = offered(1, 2, 3)
    consumer = Consumer(DEADLINE, max_messages=2)
    first = take(queue, consumer)
    assert sequences(first) == [1, 2]
    assert take(queue, consumer) == []
    assert not queue.has(consumer)
    acknowledge(queue, first[0])
    assert queue.has(consumer)
    assert sequences(take(queue, consumer)) == [3]


def test_flow_control_by_bytes_admits_one_message_of_any_size():
    queue = backlog()
    queue.offer([message(1, size=100), message(2, size=4), message(3, size=4)])
    consumer = Consumer(DEADLINE, max_bytes=10)
    first = take(queue, consumer)
    assert sequences(first) == [1]
    acknowledge(queue, *first)
    assert sequences(take(queue, consumer)) == [2, 3]


def test_expired_lease_gives_room_and_wakes():
    woken: list[bool] = []
    queue = offered(1, 2)
    consumer = Consumer(DEADLINE, max_messages=1, wake=lambda: woken.append(True))
    queue.join(consumer)
    take(queue, consumer)
    queue.tick(DEADLINE)
    assert woken
    assert consumer.messages == 0
    assert sequences(take(queue, consumer)) == [2]


def test_one_answer_is_bounded():
    queue = offered(*range(1, MAX_BATCH_MESSAGES + 2))
    assert len(take(queue, limit=10_000)) == MAX_BATCH_MESSAGES
    queue = backlog()
    queue.offer([message(n, size=MAX_BATCH_BYTES // 2 + 1) for n in range(1, 4)])
    assert sequences(take(queue)) == [1]


@pytest.mark.parametrize(("failures", "delay"), [(1, 10), (2, 20), (3, 40), (7, 600)])
def test_backoff_doubles_up_to_its_maximum(failures, delay):
    queue = offered(1, min_backoff=10, max_backoff=600)
    now = 0.0
    for _ in range(failures):
        nack(queue, *take(queue, now=now), now=now)
        queue.tick(now)
        failed, now = now, now + 600
        if _ < failures - 1:
            queue.tick(now)
    queue.tick(failed + delay - 0.1)
    assert take(queue) == []
    queue.tick(failed + delay)
    assert sequences(take(queue)) == [1]


def test_dead_letter_after_its_attempts():
    buried: list[Message] = []
    queue = backlog(buried, max_attempts=2)
    queue.offer([message(1), message(2)])
    for attempt in (1, 2):
        first = take(queue, limit=1)
        if first[0].message.sequence == 2:
            first = take(queue, limit=1)
        assert first[0].attempt == attempt
        nack(queue, *first)
    assert [item.sequence for item in buried] == [1]


def test_what_cannot_be_buried_stays():
    queue = offered(1, max_attempts=1)
    for attempt in range(1, 4):
        taken = take(queue)
        assert [item.attempt for item in taken] == [attempt]
        nack(queue, *taken)


def test_key_waits_for_its_earlier_messages():
    queue = offered(1, 2, 3, key="k", ordered=True)
    first = take(queue, limit=2)
    assert take(queue) == []
    acknowledge(queue, first[1])
    assert take(queue) == []
    acknowledge(queue, first[0])
    assert sequences(take(queue)) == [3]


def test_stream_may_hold_several_messages_of_a_key():
    queue = offered(1, 2, key="k", ordered=True)
    holder = Consumer(DEADLINE)
    queue.join(holder)
    take(queue, holder, limit=1)
    queue.offer([message(3, "k")])
    assert take(queue) == []
    assert sequences(take(queue, holder)) == [2, 3]


def test_failed_message_of_a_key_takes_the_later_ones_with_it():
    queue = offered(1, 2, 3, 4, key="k", ordered=True)
    first, second, third = take(queue, limit=3)
    acknowledge(queue, third)
    nack(queue, second)
    # The delivery of 3 is revoked: it acknowledges nothing any more.
    acknowledge(queue, third)
    # 1 is still out, and the key waits for it.
    assert take(queue) == []
    acknowledge(queue, first)
    assert sequences(take(queue)) == [2, 3, 4]


def test_keys_do_not_block_each_other():
    queue = backlog(ordered=True)
    queue.offer([message(1, "a"), message(2, "b"), message(3), message(4, "a")])
    blocked = take(queue, limit=1)
    assert sequences(blocked) == [1]
    assert sequences(take(queue)) == [2, 3]
    acknowledge(queue, *blocked)
    assert sequences(take(queue)) == [4]


def test_key_of_a_stream_that_is_gone_waits_for_the_deadline():
    queue = offered(1, 2, key="k", ordered=True)
    gone = Consumer(DEADLINE)
    queue.join(gone)
    take(queue, gone, limit=1)
    queue.leave(gone)
    assert take(queue) == []
    queue.tick(DEADLINE)
    assert sequences(take(queue)) == [1, 2]


def test_dead_letter_unblocks_its_key():
    buried: list[Message] = []
    queue = backlog(buried, ordered=True, max_attempts=1)
    queue.offer([message(1, "k"), message(2, "k")])
    nack(queue, *take(queue, limit=1))
    assert [item.sequence for item in buried] == [1]
    assert sequences(take(queue)) == [2]


@pytest.mark.parametrize("retain", [True, False])
def test_seek_back_brings_what_is_retained(retain):
    queue = offered(1, 2, 3, retain_acked=retain)
    acknowledge(queue, *take(queue, limit=2))
    queue.seek(2_000_000, ())
    assert sequences(take(queue)) == ([2, 3] if retain else [3])


def test_seek_brings_what_the_topic_retains():
    queue = offered(3)
    queue.seek(2_000_000, [message(1), message(2), message(3)])
    assert sequences(take(queue)) == [2, 3]


def test_seek_revokes_what_is_out():
    queue = offered(1, 2, key="k", ordered=True)
    consumer = Consumer(DEADLINE)
    queue.join(consumer)
    old = take(queue, consumer, limit=1)
    queue.seek(0, ())
    assert (consumer.messages, consumer.bytes) == (0, 0)
    acknowledge(queue, *old)
    assert sequences(take(queue)) == [1, 2]


def test_seek_forward_drops():
    queue = offered(1, 2, 3)
    take(queue, limit=1)
    queue.seek(3_000_000, ())
    assert sequences(take(queue)) == [3]
    assert len(queue) == 1


@pytest.mark.parametrize("key", ["", "k"])
def test_what_is_older_than_the_retention_is_dropped(key):
    queue = offered(1, 2, 3, key=key, ordered=bool(key), retain_acked=True)
    out = take(queue, limit=1)
    queue.expire(3_000_000)
    assert sequences(take(queue)) == [3]
    acknowledge(queue, *out)
    assert len(queue) == 1


def test_long_backlog_is_worked_off_in_linear_time():
    total = 60_000
    queue = backlog()
    queue.offer(message(n) for n in range(1, total + 1))
    halves = []
    for _ in range(2):
        began = time.process_time()
        for _ in range(total // 20):
            taken = take(queue, limit=10)
            queue.tick(0.0)
            acknowledge(queue, *taken)
        halves.append(time.process_time() - began)
    assert len(queue) == 0
    # Twice as slow in its second half, or slow as a whole, would be the sign of a quadratic cost.
    assert halves[1] < 3 * halves[0] + 0.2
    assert sum(halves) < 10


class Deliveries(RuleBasedStateMachine):
    """Whatever consumers do: nothing is lost, nothing is given twice, keys keep their order."""

    def __init__(self):
        super().__init__()
        self.queue = backlog(ordered=True)
        self.consumers = [Consumer(DEADLINE, max_messages=n) for n in (0, 1, 3)]
        for consumer in self.consumers:
            self.queue.join(consumer)
        self.numbers = itertools.count(1)
        self.now = 0.0
        self.published: dict[int, str] = {}
        self.acked: set[int] = set()
        self.out: dict[int, tuple[Delivered, float]] = {}
        self.returned: dict[int, Delivered] = {}  # failed by themselves, not yet delivered again
        self.acked_late: set[int] = set()

    @rule(key=st.sampled_from(["", "a", "b"]), count=st.integers(1, 4))
    def publish(self, key, count):
        numbers = list(itertools.islice(self.numbers, count))
        self.published.update(dict.fromkeys(numbers, key))
        self.queue.offer(message(n, key) for n in numbers)

    @rule(which=st.integers(0, 2), limit=st.integers(1, 5))
    def take(self, which, limit):
        consumer = self.consumers[which]
        expected = self.queue.has(consumer)
        taken = self.queue.take(consumer, limit, self.now)
        assert bool(taken) == expected
        for item in taken:
            sequence = item.message.sequence
            assert sequence not in self.out
            key = self.published[sequence]
            if key:
                # Every earlier one of the key is acknowledged or out; a later one is neither.
                for other, other_key in self.published.items():
                    if other_key == key and other < sequence:
                        assert other in self.acked | self.acked_late | self.out.keys()
                    if other_key == key and other > sequence:
                        assert other not in self.out
                        self.acked.discard(other)
            self.out[sequence] = (item, self.now + DEADLINE)
            self.acked.discard(sequence)
            self.returned.pop(sequence, None)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def acknowledge(self, data):
        sequence = data.draw(st.sampled_from(sorted(self.out)))
        acknowledge(self.queue, self.out.pop(sequence)[0])
        self.acked.add(sequence)

    @precondition(lambda self: self.returned)
    @rule(data=st.data())
    def acknowledge_late(self, data):
        sequence = data.draw(st.sampled_from(sorted(self.returned)))
        acknowledge(self.queue, self.returned.pop(sequence))
        self.acked_late.add(sequence)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def nack(self, data):
        sequence = data.draw(st.sampled_from(sorted(self.out)))
        nack(self.queue, self.out[sequence][0], now=self.now)
        self.give_back(sequence)

    @rule(seconds=st.sampled_from([1.0, 6.0, DEADLINE]))
    def wait(self, seconds):
        self.now += seconds
        self.queue.tick(self.now)
        for sequence in sorted(n for n, (_, due) in self.out.items() if due <= self.now):
            self.give_back(sequence)

    def give_back(self, sequence):
        key = self.published[sequence]
        if sequence in self.out:
            self.returned[sequence] = self.out.pop(sequence)[0]
        if key:
            for later in [n for n in self.out if n > sequence and self.published[n] == key]:
                del self.out[later]

    @invariant()
    def consumers_hold_what_is_out(self):
        assert sum(consumer.messages for consumer in self.consumers) == len(self.out)

    def teardown(self):
        # At rest, everything that was not acknowledged can still be had.
        self.now += 2 * DEADLINE
        self.queue.tick(self.now)
        got: set[int] = set()
        while taken := self.queue.take(self.consumers[0], 1000, self.now):
            got.update(sequences(taken))
            acknowledge(self.queue, *taken)
        assert got >= self.published.keys() - self.acked - self.acked_late
        assert len(self.queue) == 0


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
