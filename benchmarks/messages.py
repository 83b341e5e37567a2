"""Makes the Pub/Sub messages that the pipeline reads, as the endpoint would have published them."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import apache_beam as beam
import orjson
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.pvalue import PBegin, PCollection
from apache_beam.transforms.ptransform import PTransform

from benchmarks.records import JSON_TYPE, NDJSON_TYPE, mixed, sized
from schemas.registry import Resource, load_registry

SINGLE: Final = 1
_CREATED: Final = "2026-01-02T03:04:05.678901Z"
_PUBLISHED: Final = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
# So many are different from each other, so that caches do not make the work look smaller.
_DISTINCT_RECORDS: Final = 2_000


@lru_cache(maxsize=4)
def messages(resource: str, pack: int, size: int, invalid: float) -> Sequence[PubsubMessage]:
    """Return messages of `pack` records each, so many as are distinct at most.

    Args:
        resource: Its name.
        pack: How many records a message has; SINGLE is one that is not packed.
        size: Of a record's JSON, about, in bytes.
        invalid: Share of the records that break their contract.
    """
    contract = load_registry()[resource]
    records = mixed(contract, sized(contract, size), _DISTINCT_RECORDS, invalid)
    return [
        _published(contract, records[start : start + pack])
        for start in range(0, len(records) // pack * pack, pack)
    ]


def _published(resource: Resource, records: list[dict[str, Any]]) -> PubsubMessage:
    """Return what the endpoint publishes of these records, see docs/architecture.md."""
    ids = [str(uuid.uuid4()) for _ in records]
    audit = {
        "created_ts": _CREATED,
        "updated_ts": _CREATED,
        "created_by": "v1",
        "is_active": True,
        "request_id": str(uuid.uuid4()),
    }
    lines = [
        orjson.dumps({**record, **audit, "event_id": event_id})
        for record, event_id in zip(records, ids, strict=True)
    ]
    attributes = {
        "resource": resource.name,
        "schema_version": str(resource.version),
        "op": "upsert",
        "request_id": audit["request_id"],
        "key_id": "v1",
        "content_type": JSON_TYPE if len(lines) == SINGLE else NDJSON_TYPE,
        "dedup_id": ids[0],
    }
    return PubsubMessage(
        data=b"\n".join(lines),
        attributes=attributes,
        message_id=ids[0],
        publish_time=_PUBLISHED,
    )


class Replay(PTransform[PBegin, PCollection[PubsubMessage]]):
    """Yields `count` records in messages that were made before; each is a bundle's element."""

    def __init__(
        self, resource: str, pack: int, count: int, *, size: int = 1_024, invalid: float = 0.0
    ) -> None:
        super().__init__()
        self._messages = (resource, pack, size, invalid)
        self._count = count
        messages(*self._messages)  # now: making them is no part of the job

    def expand(self, begin: PBegin) -> PCollection[PubsubMessage]:
        """Replay within the worker: no message passes a coder before the first step."""
        made, count = self._messages, self._count

        def replay(_: object) -> Iterator[PubsubMessage]:
            stock = messages(*made)
            pack = made[1]
            for number in range(count // pack):
                yield stock[number % len(stock)]

        replayed: PCollection[PubsubMessage] = (
            begin | beam.Impulse() | "Replay" >> beam.FlatMap(replay)
        )
        return replayed
