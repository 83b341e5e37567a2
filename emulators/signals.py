"""How the terminal programs of this package answer signals, so that nothing is left running."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What a shell reports of a program that a signal ended.
SHELL_SIGNAL_BASE: Final = 128


class EndSignal:
    """Waits for a signal that ends the process, from its main thread. Make it before the work."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        for number in ENDING:
            signal.signal(number, self._on_signal)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether a signal came in this time."""
        return self._ended.wait(seconds)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._ended.set()


def exit_on_signals() -> None:
    """Lets SIGTERM and SIGHUP unwind the program as Ctrl-C does, so that `with` cleans up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(SHELL_SIGNAL_BASE + number)


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Keeps a second Ctrl-C from leaving behind what the first is ending."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, signal.SIG_IGN) for number in ENDING]
    try:
        yield
    finally:
        for number, handler in zip(ENDING, before, strict=True):
            signal.signal(number, handler)
