import pytest

from functions import throttle
from functions.throttle import Buckets, Guard


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Time()


def taken(buckets, name, tries):
    return sum(buckets.take(name) == 0 for _ in range(tries))


def test_a_full_bucket_holds_a_minutes_worth(clock):
    buckets = Buckets(20, clock)

    assert taken(buckets, "a", 50) == 20
    assert buckets.take("a") == pytest.approx(3)
    assert buckets.wait("a") == pytest.approx(3)
    assert buckets.wait("b") == 0


@pytest.mark.parametrize(("seconds", "tokens"), [(2.9, 0), (3, 1), (30, 10), (60, 20), (900, 20)])
def test_it_refills_evenly_and_never_overflows(clock, seconds, tokens):
    buckets = Buckets(20, clock)
    taken(buckets, "a", 20)

    clock.now += seconds

    assert taken(buckets, "a", 50) == tokens


def test_waiting_takes_nothing(clock):
    buckets = Buckets(1, clock)
    assert [buckets.wait("a") for _ in range(5)] == [0] * 5
    assert buckets.take("a") == 0
    assert buckets.take("a") == buckets.take("a") == pytest.approx(60)


def test_names_are_bounded_and_the_oldest_is_forgotten(clock):
    buckets = Buckets(1, clock, max_tracked=3)
    for name in "abc":
        buckets.take(name)
    assert buckets.take("a") > 0  # and so it is no longer the oldest

    buckets.take("d")

    assert len(buckets) == 3
    assert [buckets.wait(name) > 0 for name in "abcd"] == [True, False, True, True]


def test_an_address_of_guesses_is_refused_and_others_are_not(clock):
    guard = Guard(20, 0, clock)
    for _ in range(20):
        assert guard.admit(b"10.0.0.1", "patients", None) == 0
        guard.refused(b"10.0.0.1")

    assert guard.admit(b"10.0.0.1", "patients", None) == pytest.approx(3)
    assert guard.admit(b"10.0.0.2", "patients", None) == 0
    clock.now += 3
    assert guard.admit(b"10.0.0.1", "patients", None) == 0


def test_a_right_guess_is_refused_like_a_wrong_one(clock):
    guard = Guard(1, 0, clock)
    guard.refused(b"10.0.0.1")

    wrong, right = (guard.admit(b"10.0.0.1", "patients", key_id) for key_id in (None, "v1"))

    assert wrong == right > 0


def test_a_key_that_was_used_from_there_before_goes_on(clock):
    guard = Guard(1, 0, clock)
    assert guard.admit(b"10.0.0.1", "patients", "v1") == 0

    for _ in range(5):
        guard.refused(b"10.0.0.1")

    assert guard.admit(b"10.0.0.1", "patients", "v1") == 0
    assert guard.admit(b"10.0.0.1", "patients", "v2") > 0
    assert guard.admit(b"10.0.0.1", "plans", "v1") > 0


def test_what_is_remembered_of_keys_is_bounded(clock, monkeypatch):
    monkeypatch.setattr(throttle, "MAX_TRACKED", 10)
    guard = Guard(1, 0, clock)
    for number in range(100):
        guard.admit(b"%d" % number, "patients", "v1")
    assert len(guard._trusted) <= 10


def test_a_key_may_be_held_to_a_rate_wherever_it_is_used(clock):
    guard = Guard(20, 60, clock)
    waits = [guard.admit(b"%d" % number, "patients", "v1") for number in range(61)]

    assert waits[:60] == [0] * 60
    assert waits[60] == pytest.approx(1)
    assert guard.admit(b"0", "patients", "v2") == 0
    assert guard.admit(b"0", "plans", "v1") == 0


def test_without_bounds_nobody_waits(clock):
    guard = Guard(0, 0, clock)
    for _ in range(100):
        guard.refused(b"a")
        assert guard.admit(b"a", "patients", None) == guard.admit(b"a", "patients", "v1") == 0
