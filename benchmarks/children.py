"""Starts the processes of a benchmark on the cores meant for them, and ends them for sure."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from benchmarks import CACHE, ROOT

# What is measured has one core to itself; whatever loads it and stands behind it has another.
MEASURED_CORE: Final = 0
OTHER_CORE: Final = 1
_STOP_SECONDS: Final = 10.0
_TAIL_LINES: Final = 20


class ChildError(RuntimeError):
    """A process that ended or kept silent; the text has the end of its log."""


class Child:
    """One process of a benchmark, in a session of its own so that its children end with it.

    Args:
        name: Of its log.
        command: What to run, from the root of the repository unless `cwd` says otherwise.
        env: Variables beside those of this process.
        core: Where it runs; anywhere if None.
        cwd: Where it starts.
        is_asked: Whether it answers lines on its output, which else goes to its log.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        core: int | None = OTHER_CORE,
        cwd: Path = ROOT,
        *,
        is_asked: bool = True,
    ) -> None:
        self.name = name
        self._is_asked = is_asked
        self._command, self._env, self._core, self._cwd = command, env or {}, core, cwd
        self._log = CACHE / "logs" / f"{name}.log"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Child":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running.pid

    def start(self) -> None:
        """Start it."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log, _pinned(self._core):
            self._process = subprocess.Popen(  # noqa: S603 (our own command)
                self._command,
                cwd=self._cwd,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **self._env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if self._is_asked else log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Ask it to end, wait, and kill what is left of it."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(BrokenPipeError):
            _pipe(process.stdin).close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        # Also where it has ended by itself: its own children may be left.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_STOP_SECONDS)
        if process.stdout is not None:
            process.stdout.close()

    def check(self) -> None:
        """Raise ChildError if it has ended."""
        code = self._running.poll()
        if code is not None:
            raise ChildError(f"{self.name} ended with {code}\n{self._tail()}")

    def ask(self, line: str) -> str:
        """Write a line to its input and read one of its output."""
        pipe = _pipe(self._running.stdin)
        pipe.write(f"{line}\n")
        pipe.flush()
        return self.read_line()

    def read_line(self) -> str:
        """Read a line of its output; raises ChildError where there is none."""
        line = _pipe(self._running.stdout).readline()
        if not line:
            time.sleep(0.1)  # until its end can be told
            self.check()
            raise ChildError(f"{self.name} said nothing\n{self._tail()}")
        return line

    @property
    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None:
            raise ChildError(f"{self.name} was not started")
        return self._process

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"end of {self._log}:", *lines])


@contextlib.contextmanager
def _pinned(core: int | None) -> Iterator[None]:
    """Let what starts within run on that core alone, where the system has such a thing."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    if core not in before:
        yield
        return
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise ChildError("opened without pipes")
    return pipe
