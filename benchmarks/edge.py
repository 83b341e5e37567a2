"""Measures the endpoint beside its peers: the same records, the same sink, in turn."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import CACHE, PEER_RESOURCE
from benchmarks.contenders import OURS, Contender
from benchmarks.figures import Run, Voids, medians, run_of, turns
from benchmarks.load import Load, write_requests
from benchmarks.plan import Plan
from benchmarks.records import KILOBYTE, bulk_request, single_request, sized, variants
from benchmarks.server import Server
from benchmarks.sinks import Sinks
from schemas.registry import Registry

BULK_RECORDS: Final = 500
UNLIMITED: Final = 10_000_000
_DISTINCT: Final = 1_000


@dataclass(frozen=True)
class Scenario:
    """One way of sending.

    Attributes:
        batch: Records a request; one is sent as a JSON object, more as NDJSON.
    """

    name: str
    connections: int
    batch: int


SCENARIOS: Final = (
    Scenario("single_32", 32, 1),
    Scenario("single_128", 128, 1),
    Scenario("bulk_500", 8, BULK_RECORDS),
)
# At half of the rate that the server can do, as it is run.
_HALF_LOAD_CONNECTIONS: Final = 64


class Edge:
    """The measurement of all contenders."""

    def __init__(self, registry: Registry, sinks: Sinks, plan: Plan, voids: Voids) -> None:
        self._resource = registry[PEER_RESOURCE]
        self._record = sized(self._resource, KILOBYTE)
        self._sinks, self._plan, self._voids = sinks, plan, voids
        self._runs: dict[tuple[str, str], list[Run]] = {}
        self._half: list[dict[str, Any]] = []

    def measure(self, taking_part: list[Contender]) -> dict[str, Any]:
        """Return the medians by scenario and contender, and ours at half load."""
        by_name = {contender.name: contender for contender in taking_part}
        for names in turns(list(by_name), self._plan.rounds):
            for name in names:
                print(f"  {by_name[name].title}", flush=True)
                with Server(by_name[name], self._sinks) as server:
                    self._visit(server)
        scenarios: dict[str, Any] = {scenario.name: {} for scenario in SCENARIOS}
        for (scenario, name), runs in self._runs.items():
            scenarios[scenario][name] = medians(runs)
        titles = {contender.name: contender.title for contender in taking_part}
        half = {
            "rate": round(median(half["rate"] for half in self._half)),
            "p50_ms": round(median(half["p50_ms"] for half in self._half), 2),
            "p99_ms": round(median(half["p99_ms"] for half in self._half), 2),
            "p99_ms_runs": [round(half["p99_ms"], 2) for half in self._half],
            "late": sum(half["late"] for half in self._half),
        }
        return {"titles": titles, "scenarios": scenarios, "half_load": half}

    def _visit(self, server: Server) -> None:
        """Measure every scenario on one server."""
        contender = server.contender
        for scenario in SCENARIOS:
            path = contender.path if scenario.batch == 1 else contender.bulk_path
            if path is None:
                continue
            file = self._requests(path, scenario.batch)
            warm_up = Load(
                server.port, str(file), scenario.connections, self._plan.warm_up, UNLIMITED
            )
            server.fire(warm_up, scenario.batch)
            load = Load(server.port, str(file), scenario.connections, self._plan.seconds, UNLIMITED)
            shot = self._voids.repeat(
                f"{contender.title}, {scenario.name}",
                lambda load=load, batch=scenario.batch: server.fire(load, batch),  # type: ignore[misc] # bound at once
            )
            run = run_of(shot, shot.outcome.answered * scenario.batch)
            self._runs.setdefault((scenario.name, contender.name), []).append(run)
        if contender.name == OURS:
            self._visit_at_half_load(server)

    def _visit_at_half_load(self, server: Server) -> None:
        full = self._runs["single_128", OURS][-1]
        rate = full.records / full.seconds / 2
        file = self._requests(server.contender.path, 1)
        load = Load(
            server.port,
            str(file),
            _HALF_LOAD_CONNECTIONS,
            2 * self._plan.seconds,
            UNLIMITED,
            rate=rate,
        )
        shot = self._voids.repeat("half load", lambda: server.fire(load, 1))
        outcome = shot.outcome
        self._half.append(
            {"rate": rate, "p50_ms": outcome.p50_ms, "p99_ms": outcome.p99_ms, "late": outcome.late}
        )

    def _requests(self, path: str, batch: int) -> Path:
        file = CACHE / "requests" / f"{path.strip('/').replace('/', '-') or 'root'}-{batch}"
        made = list(variants(self._resource, self._record, max(_DISTINCT, batch)))
        if batch == 1:
            requests = [single_request(path, record) for record in made]
        else:
            requests = [
                bulk_request(path, made[start : start + batch])
                for start in range(0, len(made), batch)
            ]
        write_requests(file, requests)
        return file
