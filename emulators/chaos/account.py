"""Remembers what producers were told, record by record, and compares it with BigQuery."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.cloud import bigquery

from schemas.registry import Resource

_SHOWN: Final = 3


@dataclass(frozen=True)
class Verdict:
    """What BigQuery holds of an account.

    Attributes:
        accepted: Distinct event ids that were answered 202.
        loaded: Of these, in `<resource>_events`.
        dead: Of these, in the dead letters alone.
        copies: Rows of the tables beyond one for each event id: delivery is at least once.
        doubtful: Found without a 202, of requests that were answered 5xx or not at all.
        missing: Accepted, and nowhere.
        twice: In the deduplicated views more than once, or both there and in the dead letters.
        strangers: Found, though nothing of it was ever accepted or doubtful.
        altered: Found under another key than they were sent with.
    """

    accepted: int
    loaded: int
    dead: int
    copies: int
    doubtful: int
    missing: frozenset[str]
    twice: frozenset[str]
    strangers: frozenset[str]
    altered: frozenset[str]

    @property
    def faults(self) -> dict[str, list[str]]:
        """What breaks the promise: some event ids by its name; empty if it was kept."""
        named = {
            name: sorted(getattr(self, name))[:_SHOWN]
            for name in ("missing", "twice", "strangers", "altered")
        }
        return {name: ids for name, ids in named.items() if ids}


@dataclass
class Account:
    """The answers to one run's requests; may be written from many threads.

    Attributes:
        run: Begins the key of every record that the run sends, and no other's.
    """

    run: str
    answers: Counter[str] = field(default_factory=Counter)
    records: int = 0
    rejected: int = 0
    _accepted: dict[str, tuple[str, str]] = field(default_factory=dict)
    _doubtful: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def accepted(self) -> int:
        """How many distinct event ids were answered 202."""
        return len(self._accepted)

    @property
    def resources(self) -> set[str]:
        """The resources of which records were accepted or are in doubt."""
        with self._lock:
            return {of[0] for of in (*self._accepted.values(), *self._doubtful)}

    def accept(self, resource: str, keys: Mapping[str, str], rejected: int = 0) -> None:
        """Note a 202: the accepted records' keys by their event ids."""
        with self._lock:
            self.answers["202"] += 1
            self.records += len(keys) + rejected
            self.rejected += rejected
            self._accepted.update({id_: (resource, key) for id_, key in keys.items()})

    def reject(self, answer: str, records: int) -> None:
        """Note a refusal that is the producer's fault: nothing of it may be found."""
        with self._lock:
            self.answers[answer] += 1
            self.records += records
            self.rejected += records

    def doubt(self, answer: str, resource: str, keys: Iterable[str]) -> None:
        """Note an answer after which the records may be found or not: 5xx, or none at all."""
        with self._lock:
            self.answers[answer] += 1
            self._doubtful.update((resource, key) for key in keys)

    def compare(
        self, client: bigquery.Client, registry: Mapping[str, Resource], names: Mapping[str, str]
    ) -> Verdict:
        """Look for every record; `names` has the `dataset` and the `ops_dataset`."""
        with self._lock:
            accepted, doubtful = dict(self._accepted), set(self._doubtful)
        found: Counter[str] = Counter()
        of: dict[str, tuple[str, str]] = {}
        copies = 0
        for resource in sorted({name for name, _ in (*accepted.values(), *doubtful)}):
            column = registry[resource].key[0]
            column = next(c.column for c in registry[resource].columns if c.name == column)
            table = f"{names['dataset']}.{resource}"
            where = f"WHERE STARTS_WITH({column}, @run)"
            sql = f"SELECT event_id, {column} FROM {table}_events {where}"  # noqa: S608  (our names)
            rows = self._query(client, sql)
            found.update(row[0] for row in rows)
            of.update({row[0]: (resource, row[1]) for row in rows})
            sql = f"SELECT COUNT(*) FROM {table} {where}"  # noqa: S608  (as above)
            [[stored]] = self._query(client, sql)
            copies += stored - len(rows)
        dead = self._dead(client, names["ops_dataset"])
        loaded = accepted.keys() & found.keys()
        known = found.keys() | dead
        unasked = known - accepted.keys()
        return Verdict(
            accepted=len(accepted),
            loaded=len(loaded),
            dead=len(accepted.keys() & dead - found.keys()),
            copies=copies,
            doubtful=len({id_ for id_ in unasked if of.get(id_) in doubtful}),
            missing=frozenset(accepted.keys() - known),
            twice=frozenset({id_ for id_, rows in found.items() if rows > 1} | (loaded & dead)),
            strangers=frozenset(id_ for id_ in unasked if of.get(id_) not in doubtful),
            altered=frozenset(id_ for id_ in loaded if of[id_] != accepted[id_]),
        )

    def _dead(self, client: bigquery.Client, ops_dataset: str) -> set[str]:
        """Return the event ids of the run's dead letters, which its keys tell."""
        sql = f"SELECT event_id, payload FROM {ops_dataset}.dead_letters"  # noqa: S608  (our names)
        return {
            row[0]
            for row in self._query(client, sql, by_run=False)
            if row[0] and self.run.encode() in row[1]
        }

    def _query(self, client: bigquery.Client, sql: str, *, by_run: bool = True) -> list[Any]:
        run = bigquery.ScalarQueryParameter("run", "STRING", self.run)
        config = bigquery.QueryJobConfig(query_parameters=[run] if by_run else [])
        return [row.values() for row in client.query(sql, job_config=config).result()]
