import pytest

from ops.pace import Pace


class FakeTime:
    def __init__(self):
        self.now = 1_000.0
        self.slept = []

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def fake_time():
    return FakeTime()


@pytest.mark.parametrize(
    ("rate", "batch", "batches"), [(10, 1, 101), (100, 50, 9), (100, 500, 5), (0.5, 1, 4)]
)
def test_records_take_their_time(fake_time, rate, batch, batches):
    pace = Pace(rate, fake_time.clock, fake_time.sleep)

    for _ in range(batches):
        pace.wait(batch)

    # The first goes at once.
    assert fake_time.now - 1_000 == pytest.approx((batches - 1) * batch / rate)


def test_work_in_between_is_not_waited_for_again(fake_time):
    pace = Pace(10, fake_time.clock, fake_time.sleep)

    pace.wait(10)
    fake_time.now += 0.4
    pace.wait(10)

    assert fake_time.slept == [pytest.approx(0.6)]


def test_a_pause_is_not_made_up_for(fake_time):
    pace = Pace(10, fake_time.clock, fake_time.sleep)

    pace.wait(10)
    fake_time.now += 60
    pace.wait(10)
    pace.wait(10)

    assert fake_time.slept == [pytest.approx(1)]


def test_without_a_rate_nothing_waits(fake_time):
    pace = Pace(None, fake_time.clock, fake_time.sleep)

    for _ in range(1_000):
        pace.wait(1_000_000)

    assert fake_time.slept == []
