"""Sends the bundled examples of every resource in every way that a producer may."""

import copy
import gzip
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from schemas.registry import SCHEMAS_DIR, Resource

BULK_RECORDS: Final = 200
GZIP_RECORDS: Final = 50

Record = dict[str, Any]


@dataclass
class Tally:
    """What came of one resource's requests.

    Attributes:
        sent: Records sent, repeats and bad ones among them.
        accepted: Records that were answered with an event id.
        rejected: Records that were answered with errors.
        event_ids: The distinct ids: what must be found again in BigQuery.
        refused: Key of the record that BigQuery is told to refuse.
    """

    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    event_ids: set[str] = field(default_factory=set)
    refused: str = ""

    def count(self, records: int, response: httpx.Response) -> list[str]:
        """Add one request's answer and return its event ids."""
        self.sent += records
        if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            self.rejected += records
            return []
        if response.status_code != httpx.codes.ACCEPTED:
            raise RuntimeError(f"unexpected answer: HTTP {response.status_code}")
        answer = response.json()
        ids = [entry["event_id"] for entry in answer["records"] if "event_id" in entry]
        self.accepted += len(ids)
        self.rejected += records - len(ids)
        self.event_ids.update(ids)
        return ids


class Producer:
    """One sender of one resource, with its key."""

    def __init__(self, endpoint: str, resource: Resource, api_key: str) -> None:
        self._resource = resource
        self._key_name = resource.key[0]
        self._client = httpx.Client(
            base_url=endpoint, headers={"x-api-key": api_key}, timeout=30, trust_env=False
        )
        self._good = list(_examples(resource, "pass"))
        self._bad = [case["record"] for case in _examples(resource, "fail")]
        self._run = uuid.uuid4().hex[:8]  # keys of another tour in the same tables stay apart
        self.tally = Tally(refused=f"demo-{self._run}-refused")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ways(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield each way of sending by the name that the tour shows."""
        yield "one by one", self._one_by_one
        yield "bad ones", self._bad_ones
        yield "bulk", self._bulk
        yield "gzip", self._gzip
        yield "duplicate", self._duplicate
        yield "tombstone", self._tombstone

    def _one_by_one(self) -> None:
        for record in self._good:
            self._post(json.dumps(record), 1)

    def _bad_ones(self) -> None:
        for record in self._bad:
            self._post(json.dumps(record), 1)

    def _bulk(self) -> None:
        """Good and bad in one request, and one that only BigQuery will refuse."""
        records = [self._variant(n) for n in range(BULK_RECORDS)]
        records.insert(BULK_RECORDS // 2, self._with_key(self._good[0], self.tally.refused))
        records += self._bad[:3]
        lines = "\n".join(json.dumps(record) for record in records)
        self._post(lines, len(records), {"content-type": "application/x-ndjson"})

    def _gzip(self) -> None:
        records = [self._variant(BULK_RECORDS + n) for n in range(GZIP_RECORDS)]
        body = gzip.compress(json.dumps(records).encode())
        self._post(body, len(records), {"content-encoding": "gzip"})

    def _duplicate(self) -> None:
        record = json.dumps(self._variant(BULK_RECORDS + GZIP_RECORDS))
        once = {"idempotency-key": f"demo-{self._run}"}
        first, second = self._post(record, 1, once), self._post(record, 1, once)
        if first != second:
            raise RuntimeError("a repeat with the same Idempotency-Key got another event id")

    def _tombstone(self) -> None:
        key = self._variant(0)[self._key_name]
        response = self._client.delete(f"/v1/{self._resource.name}/{key}")
        self.tally.count(1, response)

    def _post(
        self, body: str | bytes, records: int, headers: dict[str, str] | None = None
    ) -> list[str]:
        response = self._client.post(
            f"/v1/{self._resource.name}",
            content=body,
            headers={"content-type": "application/json"} | (headers or {}),
        )
        return self.tally.count(records, response)

    def _variant(self, number: int) -> Record:
        return self._with_key(
            self._good[number % len(self._good)], f"demo-{self._run}-{number:04d}"
        )

    def _with_key(self, record: Record, key: str) -> Record:
        changed = copy.deepcopy(record)
        changed[self._key_name] = key
        return changed


def _examples(resource: Resource, kind: str) -> Iterator[Record]:
    folder = SCHEMAS_DIR / "examples" / resource.name
    for path in sorted(folder.glob(f"*.{kind}.json")):
        yield json.loads(path.read_bytes())
