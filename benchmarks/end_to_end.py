"""Measures the embedded stack as a whole: from an HTTP request to a row that a query sees."""

import time
from typing import Any, Final

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from benchmarks import CACHE, PEER_RESOURCE, process_tree
from benchmarks.edge import BULK_RECORDS
from benchmarks.figures import VoidError
from benchmarks.load import Load, write_requests
from benchmarks.plan import Plan
from benchmarks.records import KILOBYTE, bulk_request, single_request, sized, variants
from benchmarks.server import run_load
from emulators.stack import Stack
from schemas.registry import Registry

_LONGEST_SECONDS: Final = 90.0
_LOOK_SECONDS: Final = 0.1
# The local runner takes ten messages at a time: a message is what costs there.
_SINGLES_PER_SECOND: Final = 400
_PACKED_PER_SECOND: Final = 4_000
_CONNECTIONS: Final = 8


def measure_end_to_end(registry: Registry, plan: Plan) -> dict[str, Any]:
    """Return, for records sent alone and in bulk, how fast they were rows and what that took."""
    record = sized(registry[PEER_RESOURCE], KILOBYTE)
    path = f"/v1/{PEER_RESOURCE}"
    with Stack() as stack:
        key = stack.info["api_keys"][PEER_RESOURCE]
        table = _Table(stack)
        warm_up = [
            single_request(path, each, key)
            for each in variants(registry[PEER_RESOURCE], record, 20)
        ]
        _carry(stack, table, warm_up, 1)
        singles = int(_SINGLES_PER_SECOND * plan.end_to_end_seconds)
        made = list(variants(registry[PEER_RESOURCE], record, singles))
        single = _carry(stack, table, [single_request(path, each, key) for each in made], 1)
        batch = list(variants(registry[PEER_RESOURCE], record, BULK_RECORDS))
        bulks = max(int(_PACKED_PER_SECOND * plan.end_to_end_seconds) // BULK_RECORDS, 1)
        packed = _carry(stack, table, [bulk_request(path, batch, key)] * bulks, BULK_RECORDS)
    return {"single": single, "packed": packed}


class _Table:
    """What a query sees of the table."""

    def __init__(self, stack: Stack) -> None:
        info = stack.info
        self._client: Any = bigquery.Client(
            project=info["project"],
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call] # it has no types
            client_options={"api_endpoint": info["bigquery_rest"]},
        )
        self._name = f"{info['project']}.{info['dataset']}.{PEER_RESOURCE}"

    def count(self) -> int:
        """Return how many records there are."""
        return int(self._ask(f"SELECT COUNT(DISTINCT event_id) FROM `{self._name}`")[0])  # noqa: S608 (our own name)

    def publish_ms(self, records: int) -> float:
        """Return how long the newest records took on average from acceptance to Pub/Sub."""
        delay = "TIMESTAMP_DIFF(publish_ts, created_ts, MICROSECOND)"
        newest = (
            f"SELECT {delay} AS delay FROM `{self._name}` ORDER BY created_ts DESC LIMIT {records}"  # noqa: S608 (as above)
        )
        return float(self._ask(f"SELECT AVG(delay) FROM ({newest})")[0]) / 1_000  # noqa: S608 (as above)

    def _ask(self, sql: str) -> Any:
        [row] = self._client.query(sql).result()
        return row


def _carry(stack: Stack, table: _Table, requests: list[bytes], batch: int) -> dict[str, Any]:
    """Send every request once, and wait until a query sees all of their records."""
    file = CACHE / "requests" / "end-to-end"
    write_requests(file, requests)
    records = len(requests) * batch
    target = table.count() + records
    before = _cpu(stack)
    port = int(stack.info["endpoint"].rpartition(":")[2])
    started = time.monotonic()
    outcome = run_load(Load(port, str(file), _CONNECTIONS, _LONGEST_SECONDS, len(requests)))
    if outcome.statuses != {"202": len(requests)}:
        raise VoidError(f"end to end: {outcome.statuses}")
    while table.count() < target:
        stack.check()
        if time.monotonic() - started > _LONGEST_SECONDS:
            raise VoidError(f"end to end: {target - table.count()} records are not there")
        time.sleep(_LOOK_SECONDS)
    seconds = time.monotonic() - started
    used = {name: cpu - before[name] for name, cpu in _cpu(stack).items()}
    return {
        "records": records,
        "per_second": round(records / seconds),
        "accepted_seconds": round(outcome.seconds, 2),
        "visible_seconds": round(seconds, 2),
        "accepted_to_published_ms": round(table.publish_ms(records), 2),
        "cpu_us": {name: round(cpu / records * 1e6, 1) for name, cpu in used.items()},
    }


def _cpu(stack: Stack) -> dict[str, float]:
    return {name: process_tree.cpu_seconds(child.pid) for name, child in stack.children.items()}
