"""Checks the hash chain of audit events as BigQuery has them: what was changed, what is gone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from functions.hash_chain import GENESIS, event_hash

CHANGED: Final = "changed"
MISSING: Final = "missing"
REORDERED: Final = "reordered"
CUT: Final = "cut off"
# Gaps so young are no fault yet: the messages of a writer may arrive in another order.
PENDING: Final = "pending"

# What the pipeline adds, and no writer knew.
_NOT_HASHED: Final = ("hash", "schema_version", "publish_ts", "additional_fields")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a chain.

    Attributes:
        kind: CHANGED: a row is not what was hashed. MISSING: rows are gone, or the beginning is.
            REORDERED: rows are whole but do not follow each other. CUT: rows are gone at the end,
            where only a head that was logged can tell. PENDING: may still arrive.
        sequence: Of the first row that it is about.
        rows: How many.
    """

    writer_id: str
    kind: str
    sequence: int
    rows: int
    detail: str

    @property
    def is_fault(self) -> bool:
        """Whether it needs an explanation."""
        return self.kind != PENDING


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a writer's chain, as the writer logged it, and when, where that is known."""

    writer_id: str
    sequence: int
    hash: str
    at: datetime | None = None


def as_hashed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event of a table's row as its writer hashed it."""
    event = {
        name: _value(value)
        for name, value in row.items()
        if name not in _NOT_HASHED and value is not None and value != []
    }
    extra = row.get("additional_fields")
    if extra is not None:  # of a writer that is newer than the table
        event |= orjson.loads(extra) if isinstance(extra, str) else extra
    return event


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value


def check_chain(
    writer_id: str,
    rows: Iterable[Mapping[str, Any]],
    *,
    settled_before: datetime,
    previous: Mapping[str, Any] | None = None,
    heads: Sequence[Head] = (),
) -> Iterator[Finding]:
    """Yield what is wrong with one writer's events.

    Args:
        writer_id: The writer.
        rows: Its rows, in any order; repeats of a row are no fault.
        settled_before: What is older has arrived, if it ever will.
        previous: The row before the first, where not all are read.
        heads: What the writer logged.
    """
    chain: dict[int, Mapping[str, Any]] = {}
    changed: set[int] = set()
    for row in rows:
        sequence = row["sequence"]
        known = chain.setdefault(sequence, row)
        if event_hash(as_hashed(row)) != row["hash"]:
            changed.add(sequence)
            yield Finding(writer_id, CHANGED, sequence, 1, "is not what was hashed")
        elif known["hash"] != row["hash"]:
            changed.add(sequence)
            yield Finding(writer_id, CHANGED, sequence, 1, "is there twice, and differs")
    expected: int = previous["sequence"] + 1 if previous else 0
    link: str | None = previous["hash"] if previous else GENESIS
    for sequence, row in sorted(chain.items()):
        if sequence > expected:
            kind = MISSING if row["created_ts"] < settled_before else PENDING
            where = f"after {expected - 1}" if expected else "at the beginning"
            yield Finding(writer_id, kind, expected, sequence - expected, where)
        elif link is not None and row["previous_hash"] != link and sequence not in changed:
            detail = "does not follow the row before: either was replaced or moved"
            yield Finding(writer_id, REORDERED, sequence, 1, detail)
        expected, link = sequence + 1, None if sequence in changed else row["hash"]
    yield from _check_heads(writer_id, chain, heads, settled_before)


def _check_heads(
    writer_id: str,
    chain: Mapping[int, Mapping[str, Any]],
    heads: Sequence[Head],
    settled_before: datetime,
) -> Iterator[Finding]:
    last = max(chain, default=-1)
    beyond = [head for head in heads if head.sequence > last]
    if beyond:
        oldest = min(beyond, key=lambda head: head.sequence)
        is_settled = oldest.at is None or oldest.at < settled_before
        rows = max(head.sequence for head in beyond) - last
        kind = CUT if is_settled else PENDING
        yield Finding(writer_id, kind, last + 1, rows, "were logged as published, and are not here")
    for head in heads:
        row = chain.get(head.sequence)
        if row is not None and row["hash"] != head.hash:
            yield Finding(writer_id, CHANGED, head.sequence, 1, "has another hash than was logged")


def read_heads(text: str) -> list[Head]:
    """Return the heads in a log: JSON lines of the endpoint, or what `gcloud logging read` gives.

    What is no head is passed over.
    """
    entries: list[Any]
    try:
        document = orjson.loads(text)
        entries = document if isinstance(document, list) else [document]
    except orjson.JSONDecodeError:
        entries = []
        for line in text.splitlines():
            try:
                entries.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                continue
    heads = []
    for entry in entries:
        fields = entry.get("jsonPayload", entry) if isinstance(entry, dict) else {}
        if isinstance(fields, dict) and {"writer_id", "sequence", "hash"} <= fields.keys():
            at = datetime.fromisoformat(fields["at"]) if "at" in fields else None
            # Cloud Logging holds every number as a double.
            sequence = int(fields["sequence"])
            heads.append(Head(fields["writer_id"], sequence, fields["hash"], at))
    return heads
