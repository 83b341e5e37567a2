"""Adds up what a process and all that it started cost, as the operating system counts it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")
# Fields of /proc/<pid>/stat after the name, which may hold spaces and brackets; see proc(5).
_PARENT: Final = 1
_USER, _SYSTEM, _ENDED_USER, _ENDED_SYSTEM = 11, 12, 13, 14


class Process(NamedTuple):
    """One living process.

    Attributes:
        ticks: Its CPU time, and that of children which ended and were waited for.
    """

    pid: int
    parent: int
    ticks: int


def cpu_seconds(root: int, proc: Path = _PROC) -> float:
    """Return the CPU time, user and system, of a process and its descendants so far.

    A child that ended is counted by its parent, once that has waited for it.
    """
    ticks = sum(process.ticks for process in descendants(root, proc))
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_memory(root: int, proc: Path = _PROC) -> int:
    """Return the sum of the largest resident sets, in bytes; pages that are shared count twice."""
    return sum(_status_bytes(process.pid, "VmHWM:", proc) for process in descendants(root, proc))


def memory(root: int, proc: Path = _PROC) -> int:
    """Return the sum of the resident sets of now, in bytes."""
    return sum(_status_bytes(process.pid, "VmRSS:", proc) for process in descendants(root, proc))


def descendants(root: int, proc: Path = _PROC) -> list[Process]:
    """Return the living processes of a tree, its root first."""
    children: dict[int, list[Process]] = {}
    found = []
    for process in _living(proc):
        children.setdefault(process.parent, []).append(process)
        if process.pid == root:
            found.append(process)
    for process in found:  # it grows while it is read
        found += children.get(process.pid, [])
    return found


def _living(proc: Path) -> Iterator[Process]:
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text(errors="replace")
        except OSError:  # ended since it was listed
            continue
        fields = text.rpartition(")")[2].split()
        times = (_USER, _SYSTEM, _ENDED_USER, _ENDED_SYSTEM)
        ticks = sum(int(fields[index]) for index in times)
        yield Process(int(folder.name), int(fields[_PARENT]), ticks)


def _status_bytes(pid: int, name: str, proc: Path) -> int:
    try:
        lines = (proc / str(pid) / "status").read_text().splitlines()
    except OSError:  # ended since it was listed
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
