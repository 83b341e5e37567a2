"""What a column holds: both sides of each limit, and never a value in an error."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulators.bigquery import values
from emulators.bigquery.values import BadValueError

Check = Callable[[Any], Any]

GOOD: list[tuple[Check, Any, Any]] = [
    (values.integer, -(2**63), -(2**63)),
    (values.integer, 2**63 - 1, 2**63 - 1),
    (values.date_literal, "0001-01-01", -719_162),
    (values.date_literal, "9999-12-31", 2_932_896),
    (values.date_literal, "1970-1-2", 1),
    (values.timestamp_literal, "1970-01-01 00:00:01", 1_000_000),
    (values.timestamp_literal, "1970-01-01T00:00:00.000001Z", 1),
    (values.timestamp_literal, "1970-01-01 02:00:00+02:00", 0),
    (values.timestamp_literal, "1969-12-31 22:30:00-01:30", 0),
    (values.timestamp_literal, "1970-01-02", 86_400_000_000),
    (values.timestamp_literal, "1970-01-01 00:00:00 UTC", 0),
    (values.datetime_literal, "1970-01-01T01:00:00", 3_600_000_000),
    (values.datetime_civil, (1970 << 46) | (1 << 42) | (2 << 37) | (1 << 32), 90_000_000_000),
    (values.time_literal, "1:02:03.5", 3_723_500_000),
    (values.time_civil, (23 << 32) | (59 << 26) | (58 << 20) | 7, 86_398_000_007),
    (values.numeric, 0.1, Decimal("0.1")),
    (values.numeric, "1e28", Decimal("1e28")),
    (values.numeric, "-.5", Decimal("-0.5")),
    (values.numeric_bytes, b"\x00\xca\x9a\x3b", Decimal(1)),
    (values.numeric_bytes, b"\xff", Decimal("-1e-9")),
    (values.json_document, "[1, null]", "[1, null]"),
    (values.base64_bytes, "AP8=", b"\x00\xff"),
]
BAD: list[tuple[Check, Any]] = [
    (values.integer, 2**63),
    (values.integer, -(2**63) - 1),
    (values.date_days, -719_163),
    (values.date_days, 2_932_897),
    (values.date_literal, "0000-12-31"),
    (values.date_literal, "2026-02-29"),
    (values.date_literal, "02/03/2026"),
    (values.timestamp_literal, "9999-12-31 23:59:59-00:01"),
    (values.timestamp_literal, "2026-01-01 25:00:00"),
    (values.timestamp_literal, "2026-01-01T00:00:00 Nowhere"),
    (values.timestamp_literal, "SECRET"),
    (values.datetime_literal, "2026-01-01T00:00:00Z"),
    (values.datetime_literal, "SECRET"),
    (values.datetime_civil, 0),
    (values.time_literal, "24:00:00"),
    (values.time_literal, "12:00"),
    (values.time_civil, 24 << 32),
    (values.numeric, "1e29"),
    (values.numeric, "-1e29"),
    (values.numeric, "1e-10"),
    (values.numeric, "1_000"),
    (values.numeric, " 1"),
    (values.numeric, "\u0661"),  # a digit, of Arabic
    (values.numeric, float("inf")),
    (values.numeric, "SECRET"),
    (values.numeric_bytes, b"\xff" * 15 + b"\x7f"),
    (values.json_document, "SECRET"),
    (values.json_document, '{"a": NaN}'),
    (values.base64_bytes, "SECRET!"),
    (values.base64_bytes, "\x80"),
    (values.text, b"\xff"),
]


@pytest.mark.parametrize(("check", "given_value", "stored"), GOOD)
def test_value_that_fits_is_stored(check: Check, given_value: Any, stored: Any) -> None:
    assert check(given_value) == stored


@pytest.mark.parametrize(("check", "value"), BAD)
def test_value_that_does_not_fit_is_refused_without_naming_it(check: Check, value: Any) -> None:
    with pytest.raises(BadValueError) as caught:
        check(value)
    assert "SECRET" not in str(caught.value)


@given(st.decimals(min_value=-(10**29) + 1, max_value=10**29 - 1, places=9))
def test_every_numeric_is_held_exactly(number: Decimal) -> None:
    assert values.numeric(str(number)) == number


@given(st.datetimes())
def test_every_datetime_is_held_exactly(moment: Any) -> None:
    micros = values.datetime_literal(moment.isoformat())
    assert values.timestamp_literal(f"{moment.isoformat()}Z") == micros
    days = values.date_literal(moment.date().isoformat())
    assert divmod(micros, values.MICROS_PER_DAY) == (
        days,
        values.time_literal(moment.time().isoformat()),
    )


@pytest.mark.parametrize(
    "check",
    [
        values.date_literal,
        values.timestamp_literal,
        values.datetime_literal,
        values.time_literal,
        values.numeric,
        values.json_document,
        values.base64_bytes,
    ],
)
@given(text=st.text())
def test_no_text_does_anything_else_than_fit_or_be_refused(check: Check, text: str) -> None:
    try:
        check(text)
    except BadValueError:
        return
