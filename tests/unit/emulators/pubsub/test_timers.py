from emulators.pubsub.timers import Timers


def test_sequences_come_when_they_are_due():
    timers = Timers(lambda _: None)
    for due, sequence in [(3.0, 30), (1.0, 10), (2.0, 20)]:
        timers.set(due, sequence)
    assert list(timers.pop(2.0)) == [10, 20]
    assert list(timers.pop(2.0)) == []
    assert list(timers.pop(9.0)) == [30]


def test_what_is_dead_does_not_fill_the_memory():
    alive: dict[int, float] = {}
    timers = Timers(alive.get)
    for sequence in range(100_000):
        alive[sequence] = 60.0 + sequence
        timers.set(60.0 + sequence, sequence)
        alive.pop(sequence - 10, None)  # Acknowledged a little later.
    assert len(timers) < 5_000
    assert set(timers.pop(1e9)) >= alive.keys()


def test_cleared_timers_are_silent():
    timers = Timers(lambda _: None)
    timers.set(1.0, 1)
    timers.clear()
    assert list(timers.pop(9.0)) == []
