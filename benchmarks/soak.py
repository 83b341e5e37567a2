"""Minutes of mixed traffic with a fault every 20 seconds, then a reconciliation by ids.

`python -m benchmarks.soak [--minutes 10] [--seed 1]`. Producers send singles, bulk, invalid records
and repeats at a bounded rate. In between, Pub/Sub, Secret Manager and BigQuery fail in turn by
chance, and the endpoint and the job are killed. In the end every event id that was answered 202
must be in its table or in the dead letters, once, and the view `reconciliation` must add up. The
job is the one of `emulators.chaos.redelivering`, as Beam's local runner may not be killed.
"""

import argparse
import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import ROOT
from emulators.chaos.account import Account, Verdict
from emulators.chaos.system import System
from emulators.chaos.traffic import Mix, Sample, Traffic
from emulators.signals import exit_on_signals
from ops import reconcile
from schemas.registry import Registry, load_registry

EVERY_SECONDS: Final = 20.0
FAULT_SECONDS: Final = 5.0
SAMPLE_SECONDS: Final = 1.0
DRAIN_SECONDS: Final = 180.0
PICTURE: Final = ROOT / "benchmarks" / "plots" / "soak.png"
MIX: Final = Mix(
    threads=4,
    pause=0.12,
    bulk_share=0.08,
    bulk_records=250,
    invalid_share=0.05,
    repeatable_share=0.2,
    repeat_share=0.01,
)


def pubsub_fault(**rule: Any) -> dict[str, Any]:
    """Return a rule about Publish."""
    return {"service": "pubsub", "method": "Publish", **rule}


def append_fault(**rule: Any) -> dict[str, Any]:
    """Return a rule about AppendRows."""
    return {"service": "bigquery_write", "method": "AppendRows", **rule}


RULES: Final[dict[str, dict[str, Any]]] = {
    "Pub/Sub unavailable": pubsub_fault(status="UNAVAILABLE"),
    "Pub/Sub slow": pubsub_fault(latency_ms=3000),
    "Pub/Sub refuses": pubsub_fault(status="PERMISSION_DENIED"),
    "Publish answer cut": pubsub_fault(drop_connection=True, after_effect=True),
    "delivered twice, out of order": {
        "service": "pubsub", "method": "Pull", "duplicate": True, "reorder": True,
    },
    "Secret Manager down": {"service": "secret_manager", "status": "UNAVAILABLE"},
    "BigQuery unavailable": append_fault(status="UNAVAILABLE"),
    "BigQuery over quota": append_fault(status="RESOURCE_EXHAUSTED"),
    "BigQuery refuses 40 rows": {
        "service": "bigquery_write",
        "refuse_rows": {"table": "*", "column": "created_by", "value": "local"},
        "calls": 40,
    },
    "append stream cut": append_fault(drop_connection=True),
    "append answer lost": append_fault(status="ABORTED", after_effect=True, calls=3),
}  # fmt: skip
KILLS: Final = {"endpoint killed": "endpoint", "job killed": "pipeline"}


@dataclass(frozen=True)
class Strike:
    """A fault that was; times are seconds since the start."""

    name: str
    began: float
    ended: float


@dataclass(frozen=True)
class Moment:
    """What was waiting at a time: accepted records that no table had yet."""

    at: float
    backlog: int


