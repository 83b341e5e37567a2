"""Every type's wire form, at its edges."""

import re
from decimal import ROUND_HALF_UP, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipeline import column_values
from schemas.registry import Column

SECOND = 1_000_000
NEW_YEAR_2026 = 1_767_225_600 * SECOND
HUGE_EXPONENT = "1e999999999"


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-01T00:00:00Z", NEW_YEAR_2026),
        ("2026-01-01t00:00:00z", NEW_YEAR_2026),
        ("2026-01-01T00:00:00.5Z", NEW_YEAR_2026 + SECOND // 2),
        ("2026-01-01T00:00:00.1234567899Z", NEW_YEAR_2026 + 123_456),
        ("2026-01-01t00:00:00.1234567899z", NEW_YEAR_2026 + 123_456),
        ("2026-01-01T02:00:00+02:00", NEW_YEAR_2026),
        ("2025-12-31T16:00:00-08:00", NEW_YEAR_2026),
        ("2025-12-31T23:59:60Z", NEW_YEAR_2026),
        ("2025-12-31T23:59:60.25Z", NEW_YEAR_2026 + SECOND // 4),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("0001-01-01T00:00:00Z", -62_135_596_800 * SECOND),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_800 * SECOND - 1),
    ],
)
def test_timestamp(text, micros):
    assert column_values.timestamp_micros(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-02-30T00:00:00Z",
        "2026-01-01T00:00:61Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
    ],
)
def test_no_timestamp(text):
    with pytest.raises((ValueError, TypeError)):
        column_values.timestamp_micros(text)


@pytest.mark.parametrize(
    ("text", "days"),
    [("1970-01-01", 0), ("1969-12-31", -1), ("0001-01-01", -719_162), ("9999-12-31", 2_932_896)],
)
def test_date(text, days):
    year, month, day = text.split("-")
    assert column_values.date_days(text) == days
    assert column_values.us_date_days(f"{month}-{day}-{year}") == days


@pytest.mark.parametrize("text", ["02-29-2025", "13-01-2026", "2026-01-01", "1-2", ""])
def test_no_us_date(text):
    with pytest.raises((ValueError, TypeError)):
        column_values.us_date_days(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("12:30:00Z", "12:30:00"),
        ("12:30:00z", "12:30:00"),
        ("12:30:00.1234567Z", "12:30:00.123456"),
        ("01:30:00+02:00", "23:30:00"),
        ("23:59:60Z", "00:00:00"),
    ],
)
def test_time(text, written):
    assert column_values.time_text(text) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (-7, "-7"),
        (125.5, "125.5"),
        ("125.50", "125.50"),
        (1e16, "10000000000000000"),
        ("1e3", "1000"),
        (1e-9, "0.000000001"),
        (0.1 + 0.2, "0.300000000"),
        ("9" * 29 + "." + "9" * 9, "9" * 29 + "." + "9" * 9),
        ("1.0000000000", "1.000000000"),
    ],
)
def test_numeric(value, written):
    assert column_values.numeric_text(value) == written
    assert abs(Decimal(written) - Decimal(str(value))) < Decimal("1e-9")


@given(st.floats(-1e29, 1e29, exclude_min=True, exclude_max=True) | st.integers(-(2**63), 2**63))
def test_numeric_is_the_nearest_with_nine_digits(value):
    places = Decimal("1e-9")
    with localcontext(prec=50):
        nearest = Decimal(str(value)).quantize(places, ROUND_HALF_UP)
        written = column_values.numeric_text(value)
        assert Decimal(written).quantize(places) == nearest
    assert re.fullmatch(r"-?[0-9]{1,29}(\.[0-9]{1,9})?", written)


@pytest.mark.parametrize(
    "value",
    ["", "many", "NaN", "Infinity", 1e29, "1" * 30, "0.0000000001", HUGE_EXPONENT, float("nan")],
    ids=lambda value: str(value)[:12],
)
def test_no_numeric(value):
    with pytest.raises((ValueError, ArithmeticError)):
        column_values.numeric_text(value)


@pytest.mark.parametrize(("value", "whole"), [(1, 1), (1.0, 1), (-0.0, 0), (2**63 - 1, 2**63 - 1)])
def test_integer(value, whole):
    assert column_values.integer(value) == whole


def test_no_integer():
    with pytest.raises(ValueError, match="integer"):
        column_values.integer(1.5)


def test_json():
    assert column_values.json_text({"a": [1, "é", None]}) == '{"a":[1,"é",null]}'


def test_the_date_format_chooses_the_conversion():
    us = Column("d", "d", "DATE", date_format="MM-DD-YYYY")
    assert column_values.converter(us) is column_values.us_date_days
    assert column_values.converter(Column("d", "d", "DATE")) is column_values.date_days
    assert column_values.converter(Column("d", "d", "STRING")) is None
