"""Measures the endpoint beside its peers: the same records, the same sink, in turn."""

from contextlib import ExitStack
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


_SATURATED: Final = Scenario("single_128", 128, 1)
SCENARIOS: Final = (
    Scenario("single_32", 32, 1),
    _SATURATED,
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
        with ExitStack() as stack:
            servers = {
                contender.name: stack.enter_context(Server(contender, self._sinks))
                for contender in taking_part
            }
            for scenario in SCENARIOS:
                print(f"  {scenario.name}", flush=True)
                self._take_turns(scenario, servers)
            print("  half load", flush=True)
            for _ in range(self._plan.rounds):
                self._visit_at_half_load(servers[OURS])
        scenarios: dict[str, Any] = {scenario.name: {} for scenario in SCENARIOS}
        for (key, name), runs in self._runs.items():
            scenarios[key][name] = medians(runs)
        titles = {contender.name: contender.title for contender in taking_part}
        half = {
            "rate": round(median(half["rate"] for half in self._half)),
            "p50_ms": round(median(half["p50_ms"] for half in self._half), 2),
            "p99_ms": round(median(half["p99_ms"] for half in self._half), 2),
            "p99_ms_runs": [round(half["p99_ms"], 2) for half in self._half],
            "late": sum(half["late"] for half in self._half),
        }
        return {"titles": titles, "scenarios": scenarios, "half_load": half}

    def _take_turns(self, scenario: Scenario, servers: dict[str, Server]) -> None:
        """Load the servers in turn, each as often as there are rounds."""
        loads = {}
        for name, server in servers.items():
            contender = server.contender
            path = contender.path if scenario.batch == 1 else contender.bulk_path
            if path is not None:
                file = str(self._requests(path, scenario.batch))
                plan, connections = self._plan, scenario.connections
                warm_up = Load(server.port, file, connections, plan.warm_up, UNLIMITED)
                server.fire(warm_up, scenario.batch)
                loads[name] = Load(server.port, file, connections, plan.edge_seconds, UNLIMITED)
        for names in turns(list(loads), self._plan.edge_rounds):
            for name in names:
                run = self._visit(scenario, servers[name], loads[name])
                self._runs.setdefault((scenario.name, name), []).append(run)

    def _visit(self, scenario: Scenario, server: Server, load: Load) -> Run:
        shot = self._voids.repeat(
            f"{server.contender.title}, {scenario.name}",
            lambda: server.fire(load, scenario.batch),
        )
        return run_of(shot, shot.outcome.answered * scenario.batch)

    def _visit_at_half_load(self, server: Server) -> None:
        """Load a server with half of what it did the moment before: the machine's speed changes."""
        file = str(self._requests(server.contender.path, 1))
        full = Load(server.port, file, _SATURATED.connections, self._plan.edge_seconds, UNLIMITED)
        run = self._visit(_SATURATED, server, full)
        rate = run.records / run.seconds / 2
        load = Load(
            server.port, file, _HALF_LOAD_CONNECTIONS, self._plan.seconds, UNLIMITED, rate=rate
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
