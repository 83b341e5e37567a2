import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import process_tree

HERTZ = os.sysconf("SC_CLK_TCK")
BURN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"


@pytest.fixture
def proc(tmp_path: Path):
    """A /proc of processes that are told by (pid, parent, name, ticks, resident kB)."""

    def make(*processes):
        for pid, parent, name, ticks, resident in processes:
            folder = tmp_path / str(pid)
            folder.mkdir()
            times = " ".join(map(str, ticks))
            (folder / "stat").write_text(f"{pid} ({name}) S {parent} {'0 ' * 9}{times} 20 0")
            (folder / "status").write_text(f"Name:\t{name}\nVmHWM:\t{resident} kB\nVmRSS:\t1 kB\n")
        (tmp_path / "uptime").write_text("not a process")
        return tmp_path

    return make


def test_a_tree_is_its_root_and_whatever_descends_from_it(proc):
    folder = proc(
        (1, 0, "init", (9, 9, 9, 9), 900),
        (10, 1, "root", (1, 2, 0, 0), 10),
        (11, 10, "child (a b) c", (4, 8, 0, 0), 20),
        (12, 11, "grandchild", (16, 32, 0, 0), 30),
        (13, 1, "stranger", (500, 500, 0, 0), 900),
    )
    assert [process.pid for process in process_tree.descendants(10, folder)] == [10, 11, 12]
    assert process_tree.cpu_seconds(10, folder) == 63 / HERTZ
    assert process_tree.peak_memory(10, folder) == 60 * 1024
    assert process_tree.memory(10, folder) == 3 * 1024


def test_children_that_ended_are_counted_by_their_parent(proc):
    folder = proc((10, 1, "root", (1, 2, 4, 8), 10))

    assert process_tree.cpu_seconds(10, folder) == 15 / HERTZ


def test_a_process_that_ends_meanwhile_is_left_out(proc):
    folder = proc((10, 1, "root", (1, 0, 0, 0), 10))
    (folder / "11").mkdir()  # its files are gone

    assert process_tree.cpu_seconds(10, folder) == 1 / HERTZ


def test_a_real_tree_is_told_its_work():
    run = f"subprocess.run([sys.executable, '-c', {BURN!r}])"
    script = f"import subprocess, sys\n{run}\nprint()\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        used = process_tree.cpu_seconds(process.pid)
        resident = process_tree.peak_memory(process.pid)
        process.communicate(b"\n", timeout=10)
    assert 0.28 <= used < 2
    assert resident > 1_000_000
