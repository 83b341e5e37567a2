"""Tells what the endpoint and the pipeline do with a record, by running their own steps on it."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.pvalue import TaggedOutput

from beam_pipeline import dead_letters
from beam_pipeline.records import DELETE, UPSERT
from beam_pipeline.row_message import row_class
from beam_pipeline.transforms.decode import Decode
from beam_pipeline.transforms.encode import Encode, record_encoder
from beam_pipeline.transforms.validate import Validate
from functions.audit import audit_columns
from functions.media import NDJSON
from functions.records import TOO_DEEP, Sieve
from schemas.registry import AUDIT_FIELDS, Column, Resource
from schemas.validation import RecordError, Validator

ENDPOINT: Final = "endpoint"
_EVENT_ID: Final = "00000000-0000-7000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one record.

    Attributes:
        stage, code: Where it fails and why, "" where it does not.
        errors: Paths and rules, never a value.
        columns: Of the row: names of the columns that hold something, with their types.
    """

    resource: str
    stage: str = ""
    code: str = ""
    errors: tuple[RecordError, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()

    @property
    def loads(self) -> bool:
        """Whether the record would become a row; BigQuery itself may still refuse it."""
        return not self.stage


class Judge:
    """Judges records of one resource by its present contract."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._sieve = Sieve(Validator(resource), asyncio.Lock())
        self._decode = Decode(resource.name, resource.version)
        self._validate, self._encode = Validate(resource), Encode(resource)
        self._validate.setup()
        self._encode.setup()
        self._row = row_class(record_encoder(resource).descriptor)
        self._types = {column.column: _type(column) for column in resource.table_columns}

    def record(self, line: bytes) -> Verdict:
        """Judge what a file holds: a record as a producer sends it, or one with its audit columns.

        The first meets the endpoint and then the pipeline, the second the pipeline alone.
        """
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            return Verdict(self._resource.name, ENDPOINT, dead_letters.INVALID_JSON)
        if isinstance(record, dict) and all(name in record for name in AUDIT_FIELDS):
            op = DELETE if record["is_active"] is False else UPSERT
        else:
            errors = self._endpoint_errors(line, record)
            if errors:
                return Verdict(
                    self._resource.name, ENDPOINT, dead_letters.INVALID_RECORD, tuple(errors)
                )
            op, line = UPSERT, _with_audit_columns(record)
        attributes = {
            "resource": self._resource.name,
            "schema_version": str(self._resource.version),
            "op": op,
        }
        [verdict] = self.message(PubsubMessage(line, attributes))
        return verdict

    def _endpoint_errors(self, line: bytes, record: Any) -> list[RecordError]:
        try:
            # A record on several lines is none of NDJSON's.
            text = orjson.dumps(record) if b"\n" in line else line
        except orjson.JSONEncodeError:  # beyond 254 levels
            return [TOO_DEEP]
        bad = self._sieve.sift_at_once(text, NDJSON).bad
        return bad.get(0, [])

    def message(self, message: PubsubMessage) -> list[Verdict]:
        """Judge a message as it was published; one verdict for each of its records."""
        steps = (self._decode, self._validate, self._encode)
        for step in steps:
            step.start_bundle()
        verdicts = []
        good: Iterable[Any] = [message]
        for step in steps:
            outputs = [output for element in good for output in step.process(element)]
            outputs += [last.value for last in step.finish_bundle() or ()]
            verdicts += list(_dead(outputs))
            good = [output for output in outputs if not isinstance(output, TaggedOutput)]
        for rows in good:
            verdicts += [Verdict(self._resource.name, columns=self._columns(r.data)) for r in rows]
        return verdicts

    def _columns(self, row: bytes) -> tuple[tuple[str, str], ...]:
        fields = self._row.FromString(row).ListFields()
        return tuple((field.name, self._types[field.name]) for field, _ in fields)


def _type(column: Column) -> str:
    return f"ARRAY<{column.type}>" if column.mode == "REPEATED" else column.type


def _dead(outputs: Iterable[Any]) -> Iterator[Verdict]:
    for output in outputs:
        if isinstance(output, TaggedOutput):
            letter = output.value
            yield Verdict(letter.resource, letter.stage, letter.code, letter.errors)


def _with_audit_columns(record: Any) -> bytes:
    """Return a record as the endpoint publishes it, by an id that is nobody's."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    columns = audit_columns(now, "validate", _EVENT_ID, is_active=True)
    return b'%b,%b%b"}' % (orjson.dumps(record)[:-1], columns, _EVENT_ID.encode())
