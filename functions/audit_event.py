"""What the ledger keeps of a request: who, what, how much and with what result, never the data."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from functions.exchange import Exchange
from schemas.registry import Resource
from schemas.validation import RecordError

STATUS: Final = "status"
UNKNOWN_ACTION: Final = "unknown"
# `created_by` where no key was recognized; no key may have this id.
UNKNOWN_KEY: Final = "unknown"
# Records that were refused without being looked at, as there were too many errors already.
NOT_EXAMINED: Final = "notExamined"


class Facts:
    """What is known of a request so far; its handler adds to it as it learns more."""

    __slots__ = (
        "accepted",
        "action",
        "contract_version",
        "first_event_ids",
        "key_id",
        "now",
        "rejected",
        "repeat_id",
        "resource",
        "rules",
    )

    def __init__(self, resource: Resource | None, action: str) -> None:
        self.resource = resource.name if resource else None
        self.contract_version = resource.version if resource else None
        self.action = action
        self.key_id = UNKNOWN_KEY
        self.now: str | None = None
        self.accepted = 0
        self.rejected = 0
        self.rules: list[dict[str, Any]] | None = None
        self.repeat_id: str | None = None
        self.first_event_ids: Sequence[str] | None = None

    def reject(self, bad: Mapping[int, Iterable[RecordError]]) -> None:
        """Count records that broke the contract, and how many broke each rule."""
        self.rejected = len(bad)
        counts: dict[str, int] = {}
        for errors in bad.values():
            for rule in {error.rule for error in errors} or {NOT_EXAMINED}:
                counts[rule] = counts.get(rule, 0) + 1
        self.rules = [{"rule": rule, "records": counts[rule]} for rule in sorted(counts)]


def audit_event(
    facts: Facts,
    exchange: Exchange,
    status: int,
    code: str | None,
    *,
    event_id: str,
    now: str,
    client_hash: str,
) -> dict[str, Any]:
    """Return the event of one request, without its place in the chain.

    Members without a value are left out: that is their canonical form.
    """
    event: dict[str, Any] = {
        "created_ts": now,
        "updated_ts": now,
        "created_by": facts.key_id,
        "is_active": True,
        "event_id": event_id,
        "request_id": exchange.request_id,
        "action": facts.action,
        "status": status,
        "requests": 1,
        "accepted": facts.accepted,
        "rejected": facts.rejected,
        "latency_us": (time.monotonic_ns() - exchange.started_ns) // 1_000,
        "client_hash": client_hash,
    }
    if facts.resource is not None:
        event["resource"] = facts.resource
        event["contract_version"] = facts.contract_version
    if code is not None:
        event["code"] = code
    if facts.rules:
        event["rejected_rules"] = facts.rules
    if facts.repeat_id is not None:
        event["repeat_id"] = facts.repeat_id
    if facts.first_event_ids:
        event["first_event_ids"] = facts.first_event_ids
    return event


class Counts:
    """Refusals that are counted instead of listed, so that a flood of them costs next to nothing.

    Bounded: resources, key ids and codes are few and none is the sender's to choose.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[Any, ...], list[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, facts: Facts, status: int, code: str | None) -> None:
        """Count one request."""
        of = (facts.resource, facts.contract_version, facts.key_id, facts.action, status, code)
        count = self._counts.setdefault(of, [0, 0])
        count[0] += 1
        count[1] += facts.rejected

    def take(self) -> list[dict[str, Any]]:
        """Return what was counted as events that lack ids and times, and begin anew."""
        counts, self._counts = self._counts, {}
        return [
            {
                "created_by": key_id,
                "is_active": True,
                "action": action,
                "status": status,
                "requests": requests,
                "accepted": 0,
                "rejected": rejected,
                **({"resource": resource, "contract_version": version} if resource else {}),
                **({"code": code} if code else {}),
            }
            for (resource, version, key_id, action, status, code), (
                requests,
                rejected,
            ) in counts.items()
        ]
