import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulators.folder_lock import NAME, FolderInUseError, FolderLock, end_holder, holder

HOLDS = """
import sys, time
from pathlib import Path
from emulators.folder_lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_folder_that_is_held_says_by_whom(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    with pytest.raises(FolderInUseError, match=rf"process {other.pid}\b"), FolderLock(tmp_path):
        pass
    assert holder(tmp_path) == other.pid


def test_lock_of_a_killed_process_is_free(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait()
    assert (tmp_path / NAME).read_text() == f"{other.pid}\n"
    assert holder(tmp_path) is None
    with FolderLock(tmp_path):
        assert holder(tmp_path) == os.getpid()
    assert holder(tmp_path) is None


def test_holder_is_ended(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    assert end_holder(tmp_path, 10)
    assert other.wait() == -signal.SIGTERM


def test_holder_that_stays_is_reported(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    os.kill(other.pid, signal.SIGSTOP)
    # Of two signals that wait, SIGTERM would be taken first.
    os.waitpid(other.pid, os.WUNTRACED)
    assert not end_holder(tmp_path, 0.3)


def test_process_that_does_not_hold_the_lock_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(f"{os.getpid()}\n")
    assert end_holder(tmp_path, 0)


def test_no_folder_is_held_by_nobody(tmp_path: Path) -> None:
    assert holder(tmp_path / "none") is None
