"""Turns valid records into the protobuf rows of their table."""

from collections.abc import Iterator
from typing import Any, Final

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from beam_pipeline import dead_letters
from beam_pipeline.dead_letters import dead_record
from beam_pipeline.metrics import ResourceMetrics
from beam_pipeline.records import UPSERT, Record, Row
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
    """Records → their Rows; each that its table cannot hold → DeadLetter."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._key = resource.key
        self._metrics = ResourceMetrics(resource.name)

    def setup(self) -> None:
        """Build the message class of the rows."""
        self._encode = record_encoder(self._resource).encode

    def process(self, element: list[Record]) -> Iterator[list[Row] | Dead]:
        """Yield the records' rows."""
        encode = self._encode if element[0].envelope.op == UPSERT else self._encode_tombstone
        rows = []
        for record in element:
            try:
                data = encode(record.fields, record.system)
            except RowError as error:
                reason = RecordError(
                    error.path, "encode", "has a value that its column cannot hold"
                )
                yield self._dead(record, dead_letters.ENCODE_FAILED, [reason])
                continue
            if len(data) > MAX_ROW_BYTES:
                yield self._dead(record, dead_letters.ROW_TOO_LARGE, [])
                continue
            created_us = record.system["created_ts"]
            rows.append(
                Row(
                    data, record.envelope, record.line, record.position, record.event_id, created_us
                )
            )
        if rows:
            yield rows

    def _encode_tombstone(self, fields: dict[str, Any], system: dict[str, Any]) -> bytes:
        """Keep what a tombstone holds besides its key as it is: only the key was checked."""
        key = {name: fields[name] for name in self._key}
        rest = {name: value for name, value in fields.items() if name not in key}
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