class Soak:
    """One run on a running system."""

    def __init__(self, system: System, registry: Registry, minutes: float, seed: int) -> None:
        self.account = Account(f"soak{uuid.uuid4().hex[:8]}")
        self.strikes: list[Strike] = []
        self.moments: list[Moment] = []
        self._system, self._registry = system, registry
        self._seconds = minutes * 60
        self._choose = random.Random(seed)  # noqa: S311  (not for secrecy)
        keys = system.info["api_keys"]
        resources = list(registry.values())
        self.traffic = Traffic(system.url, keys, resources, self.account, mix=MIX, seed=seed)

    def run(self) -> tuple[Verdict, list[reconcile.Row]]:
        """Send and strike until the time is over, wait for what is in flight, and compare."""
        self.started = time.monotonic()
        with self._watching(), self.traffic:
            for name in self._schedule():
                self._strike(name)
            self.traffic.stop()
            self.sent_seconds = self.now()
            deadline = time.monotonic() + DRAIN_SECONDS
            while (verdict := self._compare()).missing and time.monotonic() < deadline:
                time.sleep(1)
            self.drained_seconds = self.now() - self.sent_seconds
        # The audit events come by the same way as the records, but a moment later.
        while (rows := self._reconciliation()) is None and time.monotonic() < deadline:
            time.sleep(1)
        return verdict, rows or []

    def now(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started

    def _schedule(self) -> Iterator[str]:
        """Yield a fault every 20 seconds; each once, in random order, before any comes again."""
        names: list[str] = []
        due = EVERY_SECONDS / 2
        while due + FAULT_SECONDS < self._seconds:
            time.sleep(max(due - self.now(), 0))
            if not names:
                names = [*RULES, *KILLS]
                self._choose.shuffle(names)
            yield names.pop()
            due += EVERY_SECONDS
        time.sleep(max(self._seconds - self.now(), 0))

    def _strike(self, name: str) -> None:
        began = self.now()
        print(f"{began:6.0f} s  {name}", flush=True)
        if name in KILLS:
            self._system.kill(KILLS[name])
            start: dict[str, Callable[[], None]] = {
                "endpoint": self._system.start_endpoint,
                "pipeline": self._system.start_pipeline,
            }
            start[KILLS[name]]()
        else:
            rule = dict(RULES[name])
            with self._system.fault(rule.pop("service"), **rule):
                time.sleep(FAULT_SECONDS)
        self.strikes.append(Strike(name, began, self.now()))

    def _compare(self) -> Verdict:
        return self.account.compare(self._system.sql, self._registry, self._system.info)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(SAMPLE_SECONDS):
                accepted = self.account.accepted
                self.moments.append(Moment(self.now(), max(accepted - self._stored(), 0)))

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _stored(self) -> int:
        """Count the distinct event ids in all tables: cheaper than the views."""
        names = self._system.info
        counts = [
            f"SELECT COUNT(DISTINCT event_id) AS n FROM {names['dataset']}.{resource}"  # noqa: S608  (our names)
            for resource in self._registry
        ]
        sql = " UNION ALL ".join(counts)
        return sum(row["n"] for row in self._system.sql.query_and_wait(sql))

    def _reconciliation(self) -> list[reconcile.Row] | None:
        """Return the view's rows once nothing is in flight."""
        sql = f"SELECT * FROM {self._system.info['ops_dataset']}.reconciliation"  # noqa: S608  (as above)
        rows: list[reconcile.Row] = [dict(row) for row in self._system.sql.query_and_wait(sql)]
        return None if any(row["in_flight"] for row in rows) or not rows else rows


def report(soak: Soak, verdict: Verdict, rows: Sequence[reconcile.Row]) -> tuple[str, bool]:
    """Return the report, and whether the difference is zero."""
    answers = soak.account.answers
    seconds = sorted(s.seconds for s in soak.traffic.samples if s.answer == "202")
    quantiles = ", ".join(
        f"p{share} {1000 * seconds[int(len(seconds) * share / 100)]:.0f} ms"
        for share in (50, 95, 99)
    )
    struck = Counter(strike.name for strike in soak.strikes)
    accepted = sum(row["accepted"] for row in rows)
    mismatches = [row for row in rows if reconcile.is_mismatch(row)]
    lines = [
        f"{soak.sent_seconds:.0f} s of traffic: {sum(answers.values()):,} requests, "
        f"{soak.account.records:,} records answered for, {soak.account.rejected:,} rejected",
        "answers: " + ", ".join(f"{n:,} × {name}" for name, n in answers.most_common()),
        f"latency of what was accepted: {quantiles}",
        f"faults: {len(soak.strikes)}: " + ", ".join(f"{n} × {k}" for k, n in struck.items()),
        f"backlog at most {max((m.backlog for m in soak.moments), default=0):,} records; "
        f"worked off {soak.drained_seconds:.1f} s after the last request",
        f"by ids: {verdict.accepted:,} accepted = {verdict.loaded:,} loaded + {verdict.dead:,} "
        f"dead-lettered; {len(verdict.missing):,} missing, {len(verdict.twice):,} twice, "
        f"{len(verdict.strangers):,} never accepted, {len(verdict.altered):,} altered",
        f"besides: {verdict.doubtful:,} found of requests without a 202, {verdict.copies:,} "
        "copies in the tables that the views leave out",
        f"by the view: {accepted:,} accepted, {len(mismatches)} minute(s) that do not add up",
    ]
    zero = not verdict.faults and not mismatches and bool(rows)
    lines.append("DIFFERENCE: 0" if zero else f"DIFFERENCE: {verdict.faults or mismatches}")
    return "\n".join(lines), zero


def draw(soak: Soak, path: Path) -> None:
    """Draw rate, latency and backlog over time with the faults marked."""
    import matplotlib as mpl  # noqa: PLC0415  (of requirements/bench.txt alone)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  (after its backend is chosen)

    figure, (rate, latency, backlog) = plt.subplots(3, 1, sharex=True, figsize=(11, 7.5))
    samples = soak.traffic.samples
    rate.plot(*_rate(soak, samples), color="#0b6e4f", linewidth=1)
    rate.set_ylabel("records accepted / s")
    for of, colour, label in ((True, "#0b6e4f", "202"), (False, "#c8553d", "other")):
        chosen = [s for s in samples if (s.answer == "202") is of]
        times = [s.at - soak.started for s in chosen]
        latency.plot(times, [1000 * s.seconds for s in chosen], ".", color=colour,
                     markersize=2, label=label)  # fmt: skip
    latency.set(yscale="log", ylabel="latency, ms")
    latency.legend(loc="upper right", markerscale=4, frameon=False)
    moments = soak.moments
    backlog.plot([m.at for m in moments], [m.backlog for m in moments], color="#3d5a80")
    backlog.set(ylabel="accepted, not yet in a table", xlabel="seconds")
    for axes in (rate, latency, backlog):
        for strike in soak.strikes:
            axes.axvspan(strike.began, strike.ended, color="#c8553d", alpha=0.18, linewidth=0)
        axes.spines[["top", "right"]].set_visible(False)
    for strike in soak.strikes:
        rate.text(strike.began, 1.02, strike.name, rotation=35, fontsize=6,
                  transform=rate.get_xaxis_transform())  # fmt: skip
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _rate(soak: Soak, samples: Sequence[Sample]) -> tuple[list[int], list[int]]:
    """Return the seconds, and the records that were accepted in each."""
    counts: Counter[int] = Counter()
    for sample in samples:
        if sample.answer == "202":
            counts[int(sample.at + sample.seconds - soak.started)] += sample.records
    seconds = list(range(max(counts, default=0) + 1))
    return seconds, [counts[second] for second in seconds]


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 where the difference is zero."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1, help="of the traffic and the faults")
    parser.add_argument("--plot", type=Path, default=PICTURE, help="where the picture goes")
    options = parser.parse_args(argv)
    exit_on_signals()
    try:
        import matplotlib as mpl  # noqa: F401, PLC0415  (looked for before the minutes, not after)
    except ImportError:
        print("soak: no picture without matplotlib: install requirements/bench.txt", flush=True)
        has_plot = False
    else:
        has_plot = True
    with System() as system:
        soak = Soak(system, load_registry(), options.minutes, options.seed)
        verdict, rows = soak.run()
    text, zero = report(soak, verdict, rows)
    print(text)
    if has_plot:
        draw(soak, options.plot)
        print(f"picture: {options.plot}")
    return 0 if zero else 1


if __name__ == "__main__":
    sys.exit(main())
