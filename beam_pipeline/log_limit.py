"""Keeps a warning that every bundle would repeat from filling the log during an outage."""

import logging
import threading
import time
from typing import Final

_INTERVAL_SECONDS: Final = 60.0


class LimitedLogger:
    """Logs each message at most once a minute and process; says how often it held back."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._lock = threading.Lock()
        self._last: dict[tuple[object, ...], float] = {}
        self._held_back: dict[tuple[object, ...], int] = {}

    def warning(self, message: str, *args: str | int) -> None:
        """Log a warning; `args` are names and codes, never a value of a record."""
        key, now = (message, *args), time.monotonic()
        with self._lock:
            if now - self._last.get(key, -_INTERVAL_SECONDS) < _INTERVAL_SECONDS:
                self._held_back[key] = self._held_back.get(key, 0) + 1
                return
            self._last[key] = now
            held_back = self._held_back.pop(key, 0)
        self._logger.warning("%s (%d more since the last line)", message % args, held_back)
