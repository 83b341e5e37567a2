import pytest

from benchmarks.figures import Run, VoidError, Voids, medians, turns
from benchmarks.load import Outcome
from benchmarks.server import Shot


def shot(*, records=10, expected=10, broken=0, unexpected=0, answered=10):
    statuses = {"202": answered} if answered else {}
    outcome = Outcome(sent=10, statuses=statuses, broken=broken, seconds=2)
    return Shot(records, expected, 0.5, 100, outcome, unexpected)


def test_a_run_whose_counts_agree_counts():
    assert shot().void is None


@pytest.mark.parametrize(
    ("void", "reason"),
    [
        (shot(records=9), "10 records were accepted, 9 arrived"),
        (shot(records=11), "10 records were accepted, 11 arrived"),
        (shot(broken=1), "1 request(s) got no answer"),
        (shot(unexpected=2), "2 answer(s) had another status"),
        (shot(records=0, expected=0, answered=0), "nothing was answered"),
    ],
)
def test_any_other_run_is_void(void, reason):
    assert void.void == reason


def test_a_void_run_is_repeated_and_told_of():
    runs = iter([shot(records=9), shot()])
    voids = Voids()

    assert voids.repeat("ours", lambda: next(runs)).void is None
    assert voids.reasons == ["ours: 10 records were accepted, 9 arrived"]


def test_what_stays_void_ends_the_benchmark():
    voids = Voids()

    with pytest.raises(VoidError, match="9 arrived"):
        voids.repeat("ours", lambda: shot(records=9))
    assert len(voids.reasons) == 3


def test_medians_are_of_each_figure_alone():
    runs = [
        Run(records=100, cpu_seconds=cpu, seconds=seconds, p50_ms=1, p99_ms=p99, memory_mb=50)
        for cpu, seconds, p99 in ((0.01, 1.0, 30), (0.03, 2.0, 10), (0.02, 4.0, 20))
    ]
    assert medians(runs) == {
        "cpu_us": 200,
        "cpu_us_runs": [100, 300, 200],
        "per_second": 50,
        "p50_ms": 1,
        "p99_ms": 20,
        "memory_mb": 50,
    }


def test_everybody_begins_a_round_in_turn():
    assert list(turns(["a", "b", "c"], 3)) == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]


def test_there_may_be_more_rounds_than_names():
    assert list(turns(["a"], 2)) == [["a"], ["a"]]
