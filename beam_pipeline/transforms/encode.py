"""Turns valid records into the protobuf rows of their table."""

from collections.abc import Iterator
from typing import Any, Final

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from beam_pipeline import dead_letters
from beam_pipeline.dead_letters import dead_record
from beam_pipeline.metrics import ResourceMetrics
from beam_pipeline.records import DELETE, Record, Row
from beam_pipeline.row_encoder import RowEncoder, RowError, shared_encoder
from beam_pipeline.transforms import DEAD, Dead
from schemas import limits
from schemas.registry import SYSTEM_COLUMNS, Resource
from schemas.validation import RecordError

# An append of this row alone must still fit.
MAX_ROW_BYTES: Final = limits.STORAGE_WRITE_MAX_REQUEST_BYTES - limits.STORAGE_WRITE_OVERHEAD_BYTES


def record_encoder(resource: Resource) -> RowEncoder:
    """Return the encoder of a resource's rows."""
    return shared_encoder(resource.columns, SYSTEM_COLUMNS)


class Encode(beam.DoFn):
    """Record → Row; what its table cannot hold → DeadLetter."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._key = resource.key
        self._metrics = ResourceMetrics(resource.name)

    def setup(self) -> None:
        """Build the message class of the rows."""
        self._encode = record_encoder(self._resource).encode

    def process(self, element: Record) -> Iterator[Row | Dead]:
        """Yield the record's row."""
        system = {
            "created_ts": element.created_us,
            "updated_ts": element.updated_us,
            "created_by": element.created_by,
            "is_active": element.is_active,
            "event_id": element.event_id,
            "request_id": element.request_id,
            "schema_version": element.envelope.schema_version,
            "publish_ts": element.envelope.publish_us,
        }
        try:
            if element.envelope.op == DELETE:
                data = self._encode_tombstone(element, system)
            else:
                data = self._encode(element.fields, system)
        except RowError as error:
            reason = RecordError(error.path, "encode", "has a value that its column cannot hold")
            yield self._dead(element, dead_letters.ENCODE_FAILED, [reason])
            return
        if len(data) > MAX_ROW_BYTES:
            yield self._dead(element, dead_letters.ROW_TOO_LARGE, [])
            return
        yield Row(
            data,
            element.envelope,
            element.line,
            element.position,
            element.event_id,
            element.created_us,
        )

    def _encode_tombstone(self, record: Record, system: dict[str, Any]) -> bytes:
        """Keep what a tombstone holds besides its key as it is: only the key was checked."""
        key = {name: record.fields[name] for name in self._key}
        rest = {name: value for name, value in record.fields.items() if name not in key}
        return self._encode(key, system, rest)

    def _dead(self, record: Record, code: str, errors: list[RecordError]) -> Dead:
        self._metrics.dead(code)
        letter = dead_record(
            self._resource.name,
            dead_letters.ENCODE,
            code,
            record,
            errors=errors,
        )
        return TaggedOutput(DEAD, letter)
