import copy

import pytest

from benchmarks import report
from benchmarks.profiles import top_functions

EACH = {"per_second": 1_000, "p50_ms": 1.0, "p99_ms": 2.0, "memory_mb": 50.0}


def each(cpu_us):
    return EACH | {"cpu_us": cpu_us, "cpu_us_runs": [cpu_us, 2 * cpu_us, cpu_us / 2]}


RESULTS = {
    "edge": {
        "titles": {
            "vitalflow": "Vitalflow",
            "textbook": "textbook",
            "node": "Node",
            "floor": "floor",
        },
        "scenarios": {
            **{
                name: {
                    "textbook": each(900.0),
                    "vitalflow": each(100.0),
                    "node": each(190.0),
                    "floor": each(40.0),
                }
                for name in ("single_32", "single_128")
            },
            "bulk_500": {"vitalflow": each(10.0), "textbook": each(100.0)},
        },
        "half_load": {"rate": 500, "p50_ms": 1.0, "p99_ms": 20.5, "late": 0},
    },
    "pipeline": {
        "ours": {
            "single": {"patients": {"cpu_us": 10.0}, "claims": {"cpu_us": 16.0}},
            "packed": {"patients": {"cpu_us": 8.0}, "claims": {"cpu_us": 9.0}},
        },
        "stock": {
            form: {
                "stock": {"cpu_us": 900.0},
                "stock_with_our_validation": {"cpu_us": 240.0},
            }
            for form in ("single", "packed")
        },
    },
    "start_up": {"first_202_seconds": 1.6, "import_seconds": 0.5},
    "end_to_end": {
        "single": {
            "per_second": 400,
            "cpu_us": {"endpoint": 1.0, "pubsub": 2.0, "pipeline": 3.0, "bigquery": 4.0},
        }
    },
    "notes": ["Node express is left out: there is no Node on this machine"],
    "voids": ["ours: 10 records were accepted, 9 arrived"],
}


def test_rows_are_in_the_order_of_their_cost_and_say_how_many_times_ours_it_is():
    first, *_ = report.edge_tables(RESULTS)
    rows = [line for line in first.splitlines() if line.startswith("| ")][1:]

    assert [row.split(" | ")[:3] for row in rows] == [
        ["| floor", "40.0", "0.4 ×"],
        ["| Vitalflow", "100.0", "1.0 ×"],
        ["| Node", "190.0", "1.9 ×"],
        ["| textbook", "900.0", "9.0 ×"],
    ]


@pytest.mark.parametrize(
    ("target", "value", "holds"),
    [
        ("textbook costs 8 × as much, 32 connections", "9.0 ×", True),
        ("Node costs 2 × as much, 32 connections", "1.9 ×", False),
        ("at most 2.5 × the floor, 128 connections", "2.5 ×", True),
        ("bulk: at most 10 µs a record", "10.0 µs", True),
        ("bulk: textbook costs 60 × as much, record by record", "90.0 ×", True),
        ("p99 at half load under 20 ms", "20.5 ms", False),
        ("no request over the deadline", "0.0", True),
        ("pipeline, single: at most 15 µs, dearest resource", "16.0 µs", False),
        ("pipeline, packed: at most 9 µs, dearest resource", "9.0 µs", True),
        ("pipeline, single: the stock sink costs 25 × as much", "24.0 ×", False),
        ("pipeline, packed: the stock sink costs 25 × as much", "30.0 ×", True),
        ("first 202 of a new process under 1.5 s", "1.6 s", False),
    ],
)
def test_each_target_is_judged(target, value, holds):
    assert (target, value, holds) in report.targets(RESULTS)


def test_a_peer_that_is_left_out_leaves_its_targets_out():
    results = copy.deepcopy(RESULTS)
    for figures in results["edge"]["scenarios"].values():
        figures.pop("node", None)

    assert not any("Node" in target for target, _, _ in report.targets(results))


def test_the_summary_tells_of_void_runs_and_of_who_is_left_out():
    text = report.summary(RESULTS)

    assert "1 void run(s)\n  ours: 10 records were accepted, 9 arrived" in text
    assert "Node express is left out" in text
    assert "MISSED  p99 at half load" in text


def test_samples_count_for_the_innermost_function():
    collapsed = (
        "main (a/b.py:1);work (/x/site-packages/lib/c.py:2) 30\n"
        "main (a/b.py:1);work (/x/site-packages/lib/c.py:9) 30\n"
        "main (a/b.py:1) 40\n"
    )
    assert top_functions(collapsed) == [
        {"function": "work (lib/c.py)", "share": 0.6},
        {"function": "main (a/b.py)", "share": 0.4},
    ]
