"""Shows where the time goes: py-spy's samples of an endpoint and of a pipeline under load.

Only threads that hold the interpreter's lock are sampled: those that wait for gRPC do not work.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from benchmarks import CACHE, PEER_RESOURCE, ROOT
from benchmarks.contenders import ours
from benchmarks.edge import UNLIMITED
from benchmarks.jobs import OURS, Job
from benchmarks.load import Load, write_requests
from benchmarks.pipeline import FORMS, open_jobs
from benchmarks.plan import Plan
from benchmarks.records import KILOBYTE, single_request, sized, variants
from benchmarks.server import Server, run_load
from benchmarks.sinks import Sinks
from schemas.registry import Registry

TOP: Final = 10
_RATE: Final = 500


def measure_profiles(registry: Registry, sinks: Sinks, plan: Plan) -> dict[str, Any]:
    """Return the functions that most samples were in, of both."""
    return {
        "endpoint": _endpoint(registry, sinks, plan),
        "pipeline": _pipeline(sinks, plan),
    }


def _endpoint(registry: Registry, sinks: Sinks, plan: Plan) -> list[dict[str, Any]]:
    resource = registry[PEER_RESOURCE]
    records = variants(resource, sized(resource, KILOBYTE), 1_000)
    file = CACHE / "requests" / "profile"
    write_requests(file, [single_request(ours().path, record) for record in records])
    with Server(ours(), sinks) as server:
        load = Load(server.port, str(file), 32, plan.seconds, UNLIMITED)
        run_load(load)
        with _recording(server.pid, plan.seconds) as output:
            run_load(load)
    return top_functions(output.read_text())


def _pipeline(sinks: Sinks, plan: Plan) -> list[dict[str, Any]]:
    job = Job(OURS, PEER_RESOURCE, FORMS["single"], plan.pipeline_records, sinks.hosts["grpc"])
    with open_jobs(OURS, sinks) as jobs:
        jobs.run(job)
        with _recording(jobs.pid, plan.seconds) as output:
            jobs.run(job)
    return top_functions(output.read_text())


class _recording:  # noqa: N801 (used as a statement)
    """Samples a process and its children while within; yields the file of collapsed stacks."""

    def __init__(self, pid: int, seconds: float) -> None:
        self._output = CACHE / f"profile-{pid}.txt"
        command = [str(Path(sys.executable).parent / "py-spy"), "record", "--gil", "--subprocesses"]
        command += ["--format=raw", f"--rate={_RATE}", f"--duration={max(round(seconds), 1)}"]
        command += [f"--output={self._output}", f"--pid={pid}"]
        self._command = command

    def __enter__(self) -> Path:
        self._process = subprocess.Popen(  # noqa: S603 (our own command)
            self._command,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return self._output

    def __exit__(self, *_: object) -> None:
        self._process.wait(60)


def top_functions(collapsed: str) -> list[dict[str, Any]]:
    """Return the functions at the end of most stacks, with their share of all samples.

    Args:
        collapsed: Lines of `outer;inner;innermost count`.
    """
    samples: Counter[str] = Counter()
    for line in collapsed.splitlines():
        stack, _, count = line.rpartition(" ")
        samples[_without_line(stack.rpartition(";")[2])] += int(count)
    total = sum(samples.values()) or 1
    return [
        {"function": name, "share": round(count / total, 3)}
        for name, count in samples.most_common(TOP)
    ]


def _without_line(frame: str) -> str:
    """Turn `name (path/file.py:12)` into `name (path/file.py)`, with the end of the path alone."""
    name, _, place = frame.partition(" (")
    path = place.rstrip(")").partition(":")[0]
    for root in (f"{ROOT}/", "site-packages/"):
        path = path.rpartition(root)[2]
    return f"{name} ({path})" if path else name
