"""Says whether a record keeps its contract and where it does not, but never what it holds."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jsonschema_rs

from schemas import limits
from schemas.bounds import bounded
from schemas.decimals import split_decimals
from schemas.registry import SYSTEM_COLUMNS, Resource

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTEGER_SEGMENT = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True, order=True)
class RecordError:
    """One broken rule of one record.

    Attributes:
        path: Where, as a JSONPath such as `$.address[0].city`; of names that the contract knows.
        rule: The JSON Schema keyword that is broken, or one of ours: `reserved`, `notObject`,
            `range` (BigQuery cannot hold it), `key`; the endpoint and the pipeline add theirs.
        message: What the rule asks for. It never repeats what was sent: that is health data.
    """

    path: str
    rule: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """Return the error as a JSON object."""
        return asdict(self)


RANGE = "range"
NOT_AN_OBJECT = RecordError("$", "notObject", "must be a JSON object")


class Validator:
    """Checks records of one resource; compile it once a process, it is safe to share.

    A record that passes can always be held by its BigQuery row: the contract's own rules are
    joined by the bounds of the column types (see `schemas.bounds`).
    """

    def __init__(self, resource: Resource) -> None:
        schema = bounded(resource.schema)
        key_schema = {
            "type": "object",
            "$defs": schema.get("$defs", {}),
            "required": list(resource.key),
            "properties": {name: schema["properties"][name] for name in resource.key},
        }
        # False refuses any value: a producer may not set what the system adds.
        reserved: dict[str, Any] = {column.name: False for column in SYSTEM_COLUMNS}
        schema["properties"] = schema["properties"] | reserved
        if resource.unknown_fields == "reject":
            schema["additionalProperties"] = False
        self._resource = resource
        self._record = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        self._key = jsonschema_rs.Draft202012Validator(key_schema, validate_formats=True)
        decimals_fit = split_decimals(schema)
        without_decimals = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        self._is_valid_but_for_decimals = without_decimals.is_valid
        self._decimals_fit = decimals_fit

    def is_valid(self, record: object) -> bool:
        """Tell whether a record breaks no rule; a fraction of the cost of `errors`."""
        return self._is_valid_but_for_decimals(record) and self._decimals_fit(record)

    def errors(self, record: object) -> list[RecordError]:
        """Return every broken rule, sorted by path; at most MAX_ERRORS_PER_RECORD."""
        return _collect(self._record, record)

    def key_errors(self, key: Mapping[str, object]) -> list[RecordError]:
        """Return the broken rules of a record's key alone, as a tombstone carries it."""
        return _collect(self._key, key)

    def parse_key(
        self, segments: Sequence[str]
    ) -> tuple[dict[str, str | int] | None, list[RecordError]]:
        """Turn the path segments after `/v1/<resource>/` into the key's properties.

        Args:
            segments: Decoded segments, in the order of `x-ingest.key`.

        Returns:
            The key and no errors, or None and the reasons.
        """
        names = self._resource.key
        if len(segments) != len(names):
            message = f"must be {len(names)} path segment(s): {', '.join(names)}"
            return None, [RecordError("$", "key", message)]
        key: dict[str, str | int] = {}
        for name, segment in zip(names, segments, strict=True):
            is_integer = self._resource.column(name).type == "INT64"
            matches = is_integer and _INTEGER_SEGMENT.fullmatch(segment)
            key[name] = int(segment) if matches else segment
        errors = self.key_errors(key)
        return (None, errors) if errors else (key, [])


def _collect(validator: jsonschema_rs.Draft202012Validator, value: object) -> list[RecordError]:
    if not isinstance(value, dict):
        return [NOT_AN_OBJECT]
    found: dict[tuple[str, str], RecordError] = {}
    for error in validator.iter_errors(value):
        described = _describe(error)
        found[described.path, described.rule] = described
        if len(found) == limits.MAX_ERRORS_PER_RECORD:
            break
    # What is no date at all needs no word on the range of dates.
    paths = {path for path, rule in found if rule != RANGE}
    return sorted(e for (path, rule), e in found.items() if rule != RANGE or path not in paths)


def _describe(error: jsonschema_rs.ValidationError) -> RecordError:
    rule, facts = error.kind.name, error.kind.as_dict()
    steps = list(error.instance_path)
    if rule == "required":
        steps.append(facts["property"])
    if rule == "falseSchema":
        rule = "reserved"
    elif rule == "pattern" and error.schema_path[-3] == "allOf":  # as schemas.bounds adds it
        rule = RANGE
    return RecordError(_json_path(steps), rule, _MESSAGES.get(rule, _any_other)(facts))


def _json_path(steps: Sequence[str | int]) -> str:
    path = "$"
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if _PLAIN_NAME.fullmatch(step) else f"[{step!r}]"
    return path


def _options(facts: Mapping[str, Any]) -> str:
    return ", ".join("null" if option is None else str(option) for option in facts["options"])


_Message = Callable[[Mapping[str, Any]], str]


def _any_other(_: Mapping[str, Any]) -> str:
    return "breaks the contract"


# `facts` come from the contract, never from the record; of what was sent only the number of
# unexpected names is told, as a name can be personal data too.
_MESSAGES: dict[str, _Message] = {
    "additionalProperties": lambda facts: (
        f"has {len(facts['unexpected'])} field(s) that the contract does not know"
    ),
    "anyOf": lambda _: "must satisfy at least one of the contract's alternatives",
    "const": lambda facts: f"must be {facts['expected_value']}",
    "enum": lambda facts: f"must be one of: {_options(facts)}",
    "exclusiveMaximum": lambda facts: f"must be less than {facts['limit']}",
    "exclusiveMinimum": lambda facts: f"must be greater than {facts['limit']}",
    "format": lambda facts: f"must be a valid {facts['format']}",
    "maxItems": lambda facts: f"must have at most {facts['limit']} item(s)",
    "maxLength": lambda facts: f"must have at most {facts['limit']} character(s)",
    "maxProperties": lambda facts: f"must have at most {facts['limit']} field(s)",
    "maximum": lambda facts: f"must be at most {facts['limit']}",
    "minItems": lambda facts: f"must have at least {facts['limit']} item(s)",
    "minLength": lambda facts: f"must have at least {facts['limit']} character(s)",
    "minProperties": lambda facts: f"must have at least {facts['limit']} field(s)",
    "minimum": lambda facts: f"must be at least {facts['limit']}",
    "multipleOf": lambda facts: f"must be a multiple of {facts['multiple_of']}",
    "oneOf": lambda _: "must satisfy exactly one of the contract's alternatives",
    "pattern": lambda facts: f"must match the pattern {facts['pattern']}",
    RANGE: lambda _: "must be a value that BigQuery can hold (a real date, years 0001 to 9999)",
    "required": lambda _: "is required",
    "reserved": lambda _: "is set by the service and may not be sent",
    "type": lambda facts: f"must be {' or '.join(facts['types'])}",
    "uniqueItems": lambda _: "must have no repeated items",
}
