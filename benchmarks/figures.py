"""Figures of runs: medians, and what makes a run void."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from benchmarks.server import Shot

_TRIES: Final = 3


class VoidError(RuntimeError):
    """A measurement that stayed void however often it was tried."""


@dataclass
class Voids:
    """The runs that did not count; they are told of, never dropped in silence."""

    reasons: list[str] = field(default_factory=list)

    def repeat(self, name: str, run: Callable[[], Shot]) -> Shot:
        """Return the first run that counts.

        Raises:
            VoidError: None of them did.
        """
        for _ in range(_TRIES):
            shot = run()
            if shot.void is None:
                return shot
            self.reasons.append(f"{name}: {shot.void}")
        raise VoidError(self.reasons[-1])


@dataclass(frozen=True)
class Run:
    """One run that counts.

    Attributes:
        records: How many were carried.
        seconds: How long that took.
    """

    records: int
    cpu_seconds: float
    seconds: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    memory_mb: float = 0.0

    @property
    def cpu_us(self) -> float:
        """CPU a record, in microseconds."""
        return self.cpu_seconds / self.records * 1e6


def run_of(shot: Shot, records: int) -> Run:
    """Return a shot's figures for that many records."""
    outcome = shot.outcome
    return Run(
        records=records,
        cpu_seconds=shot.cpu_seconds,
        seconds=outcome.seconds,
        p50_ms=outcome.p50_ms,
        p99_ms=outcome.p99_ms,
        memory_mb=shot.memory_mb,
    )


def medians(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the median of every figure, and the CPU of each run."""
    return {
        "cpu_us": round(median(run.cpu_us for run in runs), 3),
        "cpu_us_runs": [round(run.cpu_us, 3) for run in runs],
        "per_second": round(median(run.records / run.seconds for run in runs)),
        "p50_ms": round(median(run.p50_ms for run in runs), 3),
        "p99_ms": round(median(run.p99_ms for run in runs), 3),
        "memory_mb": round(median(run.memory_mb for run in runs), 1),
    }


def turns(names: Sequence[str], rounds: int) -> Iterator[list[str]]:
    """Yield the order of each round: everybody is first, and last, in turn."""
    for number in range(rounds):
        start = number * max(len(names) // max(rounds, 1), 1) % len(names)
        yield [*names[start:], *names[:start]]
