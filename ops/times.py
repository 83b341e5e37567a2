"""Reads the points in time that commands are given: dates, times, or how long ago."""

import argparse
import re
from datetime import UTC, datetime, timedelta
from typing import Final

FORM: Final = "2026-01-31, 2026-01-31T12:00, or 90m, 6h, 3d ago; UTC unless it names an offset"
_AGO = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def point_in_time(text: str) -> datetime:
    """Return the moment that an option names, for argparse.

    Raises:
        argparse.ArgumentTypeError: It names none.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago["unit"]]: int(ago["number"])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: {FORM}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
