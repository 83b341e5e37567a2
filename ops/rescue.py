"""Tells which dead letters the present contracts would let through."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from apache_beam.io.gcp.pubsub import PubsubMessage
from rich import box
from rich.table import Table

from ops.dead_letters import DeadLetterRow
from ops.verdict import Judge, Verdict
from schemas.registry import Registry

_INDEX = re.compile(r"\[[0-9]+\]")


@dataclass(slots=True)
class Tally:
    """Of one resource and code.

    Attributes:
        loads, fails: How many dead letters would load now, and how many not.
        rules: How many of the latter break each rule: stage, code, path without indexes, rule.
    """

    loads: int = 0
    fails: int = 0
    rules: Counter[str] = field(default_factory=Counter)

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Count one dead letter, which loads if all of its records do."""
        reasons = {reason for verdict in verdicts for reason in _reasons(verdict)}
        self.rules.update(reasons)
        if reasons:
            self.fails += 1
        else:
            self.loads += 1


def _reasons(verdict: Verdict) -> list[str]:
    if verdict.loads:
        return []
    where = f"{verdict.stage} {verdict.code}"
    paths = {f"{where} {_INDEX.sub('[]', e.path)} {e.rule}" for e in verdict.errors}
    return sorted(paths) or [where]


class Rescue:
    """Judges dead letters by the contracts of a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._judges: dict[str, Judge] = {}
        self.tallies: dict[tuple[str, str], Tally] = {}

    def add(self, row: DeadLetterRow) -> None:
        """Judge one dead letter as the message that its replay would be."""
        tally = self.tallies.setdefault((row.resource, row.code), Tally())
        if row.resource not in self._registry:
            tally.fails += 1
            tally.rules["no such resource"] += 1
            return
        judge = self._judges.get(row.resource)
        if judge is None:
            judge = self._judges[row.resource] = Judge(self._registry[row.resource])
        message = PubsubMessage(row.payload, row.attributes, row.message_id, row.publish_ts)
        tally.add(judge.message(message))

    @property
    def loads(self) -> int:
        """How many would load now."""
        return sum(tally.loads for tally in self.tallies.values())

    @property
    def fails(self) -> int:
        """How many would fail again."""
        return sum(tally.fails for tally in self.tallies.values())

    def table(self, rules: int) -> Table:
        """Return the tallies for a terminal, with so many of the rules that are broken most."""
        table = Table("resource", "code", box=box.SIMPLE, show_footer=True)
        table.columns[0].footer = "in all"
        table.add_column("would load now", f"{self.loads:,}", justify="right")
        table.add_column("still fails", f"{self.fails:,}", justify="right")
        table.add_column("on")
        for (resource, code), tally in sorted(self.tallies.items()):
            most = sorted(tally.rules.items(), key=lambda rule: (-rule[1], rule[0]))[:rules]
            top = "\n".join(f"{count:,}x {rule}" for rule, count in most)
            table.add_row(resource, code, f"{tally.loads:,}", f"{tally.fails:,}", top)
        return table
