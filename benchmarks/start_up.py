"""Measures how long an endpoint takes from nothing to its first accepted record."""

import subprocess
import sys
import time
from dataclasses import replace
from statistics import median
from typing import Any, Final

import orjson

from benchmarks import API_KEY, PEER_RESOURCE, ROOT
from benchmarks.contenders import Contender, ours
from benchmarks.plan import Plan
from benchmarks.records import JSON_TYPE, KILOBYTE, sized
from benchmarks.server import Server
from benchmarks.sinks import Sinks
from schemas.registry import Registry

ACCEPTED: Final = 202
_IMPORT: Final = "import functions_framework.aio, functions.app"


def measure_start_up(registry: Registry, sinks: Sinks, plan: Plan) -> dict[str, Any]:
    """Return seconds from a process's start to its first 202, and of its imports."""
    body = orjson.dumps(sized(registry[PEER_RESOURCE], KILOBYTE))
    one = [_first_answer(ours(), sinks, body) for _ in range(plan.rounds + 2)]
    every = [_first_answer(ours("all"), sinks, body) for _ in range(plan.rounds)]
    return {
        "first_202_seconds": round(median(one), 3),
        "first_202_seconds_runs": [round(seconds, 3) for seconds in one],
        "first_202_seconds_all_resources": round(median(every), 3),
        "import_seconds": round(median(_import_seconds() for _ in range(plan.rounds)), 3),
    }


def _first_answer(contender: Contender, sinks: Sinks, body: bytes) -> float:
    headers = {"x-api-key": API_KEY, "content-type": JSON_TYPE}
    server = Server(replace(contender, name="start-up"), sinks, core=None)
    started = time.monotonic()
    try:
        server.start()
        status = server.wait_for_answer(body, headers)
        seconds = time.monotonic() - started
    finally:
        server.stop()
    if status != ACCEPTED:
        raise RuntimeError(f"the first answer was {status}")
    return seconds


def _import_seconds() -> float:
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", _IMPORT], cwd=ROOT, check=True)  # noqa: S603 (our own command)
    return time.monotonic() - started
