"""Finds again, by id, every record that was accepted: loaded, dead-lettered, or missing."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.cloud import bigquery

from emulators.demo.traffic import Tally

WAIT_SECONDS: Final = 60
POLL_SECONDS: Final = 0.5
VIEW_COUNTS: Final = ("accepted", "loaded", "dead_lettered", "in_flight", "missing", "surplus")


@dataclass(frozen=True)
class Found:
    """The event ids of one resource in BigQuery."""

    loaded: set[str]
    dead: set[str]


def reconciles(tally: Tally, found: Found) -> bool:
    """Tell whether what was accepted is loaded or dead-lettered, once, and nothing else is."""
    return tally.event_ids == found.loaded | found.dead and not found.loaded & found.dead


class Ledger:
    """The tables in which accepted records must be found again."""

    def __init__(self, client: bigquery.Client, dataset: str, ops_dataset: str) -> None:
        self._client, self._dataset, self._ops = client, dataset, ops_dataset

    def wait(
        self, tallies: Mapping[str, Tally], progress: Callable[[int], None]
    ) -> dict[str, Found]:
        """Poll until every accepted record is found, or WAIT_SECONDS have passed."""
        give_up = time.monotonic() + WAIT_SECONDS
        expected = sum(len(tally.event_ids) for tally in tallies.values())
        while (arrived := self._count(tallies)) < expected and time.monotonic() < give_up:
            progress(arrived)
            time.sleep(POLL_SECONDS)
        progress(arrived)
        return {name: self._find(name, tally) for name, tally in tallies.items()}

    def view(self, expected: int) -> dict[str, int]:
        """Return the sums of the view `reconciliation`, once it knows of all that was accepted.

        Audit events take the way of the records, so the last of them may come after these.
        """
        give_up = time.monotonic() + WAIT_SECONDS
        columns = ", ".join(f"IFNULL(SUM({name}), 0) AS {name}" for name in VIEW_COUNTS)
        sql = f"SELECT {columns} FROM {self._ops}.reconciliation"  # noqa: S608  (our own dataset)
        while True:
            [row] = self._client.query(sql).result()
            sums = {name: int(row[name]) for name in VIEW_COUNTS}
            if sums["accepted"] >= expected or time.monotonic() > give_up:
                return sums
            time.sleep(POLL_SECONDS)

    def dead_letter(self, tallies: Mapping[str, Tally]) -> dict[str, Any] | None:
        """Return one dead letter of this run, whole."""
        ids = [event_id for tally in tallies.values() for event_id in tally.event_ids]
        rows = self._query(
            f"SELECT * FROM {self._ops}.dead_letters WHERE event_id IN UNNEST(@ids) LIMIT 1",  # noqa: S608  (our own dataset)
            ids,
        )
        return dict(rows[0].items()) if rows else None

    def _count(self, tallies: Mapping[str, Tally]) -> int:
        parts = [f"SELECT event_id FROM {self._dataset}.{name}" for name in tallies]  # noqa: S608  (from the registry)
        parts.append(f"SELECT event_id FROM {self._ops}.dead_letters")  # noqa: S608  (our own dataset)
        ids = [event_id for tally in tallies.values() for event_id in tally.event_ids]
        sql = "SELECT COUNT(DISTINCT event_id) AS n FROM ({}) WHERE event_id IN UNNEST(@ids)"
        return int(self._query(sql.format(" UNION ALL ".join(parts)), ids)[0]["n"])

    def _find(self, name: str, tally: Tally) -> Found:
        ids = list(tally.event_ids)
        where = "WHERE event_id IN UNNEST(@ids)"
        loaded = f"SELECT DISTINCT event_id FROM {self._dataset}.{name} {where}"  # noqa: S608  (from the registry)
        dead = f"SELECT DISTINCT event_id FROM {self._ops}.dead_letters {where}"  # noqa: S608  (our own dataset)
        return Found(
            loaded={row["event_id"] for row in self._query(loaded, ids)},
            dead={row["event_id"] for row in self._query(dead, ids)},
        )

    def _query(self, sql: str, ids: list[str]) -> list[Any]:
        parameter = bigquery.ArrayQueryParameter("ids", "STRING", ids)
        config = bigquery.QueryJobConfig(query_parameters=[parameter])
        return list(self._client.query(sql, job_config=config).result())
