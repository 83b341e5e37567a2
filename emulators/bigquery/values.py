"""What each BigQuery type holds: literals and ranges, checked as BigQuery checks them.

Every function takes a value as the wire gave it and returns what Arrow stores, or raises
BadValueError. Sources: https://cloud.google.com/bigquery/docs/supported-data-types for what a
protobuf field may carry, .../reference/standard-sql/data-types for the ranges and
.../reference/standard-sql/lexical#date_literals for the literals.
"""

import base64
import re
from datetime import date, time
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

import orjson

DATE_MIN_DAYS: Final = -719_162  # 0001-01-01
DATE_MAX_DAYS: Final = 2_932_896  # 9999-12-31
MICROS_PER_SECOND: Final = 1_000_000
MICROS_PER_DAY: Final = 86_400 * MICROS_PER_SECOND
TIMESTAMP_MIN: Final = DATE_MIN_DAYS * MICROS_PER_DAY
TIMESTAMP_MAX: Final = (DATE_MAX_DAYS + 1) * MICROS_PER_DAY - 1
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
NUMERIC_SCALE: Final = 9
NUMERIC_LIMIT: Final = Decimal(10) ** 29
# Python's own context rounds to 28 digits; NUMERIC has 38.
_EXACT: Final = Context(prec=80)
_NUMERIC_UNIT: Final = Decimal(1).scaleb(-NUMERIC_SCALE)

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_DATE: Final = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII)
_TIME: Final = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,6}))?", re.ASCII)
_ZONE: Final = re.compile(r"\s*(?:(Z|z|UTC)|([+-])(\d{1,2})(?::?(\d{2}))?)?", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class BadValueError(ValueError):
    """A value that its column cannot hold. Its text never holds the value, which may be PHI."""


def text(value: Any) -> str:
    """A STRING; protobuf hands over as bytes what is not UTF-8."""
    if isinstance(value, str):
        return value
    raise BadValueError("not valid UTF-8")


def json_document(value: Any) -> str:
    """A JSON column's text, which must be one JSON document."""
    document = text(value)
    try:
        orjson.loads(document)
    except ValueError:
        raise BadValueError("not valid JSON") from None
    return document


def integer(value: int) -> int:
    """An INT64."""
    if not INT64_MIN <= value <= INT64_MAX:
        raise BadValueError("out of INT64's range")
    return value


def date_days(value: int) -> int:
    """A DATE as days since 1970-01-01."""
    if not DATE_MIN_DAYS <= value <= DATE_MAX_DAYS:
        raise BadValueError("out of DATE's range")
    return value


def date_literal(value: Any) -> int:
    """A DATE literal, as days since 1970-01-01."""
    match = _DATE.fullmatch(text(value))
    if match is None:
        raise BadValueError("not a DATE literal")
    return _days(match)


def timestamp_micros(value: int) -> int:
    """A TIMESTAMP as microseconds since 1970-01-01 UTC."""
    if not TIMESTAMP_MIN <= value <= TIMESTAMP_MAX:
        raise BadValueError("out of TIMESTAMP's range")
    return value


def timestamp_literal(value: Any) -> int:
    """A TIMESTAMP literal, UTC where it names no offset, as microseconds since 1970-01-01."""
    micros, rest = _datetime(text(value), "TIMESTAMP")
    zone = _ZONE.fullmatch(rest)
    if zone is None:
        raise BadValueError("not a TIMESTAMP literal")
    if zone[2]:
        minutes = int(zone[3]) * 60 + int(zone[4] or 0)
        offset = minutes * 60 * MICROS_PER_SECOND
        micros += offset if zone[2] == "-" else -offset
    return timestamp_micros(micros)


def datetime_literal(value: Any) -> int:
    """A DATETIME literal, as microseconds since 1970-01-01."""
    micros, rest = _datetime(text(value), "DATETIME")
    if rest:
        raise BadValueError("not a DATETIME literal")
    return micros


def datetime_civil(value: int) -> int:
    """A DATETIME packed as Google's CivilTimeEncoder does, as microseconds since 1970-01-01."""
    fields = value >> 37
    try:
        day = date(fields >> 9, (fields >> 5) & 0xF, fields & 0x1F)
    except ValueError:
        raise BadValueError("not a packed DATETIME") from None
    return (day.toordinal() - _EPOCH_ORDINAL) * MICROS_PER_DAY + time_civil(value & ((1 << 37) - 1))


def time_literal(value: Any) -> int:
    """A TIME literal, as microseconds since midnight."""
    match = _TIME.fullmatch(text(value))
    if match is None:
        raise BadValueError("not a TIME literal")
    return _micros(match)


def time_civil(value: int) -> int:
    """A TIME packed as Google's CivilTimeEncoder does, as microseconds since midnight."""
    try:
        found = time(value >> 32, (value >> 26) & 0x3F, (value >> 20) & 0x3F, value & 0xFFFFF)
    except ValueError:
        raise BadValueError("not a packed TIME") from None
    return _since_midnight(found)


def numeric(value: Any) -> Decimal:
    """A NUMERIC: 29 digits before the point and 9 behind it."""
    found = number(value, "NUMERIC")
    if found.copy_abs() >= NUMERIC_LIMIT:
        raise BadValueError("out of NUMERIC's range")
    if _EXACT.quantize(found, _NUMERIC_UNIT) != found:
        raise BadValueError("more decimals than NUMERIC holds")
    return found


def numeric_bytes(value: bytes) -> Decimal:
    """A NUMERIC as Google's BigDecimalByteStringEncoder writes it."""
    unscaled = Decimal(int.from_bytes(value, "little", signed=True))
    return numeric(_EXACT.scaleb(unscaled, -NUMERIC_SCALE))


def base64_bytes(value: Any) -> bytes:
    """BYTES as JSON carries them."""
    try:
        return base64.b64decode(text(value), validate=True)
    except ValueError:  # binascii.Error is one; text beyond ASCII is another.
        raise BadValueError("not base64") from None


def number(value: Any, kind: str) -> Decimal:
    """A finite number, as a number or as its literal."""
    if isinstance(value, str):
        if _NUMBER.fullmatch(value) is None:
            raise BadValueError(f"not a {kind} literal")
        return Decimal(value)
    # A float goes by its shortest text, as BigQuery reads JSON: 0.1 is a tenth.
    try:
        found = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        raise BadValueError(f"not a {kind}") from None
    if not found.is_finite():
        raise BadValueError(f"not a finite {kind}")
    return found


def _datetime(value: str, kind: str) -> tuple[int, str]:
    """Microseconds of the date and time at the start of the text, and what follows them."""
    day = _DATE.match(value)
    if day is None:
        raise BadValueError(f"not a {kind} literal")
    micros = _days(day) * MICROS_PER_DAY
    rest = value[day.end() :]
    if rest[:1] in ("T", "t", " ") and (clock := _TIME.match(rest, 1)) is not None:
        return micros + _micros(clock), rest[clock.end() :]
    return micros, rest


def _days(match: re.Match[str]) -> int:
    try:
        return date(int(match[1]), int(match[2]), int(match[3])).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        raise BadValueError("no such date") from None


def _micros(match: re.Match[str]) -> int:
    try:
        found = time(
            int(match[1]), int(match[2]), int(match[3]), int((match[4] or "").ljust(6, "0"))
        )
    except ValueError:
        raise BadValueError("no such time") from None
    return _since_midnight(found)


def _since_midnight(found: time) -> int:
    seconds = (found.hour * 60 + found.minute) * 60 + found.second
    return seconds * MICROS_PER_SECOND + found.microsecond
