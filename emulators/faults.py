"""What can go wrong on demand, so that a promise about a fault can be tested with that fault.

Every emulator asks one `FaultInjector`; `emulators.fault_server` connects it to gRPC and to HTTP.
"""

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import grpc

from emulators.fault_rules import ANY, STATUSES, BadRuleError, FaultRule, RowRefusal

__all__ = ["NO_FAULT", "BadRuleError", "Fault", "FaultInjector", "FaultRule", "RowRefusal"]

DELIVERY: Final = ("duplicate", "reorder")


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls one call: every matching rule's latency together, and the first failure."""

    latency: float = 0.0  # seconds
    status: grpc.StatusCode | None = None
    drop: bool = False
    after_effect: bool = False

    @property
    def fails(self) -> bool:
        """Whether the call ends in an error or a broken connection."""
        return self.status is not None or self.drop


NO_FAULT: Final = Fault()


@dataclass(slots=True)
class _Live:
    rule: FaultRule
    until: float | None  # on time.monotonic
    calls_left: int | None
    fired: int = 0


class FaultInjector:
    """The rules in force; may be asked from any thread.

    `services` names each service's methods; a rule that names another is then refused, as it
    would never fire. Rules that have run out stay listed, with their count, until removed.
    """

    def __init__(self, services: Mapping[str, Collection[str]] | None = None) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._rules: dict[str, _Live] = {}
        self._ids = count(1)

    def add(self, rule: FaultRule | Mapping[str, Any]) -> str:
        """Puts a rule in force and returns its id; raises BadRuleError."""
        parsed = rule if isinstance(rule, FaultRule) else FaultRule.parse(rule)
        self._check_names(parsed)
        until = None if parsed.seconds is None else time.monotonic() + parsed.seconds
        with self._lock:
            rule_id = f"fault-{next(self._ids)}"
            # Replaced, not changed: readers look at the mapping without the lock.
            self._rules = {**self._rules, rule_id: _Live(parsed, until, parsed.calls)}
        return rule_id

    def remove(self, rule_id: str) -> bool:
        """Ends a rule; false if there is none of this id."""
        with self._lock:
            found = rule_id in self._rules
            self._rules = {k: v for k, v in self._rules.items() if k != rule_id}
        return found

    def clear(self) -> None:
        """Ends every rule."""
        with self._lock:
            self._rules = {}

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its id, how often it fired, and whether it still can."""
        now = time.monotonic()
        with self._lock:
            return [
                {
                    "id": rule_id,
                    **live.rule.as_dict(),
                    "fired": live.fired,
                    "active": _on(live, now),
                }
                for rule_id, live in self._rules.items()
            ]

    def fired(self, rule_id: str) -> int:
        """How often the rule struck; 0 for an unknown id."""
        live = self._rules.get(rule_id)
        return live.fired if live else 0

    def take(self, service: str, method: str) -> Fault:
        """The fault of one call, which counts against the rules that make it up."""
        if not self._rules:
            return NO_FAULT
        latency = 0.0
        failure: FaultRule | None = None
        with self._lock:
            for live in self._matching(service, method):
                rule = live.rule
                # A second failure waits for its own call: else `calls` would be used up unseen.
                if rule.fails and failure is not None:
                    continue
                if not rule.fails and not rule.latency_ms:
                    continue
                failure = rule if rule.fails else failure
                latency += rule.latency_ms / 1000
                _strike(live)
        if failure is None:
            return Fault(latency=latency)
        status = None if failure.status is None else STATUSES[failure.status]
        return Fault(latency, status, failure.drop_connection, failure.after_effect)

    def take_delivery(self, service: str, method: str) -> frozenset[str]:
        """Which of "duplicate" and "reorder" befalls one delivery of messages."""
        if not self._rules:
            return frozenset()
        faults: set[str] = set()
        with self._lock:
            for live in self._matching(service, method):
                if kinds := {kind for kind in DELIVERY if getattr(live.rule, kind)}:
                    faults |= kinds
                    _strike(live)
        return frozenset(faults)

    def refuses_row(self, table: str, row: Mapping[str, Any]) -> bool:
        """Whether a rule refuses this row."""
        if not self._rules:
            return False
        with self._lock:
            for live in self._matching(ANY, ANY):
                refusal = live.rule.refuse_rows
                if refusal is not None and refusal.matches(table, row):
                    _strike(live)
                    return True
        return False

    def _matching(self, service: str, method: str) -> list[_Live]:
        now = time.monotonic()
        return [
            live
            for live in self._rules.values()
            if _on(live, now)
            and (service == ANY or live.rule.service in (ANY, service))
            and (method == ANY or live.rule.method in (ANY, method))
        ]

    def _check_names(self, rule: FaultRule) -> None:
        if self._services is None:
            return
        if rule.service != ANY and rule.service not in self._services:
            raise BadRuleError([f"service is * or one of {', '.join(self._services)}"])
        methods = {
            method
            for service, names in self._services.items()
            if rule.service in (ANY, service)
            for method in names
        }
        if rule.method != ANY and rule.method not in methods:
            raise BadRuleError([f"method is * or one of {', '.join(sorted(methods))}"])


def _on(live: _Live, now: float) -> bool:
    return live.calls_left != 0 and (live.until is None or now < live.until)


def _strike(live: _Live) -> None:
    live.fired += 1
    if live.calls_left is not None:
        live.calls_left -= 1
