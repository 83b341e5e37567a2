"""Adds to a contract what BigQuery's types can hold, so that no valid record is refused later."""

import copy
from typing import Any

from schemas import limits
from schemas.columns import JsonSchema, json_type

# https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#date_type: years 1 to
# 9999. Written without look-around, which linear-time regular expressions do not have.
_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_INNER_YEAR = (
    r"(?:[1-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8]|0[1-9][0-9]{2}|00[1-9][0-9]|000[2-9])"
)
_LEAP_YEAR = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE_PATTERN = f"^{_YEAR}-"
# In the first and the last year an offset could carry the instant out of range: only UTC there.
_TIMESTAMP_PATTERN = f"^(?:{_INNER_YEAR}-|(?:0001|9999)-.*(?:[zZ]|[+-]00:00)$)"
_US_DATE_PATTERN = (
    r"^(?:(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    rf"|02-(?:0[1-9]|1[0-9]|2[0-8]))-{_YEAR}|02-29-{_LEAP_YEAR})$"
)
# NUMERIC: 29 digits before the point and 9 after it
# (https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types).
_NUMERIC_PATTERN = r"^-?[0-9]{1,29}(?:\.[0-9]{1,9})?$"


def bounded(schema: JsonSchema) -> dict[str, Any]:
    """Return a copy of a resource's schema in which every value that passes fits its column."""
    result = copy.deepcopy(dict(schema))
    for definition in result.get("$defs", {}).values():
        _bound(definition)
    _bound(result)
    return result


def _bound(schema: dict[str, Any]) -> None:
    for child in schema.get("properties", {}).values():
        _bound(child)
    if "items" in schema:
        _bound(schema["items"])
    kind, _ = json_type(schema)
    column_type = schema.get("x-bigquery", {}).get("type")
    if kind == "integer":
        _narrow(schema, limits.INT64_MIN, limits.INT64_MAX)
    if kind in ("integer", "number") and column_type == "NUMERIC":
        _narrow(schema, -limits.NUMERIC_MAX_EXACT_NUMBER, limits.NUMERIC_MAX_EXACT_NUMBER)
        schema.setdefault("multipleOf", 1e-9)
    if kind == "string":
        pattern = _string_pattern(schema.get("format"), column_type)
        if pattern:
            schema["allOf"] = [{"pattern": pattern}]


def _narrow(schema: dict[str, Any], minimum: int, maximum: int) -> None:
    schema["minimum"] = max(schema.get("minimum", minimum), minimum)
    schema["maximum"] = min(schema.get("maximum", maximum), maximum)


def _string_pattern(format_: str | None, column_type: str | None) -> str | None:
    if format_ == "date":
        return _DATE_PATTERN
    if format_ == "date-time":
        return _TIMESTAMP_PATTERN
    if column_type == "DATE":
        return _US_DATE_PATTERN
    if column_type == "NUMERIC":
        return _NUMERIC_PATTERN
    return None
