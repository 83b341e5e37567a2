"""Logs as Cloud Logging reads them; no value, key, body or exception text ever enters one.

https://cloud.google.com/logging/docs/structured-logging
"""

import logging
import sys
import time
import traceback
from types import TracebackType
from typing import Any, Final

import orjson

ROOT: Final = "vitalflow"


class JsonFormatter(logging.Formatter):
    """Writes one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; of an exception only its type and where it came from."""
        entry: dict[str, Any] = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        if not record.name.startswith(ROOT):
            # A library may quote an exception or a peer further down, asyncio does: personal data.
            entry["message"] = entry["message"].partition("\n")[0]
        entry |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0]:
            entry["exception"] = record.exc_info[0].__name__
            entry["frames"] = frames(record.exc_info[2])
        return orjson.dumps(entry, default=str).decode()


def frames(tb: TracebackType | None) -> list[str]:
    """Return `file:line function` of each frame; the text of an exception may hold values."""
    return [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(tb)]


def configure(level: str) -> None:
    """Send all logs of this process to standard output as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(ROOT).setLevel(level)
    # The heads of the audit chain are evidence, whatever level is asked for.
    get_logger("ledger").setLevel(logging.INFO)


def get_logger(name: str) -> logging.Logger:
    """Return the logger of one part of the endpoint."""
    return logging.getLogger(f"{ROOT}.{name}")


def fields(**values: Any) -> dict[str, Any]:
    """Return what `extra=` takes to add members to the JSON object."""
    return {"fields": values}


class OncePerMinute:
    """Logs a condition that many requests meet once a minute, with how often it was met."""

    _SECONDS: Final = 60

    def __init__(self, logger: logging.Logger, level: int, message: str) -> None:
        self._logger = logger
        self._level = level
        self._message = message
        self._last: dict[str, float] = {}
        self._count: dict[str, int] = {}

    def __call__(self, about: str, **values: Any) -> None:
        """Note the condition; `about` tells apart those that are logged separately."""
        count = self._count[about] = self._count.get(about, 0) + 1
        now = time.monotonic()
        last = self._last.get(about)
        if last is None or now - last >= self._SECONDS:
            self._last[about] = now
            self._count[about] = 0
            extra = fields(about=about, times=count, **values)
            self._logger.log(self._level, self._message, extra=extra)
