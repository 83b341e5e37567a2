"""A process of the embedded stack: started with a log of its own, watched, and ended for sure."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from emulators import tether

ROOT: Final = Path(__file__).resolve().parent.parent
TERM_SECONDS: Final = 15.0  # The pipeline works off what it has taken.
KILL_SECONDS: Final = 5.0
TAIL_LINES: Final = 20
LOOK_SECONDS: Final = 0.05


class ChildError(RuntimeError):
    """A process of the stack that ended or kept us waiting; its text has the end of its log."""


class Child:
    """One process in a session of its own, so that its children are reached with it.

    Start it from a thread that lives as long as it shall: on Linux it ends with that thread.
    """

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        # -I: whatever PYTHONPATH is for the command, it is not for the tether.
        tethered = [sys.executable, "-I", tether.__file__, str(os.getpid()), *command]
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                tethered,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group."""
        return self._process.pid

    def check(self) -> None:
        """Raises ChildError if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise ChildError(f"{self.name} ended with {_ending(code)}\n{self.tail()}")

    def overdue(self, what: str, seconds: float) -> ChildError:
        """The error of having waited for it in vain."""
        return ChildError(f"{self.name}: {what} not within {seconds:.0f} s\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        shown = [f"    {line}" for line in lines[-TAIL_LINES:]]
        return "\n".join([f"  end of {self.log}:", *shown])

    def stop(self) -> None:
        """Asks it to end, waits, and then kills what is left of its group."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(TERM_SECONDS)
        # Also where it has ended by itself: its own children may be left.
        self._signal(signal.SIGKILL)
        self._process.wait(KILL_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        # No such group: all of it has ended. Until we have waited for it, its id is nobody else's;
        # after that, a group of this id can only be what it left behind.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def wait_for_file(child: Child, path: Path, seconds: float) -> str:
    """The content of a file that the child writes when it is ready; raises ChildError."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        child.check()
        if time.monotonic() > deadline:
            raise child.overdue("ready", seconds)
        time.sleep(LOOK_SECONDS)
    return path.read_text(encoding="utf-8")


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
