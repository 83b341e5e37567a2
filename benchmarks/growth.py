"""Measures how the cost of a record grows: with its size, its company, and the process's age."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks import CACHE, PEER_RESOURCE, process_tree
from benchmarks.contenders import ours
from benchmarks.edge import BULK_RECORDS, UNLIMITED
from benchmarks.figures import Voids, run_of
from benchmarks.jobs import OURS, Job
from benchmarks.load import Load, write_requests
from benchmarks.pipeline import FORMS, open_jobs
from benchmarks.plan import Plan
from benchmarks.records import KILOBYTE, bulk_request, mixed, single_request, sized, variants
from benchmarks.server import Server
from benchmarks.sinks import Sinks
from schemas.registry import SCHEMAS_DIR, SCHEMAS_DIR_VARIABLE, Registry, Resource

# Its service lines let it grow as far as the curve goes.
LARGE_RESOURCE: Final = "claims"
SIZES: Final = (200, 1_000, 4_000, 16_000, 64_000)
RESOURCES: Final = (1, 5, 10, 25, 50)
INVALID: Final = (0.0, 0.05, 0.25, 0.5, 1.0)
CONNECTIONS: Final = (1, 4, 16, 64, 256, 512)
BATCHES: Final = (1, 4, 16, 64, 256, 1_000)
_ONE_AT_A_TIME: Final = 64
_SAMPLES: Final = 20
_PACKED_SHARE: Final = 0.9  # of the records while memory is watched

Point = dict[str, float]


class Growth:
    """The growth curves of the endpoint and of the pipeline."""

    def __init__(self, registry: Registry, sinks: Sinks, plan: Plan, voids: Voids) -> None:
        self._registry = registry
        self._resource = registry[PEER_RESOURCE]
        self._sinks, self._plan, self._voids = sinks, plan, voids

    def measure(self) -> dict[str, Any]:
        """Return each curve as a list of points."""
        return {
            "size": self._sizes(),
            "resources": self._resources(),
            "invalid": self._invalid(),
            "connections": self._connections(),
            "batch": self._batches(),
            "age": self._age(),
        }

    def _sizes(self) -> dict[str, list[Point]]:
        print("  record size", flush=True)
        resource = self._registry[LARGE_RESOURCE]
        path = f"/v1/{LARGE_RESOURCE}"
        endpoint, pipeline = [], []
        with Server(replace(ours(LARGE_RESOURCE), path=path), self._sinks) as server:
            for size in SIZES:
                record = sized(resource, size)
                requests = [single_request(path, each) for each in variants(resource, record, 200)]
                endpoint.append({"x": size, **self._fire(server, requests, 1, 32)})
        with open_jobs(OURS, self._sinks) as jobs:
            for size in SIZES:
                records = max(int(self._plan.pipeline_records / 2 / max(size / 1_000, 1)), 1_000)
                job = Job(OURS, LARGE_RESOURCE, 1, records, self._sinks.hosts["grpc"], size)
                pipeline.append({"x": size, "cpu_us": jobs.cpu_us(job)})
        return {"endpoint": endpoint, "pipeline": pipeline}

    def _resources(self) -> dict[str, list[Point]]:
        """Load one endpoint that serves all of them, a request to each in turn."""
        print("  number of resources", flush=True)
        points = []
        record = sized(self._resource, KILOBYTE)
        for count in RESOURCES:
            names = [f"bench_{number:02}" for number in range(count)]
            with contracts(self._resource, names) as folder:
                contender = replace(ours("all"), path=f"/v1/{names[0]}")
                with (
                    Sinks(names) as sinks,
                    Server(contender, sinks, {SCHEMAS_DIR_VARIABLE: str(folder)}) as server,
                ):
                    requests = [
                        single_request(f"/v1/{names[number % count]}", each)
                        for number, each in enumerate(variants(self._resource, record, 500))
                    ]
                    points.append({"x": count, **self._fire(server, requests, 1, _ONE_AT_A_TIME)})
        return {"endpoint": points}

    def _invalid(self) -> dict[str, list[Point]]:
        print("  share of invalid records", flush=True)
        record = sized(self._resource, KILOBYTE)
        single, bulk, pipeline = [], [], []
        with self._serve() as server:
            path = server.contender.path
            for share in INVALID:
                records = mixed(self._resource, record, BULK_RECORDS, share)
                requests = [single_request(path, each) for each in records]
                single.append({"x": share, **self._fire(server, requests, 1, 32)})
                good = BULK_RECORDS - int(BULK_RECORDS * share)
                request = [bulk_request(path, records)]
                bulk.append({"x": share, **self._fire(server, request, good, 8, BULK_RECORDS)})
        with open_jobs(OURS, self._sinks) as jobs:
            for share in INVALID:
                job = Job(
                    OURS,
                    PEER_RESOURCE,
                    FORMS["packed"],
                    self._plan.pipeline_records // 3,
                    self._sinks.hosts["grpc"],
                    invalid=share,
                )
                pipeline.append({"x": share, "cpu_us": jobs.cpu_us(job)})
        return {"endpoint, single": single, "endpoint, bulk": bulk, "pipeline, packed": pipeline}

    def _connections(self) -> dict[str, list[Point]]:
        print("  connections", flush=True)
        requests = self._singles()
        with self._serve() as server:
            return {
                "endpoint": [
                    {"x": count, **self._fire(server, requests, 1, count)} for count in CONNECTIONS
                ]
            }

    def _batches(self) -> dict[str, list[Point]]:
        print("  batch size", flush=True)
        record = sized(self._resource, KILOBYTE)
        endpoint, pipeline = [], []
        with self._serve() as server:
            for size in BATCHES:
                batch = list(variants(self._resource, record, size))
                request = [bulk_request(server.contender.path, batch)]
                connections = max(8, 32 // size)
                endpoint.append({"x": size, **self._fire(server, request, size, connections)})
        with open_jobs(OURS, self._sinks) as jobs:
            for size in BATCHES:
                count = self._plan.pipeline_records // 2
                job = Job(OURS, PEER_RESOURCE, size, count, self._sinks.hosts["grpc"])
                pipeline.append({"x": size, "cpu_us": jobs.cpu_us(job)})
        return {"endpoint": endpoint, "pipeline": pipeline}

    def _age(self) -> dict[str, list[Point]]:
        """Watch the memory of one endpoint; most records come in bulk, to come to so many."""
        print("  age of the process", flush=True)
        record = sized(self._resource, KILOBYTE)
        batch = list(variants(self._resource, record, BULK_RECORDS))
        share = self._plan.memory_records / _SAMPLES
        points: list[Point] = []
        done = 0
        with self._serve() as server:
            path = server.contender.path
            bulk = self._write([bulk_request(path, batch)])
            singles = self._write(self._singles(), "-single")
            for _ in range(_SAMPLES):
                for file, size, part in (
                    (bulk, BULK_RECORDS, share * _PACKED_SHARE),
                    (singles, 1, share * (1 - _PACKED_SHARE)),
                ):
                    load = Load(
                        server.port, str(file), _ONE_AT_A_TIME // 8, 600, int(part / size) or 1
                    )
                    shot = self._voids.repeat(
                        "age",
                        lambda load=load, size=size: server.fire(load, size),  # type: ignore[misc] # bound at once
                    )
                    done += shot.records
                points.append({"x": done, "memory_mb": process_tree.memory(server.pid) / 1e6})
        return {"endpoint": points}

    def _serve(self) -> Server:
        return Server(ours(), self._sinks)

    def _singles(self) -> list[bytes]:
        record = sized(self._resource, KILOBYTE)
        path = ours().path
        return [single_request(path, each) for each in variants(self._resource, record, 1_000)]

    def _fire(
        self,
        server: Server,
        requests: Sequence[bytes],
        per_request: int,
        connections: int,
        carried: int | None = None,
    ) -> Point:
        """Return the figures of a load; `carried` records a request count, of whatever kind."""
        load = Load(
            server.port,
            str(self._write(requests)),
            connections,
            self._plan.curve_seconds,
            UNLIMITED,
        )
        server.fire(replace(load, seconds=self._plan.warm_up / 2), per_request, {"422"})
        shot = self._voids.repeat(
            f"growth, {server.contender.path}", lambda: server.fire(load, per_request, {"422"})
        )
        run = run_of(shot, shot.outcome.answered * (carried or per_request))
        return {"cpu_us": run.cpu_us, "per_second": run.records / run.seconds, "p99_ms": run.p99_ms}

    def _write(self, requests: Sequence[bytes], suffix: str = "") -> Path:
        file = CACHE / "requests" / f"growth{suffix}"
        write_requests(file, list(requests))
        return file


@contextmanager
def contracts(resource: Resource, names: Sequence[str]) -> Iterator[Path]:
    """A folder of contracts that are all alike but for their names."""
    folder = Path(tempfile.mkdtemp(prefix="vitalflow-bench-"))
    try:
        shutil.copytree(SCHEMAS_DIR / "system", folder / "system")
        (folder / "resources").mkdir()
        for name in names:
            schema: Mapping[str, Any] = {
                **resource.schema,
                "$id": f"urn:vitalflow:schema:{name}:{resource.version}",
            }
            path = folder / "resources" / f"{name}.schema.json"
            path.write_text(json.dumps(schema))
        yield folder
    finally:
        shutil.rmtree(folder)
