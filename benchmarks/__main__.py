"""Runs the benchmark: `python -m benchmarks [--quick] [--long] [--only PART ...]`."""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks import document
from benchmarks.contenders import FLOOR, OURS, contenders
from benchmarks.edge import Edge
from benchmarks.end_to_end import measure_end_to_end
from benchmarks.figures import Voids
from benchmarks.growth import Growth
from benchmarks.pipeline import measure_pipeline
from benchmarks.plan import FULL, LONG_RECORDS, QUICK, Plan
from benchmarks.profiles import measure_profiles
from benchmarks.report import summary
from benchmarks.scale import RESULTS
from benchmarks.sinks import Sinks
from benchmarks.start_up import measure_start_up
from schemas.registry import load_registry

_PACKAGES: Final = (
    "apache-beam",
    "fastapi",
    "Flask",
    "functions-framework",
    "google-cloud-pubsub",
    "grpcio",
    "gunicorn",
    "jsonschema-rs",
    "orjson",
    "uvicorn",
)
PARTS: Final = ("edge", "pipeline", "start_up", "growth", "end_to_end", "profiles")


def main(argv: list[str] | None = None) -> int:
    """Run what is asked for; the exit code is 0 if every run counted in the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only see that all of it works")
    parser.add_argument("--long", action="store_true", help="watch memory over 5 million records")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--output", type=Path, default=None, help="results.json unless given")
    options = parser.parse_args(argv)
    plan = QUICK if options.quick else FULL
    if options.long:
        plan = replace(plan, memory_records=LONG_RECORDS)
    output = options.output or (None if options.quick else RESULTS)
    results = measure(plan, options.only)
    if output:
        kept = json.loads(output.read_bytes()) if output.exists() else {}
        results = {**kept, **results}
        output.write_text(json.dumps(results, indent=1) + "\n")
    if set(PARTS) <= set(results):
        print(f"\n{summary(results)}\n")
        if output == RESULTS:
            from benchmarks.plots import draw  # noqa: PLC0415 (matplotlib is for pictures alone)

            draw(results)
            document.write(results)
    return 0


def measure(plan: Plan, parts: tuple[str, ...]) -> dict[str, Any]:
    """Return the results of these parts.

    Raises:
        VoidError: A run stayed void however often it was tried.
    """
    started = time.monotonic()
    registry = load_registry()
    voids = Voids()
    results: dict[str, Any] = {}
    notes: list[str] = []

    def edge() -> dict[str, Any]:
        taking_part, missing = contenders()
        notes.extend(missing)
        if not plan.peers:
            taking_part = [each for each in taking_part if each.name in (OURS, FLOOR)]
        return Edge(registry, sinks, plan, voids).measure(taking_part)

    with Sinks(registry) as sinks:
        measures: dict[str, Callable[[], dict[str, Any]]] = {
            "edge": edge,
            "pipeline": lambda: measure_pipeline(registry, sinks, plan),
            "start_up": lambda: measure_start_up(registry, sinks, plan),
            "growth": lambda: Growth(registry, sinks, plan, voids).measure(),
            "end_to_end": lambda: measure_end_to_end(registry, plan),
            "profiles": lambda: measure_profiles(registry, sinks, plan),
        }
        for part in parts:
            print(f"{part} ({time.monotonic() - started:.0f} s)", flush=True)
            results[part] = measures[part]()
    return {
        **results,
        "voids": voids.reasons,
        "notes": notes,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "python": platform.python_version(),
            "packages": {name: version(name) for name in _PACKAGES},
        },
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} × {names[0]}" if names else platform.processor()


if __name__ == "__main__":
    sys.exit(main())
