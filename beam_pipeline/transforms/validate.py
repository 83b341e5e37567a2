"""Checks records against their contract again: the endpoint is not the topic's only publisher."""

from collections.abc import Iterator

import apache_beam as beam
import orjson
from apache_beam.pvalue import TaggedOutput

from beam_pipeline import dead_letters
from beam_pipeline.dead_letters import dead_record
from beam_pipeline.metrics import ResourceMetrics
from beam_pipeline.records import UPSERT, Record
from beam_pipeline.transforms import DEAD, Dead
from schemas.registry import Resource
from schemas.validation import RecordError, Validator


class Validate(beam.DoFn):
    """Records of one `op` → those that keep their contract; each of the others → DeadLetter.

    Of a tombstone only the key is checked: it has nothing else.
    """

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._metrics = ResourceMetrics(resource.name)

    def setup(self) -> None:
        """Compile the contract."""
        self._validator = _shared_validator(self._resource)
        self._is_valid = self._validator.is_valid

    def start_bundle(self) -> None:
        """Begin to count."""
        self._valid = 0

    def process(self, element: list[Record]) -> Iterator[list[Record] | Dead]:
        """Yield the valid records, and why the others are not."""
        is_upsert = element[0].envelope.op == UPSERT
        is_valid = self._is_valid if is_upsert else self._has_valid_key
        valid = [record for record in element if is_valid(record.fields)]
        self._valid += len(valid)
        if len(valid) < len(element):
            errors = self._validator.errors if is_upsert else self._validator.key_errors
            passed = set(map(id, valid))  # positions are a message's own, and records not hashable
            for record in element:
                if id(record) not in passed:
                    yield self._dead(record, errors(record.fields))
        if valid:
            yield valid

    def finish_bundle(self) -> None:
        """Report the count."""
        self._metrics.valid.inc(self._valid)

    def _has_valid_key(self, fields: dict[str, object]) -> bool:
        return not self._validator.key_errors(fields)

    def _dead(self, record: Record, errors: list[RecordError]) -> Dead:
        self._metrics.dead(dead_letters.INVALID_RECORD)
        letter = dead_record(
            self._resource.name,
            dead_letters.VALIDATE,
            dead_letters.INVALID_RECORD,
            record,
            errors=errors,
        )
        return TaggedOutput(DEAD, letter)


# Compiled once a process: runners set DoFns up again and again.
_validators: dict[bytes, Validator] = {}


def _shared_validator(resource: Resource) -> Validator:
    key = orjson.dumps(resource.schema)
    validator = _validators.get(key)
    if validator is None:
        validator = _validators[key] = Validator(resource)
    return validator
