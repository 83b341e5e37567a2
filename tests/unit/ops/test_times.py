import argparse
from datetime import UTC, datetime, timedelta, timezone

import pytest

from ops.times import point_in_time

EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00+02:00", datetime(2026, 1, 31, 12, tzinfo=EAST)),
    ],
)
def test_dates_and_times(text, moment):
    assert point_in_time(text) == moment


@pytest.mark.parametrize(("text", "minutes"), [("90m", 90), ("6h", 360), ("3d", 4_320)])
def test_how_long_ago(text, minutes):
    before = datetime.now(UTC)
    moment = point_in_time(text) + timedelta(minutes=minutes)

    assert before <= moment <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "3w", "-1d", "12:00"])
def test_anything_else(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
        point_in_time(text)
