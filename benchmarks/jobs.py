"""Runs Beam jobs one after the other in this process, and tells what each of them cost.

`python -m benchmarks.jobs <kind>` reads one `Job` as JSON a line and answers with its `Cost`. Only
the code of that kind is loaded: Beam's own sink walks through all loaded modules for every row.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Final

OURS: Final = "ours"
STOCK: Final = "stock"
STOCK_WITH_OURS: Final = "stock_with_our_validation"


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        kind: Which pipeline.
        pack: Records a message.
        records: How many in all.
        endpoint: Of our append sink.
        size: Of a record, about, in bytes.
        invalid: Share of records that break their contract.
    """

    kind: str
    resource: str
    pack: int
    records: int
    endpoint: str = ""
    size: int = 1_024
    invalid: float = 0.0


@dataclass(frozen=True)
class Cost:
    """What a run took of this process.

    Attributes:
        loaded: Records that the pipeline says are in the table; -1 where it does not count.
        dead: Records that became dead letters.
    """

    cpu_seconds: float
    seconds: float
    loaded: int
    dead: int


def run(job: Job) -> Cost:
    """Run one job to its end."""
    import apache_beam as beam  # noqa: PLC0415 (not for those who only name a job)
    from apache_beam.options.pipeline_options import PipelineOptions  # noqa: PLC0415 (as above)
    from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner  # noqa: PLC0415 (as above)

    from benchmarks import PROJECT  # noqa: PLC0415 (as above)
    from benchmarks.messages import Replay  # noqa: PLC0415 (as above)

    source = Replay(job.resource, job.pack, job.records, size=job.size, invalid=job.invalid)
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(["--project", PROJECT]))
    if job.kind == OURS:
        from benchmarks.our_job import build  # noqa: PLC0415 (see the module)

        build(pipeline, job, source)
    else:
        from benchmarks.peers import stock_sink  # noqa: PLC0415 (see the module)

        with_ours = job.kind == STOCK_WITH_OURS
        stock_sink.build(pipeline, job.resource, source, with_ours=with_ours)
    started, before = time.monotonic(), time.process_time()
    result = pipeline.run()
    result.wait_until_finish()
    cpu, seconds = time.process_time() - before, time.monotonic() - started
    counters: dict[str, int] = {}
    for counter in result.metrics().query()["counters"]:
        metric = counter.key.metric
        if metric.namespace == job.resource:
            counters[metric.name] = counters.get(metric.name, 0) + counter.committed
    return Cost(
        cpu_seconds=cpu,
        seconds=seconds,
        loaded=counters.get("loaded", 0) if job.kind == OURS else -1,
        dead=sum(count for name, count in counters.items() if name.startswith("dead_")),
    )


def main() -> None:
    """Answer each job with its cost."""
    for line in sys.stdin:
        print(json.dumps(asdict(run(Job(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    main()
