"""One system for all faults, the trial that each of them is, and a table of how they went."""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from emulators.chaos.account import Account, Verdict
from emulators.chaos.system import System
from emulators.chaos.traffic import PATIENCE_SECONDS, Mix, Traffic
from schemas.registry import load_registry

REGISTRY = load_registry()
RESOURCES = ("patients", "plans")
TIMEOUT_SECONDS = 360
# What a busy machine still loads as fast as it is sent.
MIX = Mix(pause=0.1, bulk_share=0.1, bulk_records=100)
OUTCOMES = pytest.StashKey[list["Outcome"]]()


@dataclass(frozen=True)
class Outcome:
    """One line of the table."""

    fault: str
    answers: Counter[str]
    verdict: Verdict
    answered: float | None
    recovered: float


@pytest.fixture(scope="package")
def system() -> Iterator[System]:
    with System() as running:
        yield running


@pytest.fixture(autouse=True)
def whole(system: System) -> Iterator[None]:
    """Leave both processes running for the next test, whatever became of this one."""
    yield
    system.restore()


@dataclass
class Trial:
    """A fault under traffic: the producers, what they were told, and when all was well again."""

    system: System
    fault_name: str
    note: Callable[[Outcome], None]
    mix: Mix = MIX
    resources: tuple[str, ...] = RESOURCES
    over_at: float = 0.0

    def __post_init__(self) -> None:
        self.account = Account(f"run{uuid.uuid4().hex[:8]}")
        self.traffic = Traffic(
            self.system.url,
            self.system.info["api_keys"],
            [REGISTRY[name] for name in self.resources],
            self.account,
            mix=self.mix,
        )

    @contextmanager
    def sending(self, least: int = 1200, first: str = "202") -> Iterator[Traffic]:
        """Send; the body begins with the first such answer, and after it more are accepted."""
        with self.traffic:
            self.traffic.wait_for(first)
            yield self.traffic
            self.over()
            self.answered = self.traffic.wait_for("202", self.over_at)
            self.traffic.wait_for_records(least)

    def over(self) -> None:
        """Note the end of the fault, once."""
        self.over_at = self.over_at or time.monotonic()

    @contextmanager
    def fault(self, service: str, **rule: Any) -> Iterator[str]:
        with self.system.fault(service, **rule) as rule_id:
            yield rule_id
        self.over()

    def wait_for_strikes(self, service: str, rule_id: str, count: int = 1) -> None:
        self.traffic.wait_until(
            lambda: 1.0 if self.system.fired(service, rule_id) >= count else None,
            f"{count} strikes of the fault",
        )

    def wait_for_failed_batches(self, count: int) -> None:
        failed = self.system.failed_batches() + count
        self.traffic.wait_until(
            lambda: 1.0 if self.system.failed_batches() >= failed else None,
            "a batch that fails",
        )

    def wait_for_loaded(self) -> None:
        self.traffic.wait_until(lambda: 1.0 if self.verdict().loaded else None, "the first rows")

    def verdict(self) -> Verdict:
        return self.account.compare(self.system.sql, REGISTRY, self.system.info)

    def check(self, *expected: str, may: Collection[str] = ()) -> Verdict:
        """Wait until all that was accepted is found, then hold the promise to it.

        Args:
            expected: What producers must have been told in the course of the fault, beside 202.
            may: What they may have been told. A busy machine may always add the answer that every
                outage has: 503, repeat it.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (verdict := self.verdict()).missing and time.monotonic() < deadline:
            time.sleep(0.2)
        recovered = time.monotonic() - self.over_at
        answered = self.answered - self.over_at
        self.note(Outcome(self.fault_name, self.account.answers, verdict, answered, recovered))
        assert verdict.faults == {}, self.system.tail()
        assert verdict.loaded + verdict.dead == verdict.accepted
        seen = set(self.account.answers)
        assert {"202", *expected} <= seen
        assert seen <= {"202", "503 publish_timeout", *expected, *may}
        return verdict


@pytest.fixture
def trial(
    system: System, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Callable[..., Trial]:
    """Return a function that begins a trial; its fault is named in the table."""

    def note(outcome: Outcome) -> None:
        record_property("accepted_records", outcome.verdict.accepted)
        record_property("recovery_seconds", round(outcome.recovered, 2))
        request.config.stash.setdefault(OUTCOMES, []).append(outcome)

    def begin(fault: str, **settings: Any) -> Trial:
        return Trial(system, fault, note, **settings)

    return begin


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each fault time on a machine that has much else to do; a quiet one needs seconds."""
    for item in items:
        if "chaos" in item.path.parts:
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    outcomes = config.stash.get(OUTCOMES, [])
    if not outcomes:
        return
    terminalreporter.section("faults")
    for outcome in outcomes:
        answers = ", ".join(f"{n} x {name}" for name, n in sorted(outcome.answers.items()))
        verdict = outcome.verdict
        terminalreporter.line(f"{outcome.fault}: {answers}")
        terminalreporter.line(
            f"    {verdict.accepted:,} accepted = {verdict.loaded:,} loaded + {verdict.dead:,}"
            f" dead-lettered + {len(verdict.missing):,} missing; {verdict.doubtful:,} found of"
            f" requests without a 202, {verdict.copies:,} extra copies in the tables;"
            f" accepting again after {outcome.answered:.1f} s, all there after"
            f" {outcome.recovered:.1f} s"
        )
    total = sum(outcome.verdict.accepted for outcome in outcomes)
    terminalreporter.line(f"{total:,} records accepted under {len(outcomes)} faults")
