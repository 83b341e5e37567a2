"""Measures the pipeline beside Beam's own sink, each in a process that loads nothing else."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from statistics import median
from typing import Any, Final

from benchmarks import PEER_RESOURCE
from benchmarks.children import MEASURED_CORE, Child
from benchmarks.figures import VoidError
from benchmarks.jobs import OURS, STOCK, STOCK_WITH_OURS, Cost, Job
from benchmarks.plan import Plan
from benchmarks.sinks import Sinks
from schemas.registry import Registry

PACKED: Final = 500
FORMS: Final = {"single": 1, "packed": PACKED}
# A job's start costs the same whatever it carries: it is measured with few records, and taken off.
_FEW_RECORDS: Final = 100


class Jobs:
    """A process that runs Beam jobs."""

    def __init__(self, child: Child, sinks: Sinks) -> None:
        self._child, self._sinks = child, sinks
        self._warm: set[str] = set()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def cpu_us(self, job: Job) -> float:
        """Return what a record costs, without what a job costs that carries few.

        Raises:
            VoidError: Another number of rows arrived than was sent.
        """
        few = replace(job, records=_whole_packs(_FEW_RECORDS, job.pack))
        many = replace(job, records=_whole_packs(job.records, job.pack))
        if job.resource not in self._warm:
            self.run(few)  # compiles and connects
            self._warm.add(job.resource)
        more = self.run(many).cpu_seconds - self.run(few).cpu_seconds
        return more / (many.records - few.records) * 1e6

    def run(self, job: Job) -> Cost:
        """Run one job."""
        before = self._sinks.counts()
        cost = Cost(**json.loads(self._child.ask(json.dumps(asdict(job)))))
        valid = job.records - cost.dead
        if job.kind == OURS:
            rows = self._sinks.counts().since(before).rows - cost.dead
            if rows != valid:
                raise VoidError(f"{job.resource}: {valid} rows were sent, {rows} arrived")
        if cost.loaded not in (valid, -1):
            raise VoidError(f"{job.resource}: {valid} records were sent, {cost.loaded} loaded")
        return cost


@contextmanager
def open_jobs(kind: str, sinks: Sinks) -> Iterator[Jobs]:
    """Start a process for jobs of one kind."""
    command = [sys.executable, "-m", "benchmarks.jobs", kind]
    # Beam asks Google's metadata server for credentials, which nobody answers here.
    env = {"NO_GCE_CHECK": "true"}
    with Child(f"jobs-{kind}", command, env, core=MEASURED_CORE) as child:
        yield Jobs(child, sinks)


def measure_pipeline(registry: Registry, sinks: Sinks, plan: Plan) -> dict[str, Any]:
    """Return CPU a record of ours for each resource, and of the stock sink."""
    ours: dict[str, dict[str, list[float]]] = {}
    stock: dict[str, dict[str, list[float]]] = {}
    endpoint = sinks.hosts["grpc"]
    for _ in range(plan.rounds):
        with open_jobs(OURS, sinks) as jobs:
            for name in registry if plan.peers else (PEER_RESOURCE,):
                print(f"  {name}", flush=True)
                for form, pack in FORMS.items():
                    job = Job(OURS, name, pack, plan.pipeline_records, endpoint)
                    _note(ours, form, name, jobs.cpu_us(job))
        for kind in (STOCK, STOCK_WITH_OURS) if plan.peers else ():
            print(f"  {kind}", flush=True)
            with open_jobs(kind, sinks) as jobs:
                for form, pack in FORMS.items():
                    job = Job(kind, PEER_RESOURCE, pack, plan.stock_records)
                    _note(stock, form, kind, jobs.cpu_us(job))
    return {"ours": _medians(ours), "stock": _medians(stock)}


def _whole_packs(records: int, pack: int) -> int:
    return max(records // pack, 1) * pack


def _note(table: dict[str, dict[str, list[float]]], form: str, name: str, value: float) -> None:
    table.setdefault(form, {}).setdefault(name, []).append(value)


def _medians(table: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    return {
        form: {
            name: {"cpu_us": round(median(runs), 2), "cpu_us_runs": [round(run, 2) for run in runs]}
            for name, runs in columns.items()
        }
        for form, columns in table.items()
    }
