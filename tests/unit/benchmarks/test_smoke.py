"""The measurement itself runs, and its counts agree: a run whose counts differ raises."""

from benchmarks.__main__ import measure
from benchmarks.plan import QUICK


def test_the_endpoint_and_its_floor_are_measured():
    results = measure(QUICK, ("edge",))

    scenarios = results["edge"]["scenarios"]
    assert set(scenarios["single_32"]) == {"vitalflow", "floor"}
    assert scenarios["bulk_500"]["vitalflow"]["cpu_us"] > 0
    assert results["edge"]["half_load"]["late"] == 0


def test_the_pipeline_is_measured():
    results = measure(QUICK, ("pipeline",))

    assert set(results["pipeline"]["ours"]["packed"]) == {"patients"}
