"""Works out, from measured CPU, what rates that no laptop reaches would take and cost.

`python -m benchmarks.scale` prints the table of docs/performance.md from results.json.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import mean
from typing import Any, Final

from benchmarks import ROOT
from benchmarks.contenders import OURS
from benchmarks.report import markdown

RESULTS: Final = ROOT / "benchmarks" / "results.json"
RATES: Final = (1_000, 100_000, 1_000_000)

_HOURS_A_MONTH: Final = 730
_SECONDS_A_MONTH: Final = _HOURS_A_MONTH * 3_600
_GB: Final = 1e9
_TIB: Final = 2**40

# Of a core, so much is planned to be used: the rest is for peaks, TLS to Google and the runtime.
ENDPOINT_LOAD: Final = 0.6
# Less than for endpoints: what Dataflow's own runner spends besides our steps is not measured here.
WORKER_LOAD: Final = 0.4
RECORD_BYTES: Final = 1_024
MESSAGE_BYTES: Final = 1_500  # with its audit fields and attributes
WORKER_CORES: Final = 4  # n2-standard-4
WORKER_GB: Final = 16

# us-central1, list prices in dollars; docs/performance.md names the pages.
RUN_CORE_SECOND: Final = 0.000018  # instance-based billing
RUN_GIB_SECOND: Final = 0.000002
RUN_INSTANCE_GIB: Final = 0.5
DATAFLOW_CORE_HOUR: Final = 0.069  # streaming
DATAFLOW_GB_HOUR: Final = 0.003557
PUBSUB_TIB: Final = 40.0  # once to publish, once to deliver
STORAGE_WRITE_GB: Final = 0.025

# Beam's blog on Pub/Sub to BigQuery: bytes a second and core of the Java Storage Write pipeline.
JAVA_BYTES_A_CORE: Final = 6.4e6


@dataclass(frozen=True)
class Costs:
    """Measured CPU in microseconds a record."""

    endpoint_single: float
    endpoint_bulk: float
    pipeline_single: float
    pipeline_packed: float

    @classmethod
    def of(cls, results: Mapping[str, Any]) -> "Costs":
        """Read them from results; the pipeline's are the mean of all resources."""
        scenarios = results["edge"]["scenarios"]
        ours = results["pipeline"]["ours"]

        def pipeline(form: str) -> float:
            return float(mean(each["cpu_us"] for each in ours[form].values()))

        return cls(
            endpoint_single=scenarios["single_128"][OURS]["cpu_us"],
            endpoint_bulk=scenarios["bulk_500"][OURS]["cpu_us"],
            pipeline_single=pipeline("single"),
            pipeline_packed=pipeline("packed"),
        )


def cores(rate: float, cpu_us: float, load: float) -> int:
    """Return how many cores a rate of records a second takes."""
    return ceil(rate * cpu_us / 1e6 / load)


def endpoint_dollars(instances: int) -> float:
    """Return a month's price of Cloud Run instances of one core."""
    second = RUN_CORE_SECOND + RUN_INSTANCE_GIB * RUN_GIB_SECOND
    return instances * second * _SECONDS_A_MONTH


def dataflow_dollars(workers: int) -> float:
    """Return a month's price of Dataflow workers."""
    hour = WORKER_CORES * DATAFLOW_CORE_HOUR + WORKER_GB * DATAFLOW_GB_HOUR
    return workers * hour * _HOURS_A_MONTH


def carriage_dollars(rate: float) -> float:
    """Return a month's price of the bytes: published, delivered and written."""
    month = rate * MESSAGE_BYTES * _SECONDS_A_MONTH
    return 2 * month / _TIB * PUBSUB_TIB + month / _GB * STORAGE_WRITE_GB


def table(results: Mapping[str, Any]) -> str:
    """Return the table, as docs/performance.md has it."""
    costs = Costs.of(results)
    rows = []
    for rate in RATES:
        for form, endpoint_us, pipeline_us in (
            ("single", costs.endpoint_single, costs.pipeline_single),
            ("bulk", costs.endpoint_bulk, costs.pipeline_packed),
        ):
            instances = max(cores(rate, endpoint_us, ENDPOINT_LOAD), 1)
            workers = max(ceil(cores(rate, pipeline_us, WORKER_LOAD) / WORKER_CORES), 1)
            java = ceil(rate * RECORD_BYTES / JAVA_BYTES_A_CORE)
            rows.append(
                (
                    f"{rate:,} {form}",
                    f"{instances:,}",
                    f"{endpoint_dollars(instances):,.0f}",
                    f"{workers:,} × {WORKER_CORES}",
                    f"{dataflow_dollars(workers):,.0f}",
                    f"{java:,}",
                    f"{carriage_dollars(rate):,.0f}",
                )
            )
    header = (
        "records/s",
        "Cloud Run instances",
        "$ a month",
        "Dataflow workers × cores",
        "$ a month",
        "Java cores at 6.4 MB/s",
        "Pub/Sub and Storage Write, $ a month",
    )
    return markdown(header, rows)


def load_results(path: Path = RESULTS) -> dict[str, Any]:
    """Read the results of the last benchmark."""
    results: dict[str, Any] = json.loads(path.read_bytes())
    return results


if __name__ == "__main__":
    print(table(load_results()))
