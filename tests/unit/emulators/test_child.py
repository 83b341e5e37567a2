import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulators import tether
from emulators.child import Child, ChildError, wait_for_file

FORKS = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "60"])
print(child.pid, flush=True)
time.sleep(60)
"""
STAYS = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[object]:
    children: list[Child] = []

    def make(code: str) -> Child:
        child = Child(
            "worker", [sys.executable, "-c", code], {"MARK": "1"}, tmp_path / "logs" / "w"
        )
        children.append(child)
        return child

    yield make
    for child in children:
        child.stop()


def eventually(check, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A child that nobody waits for yet counts as gone.
    state = subprocess.run(
        ["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return state.stdout.strip() in ("", "Z")


def test_end_of_a_child_is_told_with_the_end_of_its_log(start) -> None:
    child = start("import sys; print('line ' * 3); sys.exit('it broke')")
    assert eventually(lambda: "it broke" in child.tail())
    with pytest.raises(ChildError, match="worker ended with exit code 1") as caught:
        assert not eventually(child.check)
    assert "it broke" in str(caught.value)


def test_child_that_a_signal_ended_is_told_by_its_name(start) -> None:
    child = start("import time; time.sleep(60)")
    os.killpg(child.pid, signal.SIGKILL)
    with pytest.raises(ChildError, match="worker ended with signal SIGKILL"):
        assert not eventually(child.check)


def test_ready_file_is_awaited(start, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    child = start(
        f"import pathlib, time; pathlib.Path({str(ready)!r}).write_text('x'); time.sleep(9)"
    )
    assert wait_for_file(child, ready, 10) == "x"


def test_child_that_is_never_ready_is_told(start, tmp_path: Path) -> None:
    child = start("import time; time.sleep(60)")
    with pytest.raises(ChildError, match="worker: ready not within 0 s"):
        wait_for_file(child, tmp_path / "never", 0.1)


def test_children_of_a_child_end_with_it(start) -> None:
    child = start(FORKS)
    assert eventually(lambda: child.log.read_text().strip())
    grandchild = int(child.log.read_text())
    child.stop()
    assert eventually(lambda: gone(grandchild))


def test_child_that_ignores_the_signal_is_killed(start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulators.child.TERM_SECONDS", 0.2)
    child = start(STAYS)
    assert eventually(lambda: "ready" in child.log.read_text())
    child.stop()
    assert gone(child.pid)


PARENT = """
import os, subprocess, sys, time
command = [sys.executable, sys.argv[1], str(os.getpid()), "sleep", "60"]
child = subprocess.Popen(command, start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("polls", [False, True], ids=["kernel watches", "tether watches"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_tethered_command_ends_with_its_parent(polls: bool, number: signal.Signals) -> None:
    if not polls and sys.platform != "linux":
        pytest.skip("only Linux's kernel watches parents")
    env = {**os.environ, **({"VITALFLOW_TETHER_POLLS": "1"} if polls else {})}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tether.__file__], stdout=subprocess.PIPE, text=True, env=env
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    assert not gone(child)
    parent.send_signal(number)
    parent.wait()
    parent.stdout.close()
    assert eventually(lambda: gone(child))


def test_command_is_not_started_for_a_parent_that_is_gone(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    done = subprocess.run(
        [sys.executable, tether.__file__, "1", "touch", str(mark)], check=False, timeout=10
    )
    assert done.returncode == 1
    assert not mark.exists()
