"""Keeps a folder to one stack at a time, and finds the one that holds it.

The lock is the operating system's on an open file, so it ends with its holder however that ends;
the process id in the file is trusted only while the lock is held.
"""

import fcntl
import os
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

NAME: Final = "stack.pid"
LOOK_SECONDS: Final = 0.1


class FolderInUseError(RuntimeError):
    """Another stack runs in this folder."""


class FolderLock:
    """Held within `with`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+", encoding="ascii")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            pid = self._path.read_text(encoding="ascii").strip()
            raise FolderInUseError(
                f"a stack runs in {self._path.parent} already (process {pid}): "
                "end it with `make down`"
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.truncate(0)
        self._file.close()


def holder(folder: Path) -> int | None:
    """The process that holds the folder, or None."""
    try:
        file = (folder / NAME).open(encoding="ascii")
    except FileNotFoundError:
        return None
    with file:
        try:
            # Shared, so that it does not take the lock from one that starts meanwhile for long.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read().strip()
            return int(text) if text else None
        return None


def end_holder(folder: Path, seconds: float) -> bool:
    """Ends the stack of this folder; false if it holds on for longer than that."""
    deadline = time.monotonic() + seconds
    pid = holder(folder)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
    while holder(folder) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True
