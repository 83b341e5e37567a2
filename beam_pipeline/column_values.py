"""Turns validated JSON values into what BigQuery takes for each column type in a protobuf row.

https://cloud.google.com/bigquery/docs/supported-data-types gives the wire form of every type. The
functions raise ValueError, TypeError or ArithmeticError where the column cannot hold the value.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import orjson

from schemas.registry import Column

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)
_MIN_MICROS: Final = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // _MICROSECOND
_MAX_MICROS: Final = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND

# RFC 3339 allows a lower-case z and a leap second; datetime.fromisoformat knows neither.
_CLOCK = re.compile(
    r"(?P<minute>.*[0-9]{2}:[0-9]{2}):(?P<second>[0-9]{2})(?P<fraction>\.[0-9]+)?"
    r"(?P<zone>[zZ]|[+-][0-9]{2}:[0-9]{2})"
)
_LEAP_SECOND: Final = "60"

# NUMERIC holds 29 digits before the point and 9 after it
# (https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types).
_PLAIN_NUMERIC = re.compile(r"-?[0-9]{1,29}(?:\.[0-9]{1,9})?")
_NUMERIC_INTEGER_DIGITS: Final = 29
_MAX_SCALE: Final = 9


def timestamp_micros(text: str) -> int:
    """Return microseconds since the epoch; digits past the sixth of a fraction are cut off.

    A leap second counts as the second after it, as POSIX does.
    """
    try:
        moment = datetime.fromisoformat(text)
        extra = 0
    except ValueError:
        plain, extra = _without_leap_second(text)
        moment = datetime.fromisoformat(plain)
    micros = (moment - EPOCH) // _MICROSECOND + extra
    if not _MIN_MICROS <= micros <= _MAX_MICROS:
        raise ValueError("beyond the years 0001 to 9999")
    return micros


def datetime_micros(moment: datetime) -> int:
    """Return microseconds since the epoch of an aware datetime."""
    return (moment - EPOCH) // _MICROSECOND


def date_days(text: str) -> int:
    """Return days since the epoch of an ISO date."""
    return date.fromisoformat(text).toordinal() - _EPOCH_DAY


def us_date_days(text: str) -> int:
    """Return days since the epoch of a date written MM-DD-YYYY."""
    month, day, year = text.split("-")
    return date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY


def time_text(text: str) -> str:
    """Return the time of day in UTC: BigQuery's TIME has no zone, RFC 3339's must have one."""
    plain, extra = _without_leap_second(text)
    clock = time.fromisoformat(plain)
    moment = datetime.combine(date(1970, 1, 2), clock).astimezone(UTC) + extra * _MICROSECOND
    return moment.time().isoformat()


def numeric_text(value: float | str) -> str:
    """Return the number in plain digits, without an exponent.

    A float stands for the shortest decimal that reads as it, to the ninth digit after the point; a
    string is taken exactly.
    """
    if isinstance(value, float):
        # Most money is written plainly, and by orjson in half of Python's time. Otherwise there is
        # an exponent, or no point: nan and inf are null.
        text = orjson.dumps(value).decode()
        point = text.find(".")
        if point > 0 and len(text) - point <= _MAX_SCALE + 1 and "e" not in text:
            return text
        text = str(value)
    else:
        text = str(value)
        is_whole = text.isascii() and text.isdigit() and len(text) <= _NUMERIC_INTEGER_DIGITS
        if is_whole or _PLAIN_NUMERIC.fullmatch(text):
            return text
    number = Decimal(text)
    # Before it is written out: the digits of 1e999999999 would fill the memory.
    if not number.is_finite() or number.adjusted() >= _NUMERIC_INTEGER_DIGITS:
        raise ValueError("beyond the range of NUMERIC")
    if number.as_tuple().exponent < -_MAX_SCALE:  # type: ignore[operator]  # finite: an int
        rounded = number.quantize(Decimal(1).scaleb(-_MAX_SCALE), ROUND_HALF_UP)
        if isinstance(value, str) and rounded != number:
            raise ValueError("beyond the scale of NUMERIC")
        number = rounded
    return format(number, "f")


def json_text(value: Any) -> str:
    """Return a JSON column's text."""
    return orjson.dumps(value).decode()


def integer(value: int | float) -> int:
    """Return an INT64: JSON Schema counts 1.0 as an integer."""
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError("not an integer")
        return int(value)
    return value


def _without_leap_second(text: str) -> tuple[str, int]:
    match = _CLOCK.fullmatch(text)
    if not match:
        raise ValueError("not an RFC 3339 time")
    minute, second, fraction, zone = match.group("minute", "second", "fraction", "zone")
    zone = zone.upper()
    if second == _LEAP_SECOND:
        return f"{minute}:59{fraction or ''}{zone}", 1_000_000
    return f"{minute}:{second}{fraction or ''}{zone}", 0


_CONVERTERS: Final[dict[str, Callable[[Any], Any]]] = {
    "DATE": date_days,
    "JSON": json_text,
    "NUMERIC": numeric_text,
    "TIME": time_text,
    "TIMESTAMP": timestamp_micros,
}


def converter(column: Column) -> Callable[[Any], Any] | None:
    """Return the conversion of a column's JSON value, None where protobuf takes it as it is."""
    if column.type == "DATE" and column.date_format == "MM-DD-YYYY":
        return us_date_days
    return _CONVERTERS.get(column.type)
