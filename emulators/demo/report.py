"""Shows what the tour found, as tables in the terminal."""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from emulators.demo.reconciliation import Found, reconciles
from emulators.demo.traffic import Tally

MAX_ROWS: Final = 5
_COUNTS: Final = ("sent", "rejected", "accepted", "repeats", "loaded", "dead")


def counts_table(tallies: Mapping[str, Tally], found: Mapping[str, Found]) -> Table:
    """Return the counts of every resource, with a last column that says whether they add up."""
    table = Table(title="What became of the records")
    table.add_column("resource", no_wrap=True)
    for name in _COUNTS:
        table.add_column(name, justify="right")
    table.add_column("adds up")
    for name, tally in tallies.items():
        there = found[name]
        counts = (
            tally.sent,
            tally.rejected,
            tally.accepted,
            tally.accepted - len(tally.event_ids),
            len(there.loaded),
            len(there.dead),
        )
        table.add_row(name, *map(str, counts), "yes" if reconciles(tally, there) else "NO")
    return table


def rows_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Return the first rows of an answer."""
    table = Table(title=title, title_justify="left", min_width=len(title))
    for column in columns:
        table.add_column(column)
    shown = list(rows)
    for row in shown[:MAX_ROWS]:
        table.add_row(*map(_cell, row))
    if len(shown) > MAX_ROWS:
        table.caption = f"{len(shown) - MAX_ROWS} more"
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def masked(dead_letter: Mapping[str, Any]) -> str:
    """Return a dead letter as JSON; its payload is health data, so only its size is shown."""
    shown = dict(dead_letter)
    shown["payload"] = f"<{len(dead_letter['payload'])} bytes, masked>"
    return json.dumps(shown, indent=2, default=str)


def view_line(console: Console, sums: Mapping[str, int], expected: int) -> bool:
    """Print whether the system's own ledger comes to the same; return it."""
    found = sums["loaded"] + sums["dead_lettered"]
    agrees = sums["accepted"] == expected == found and not sums["missing"] + sums["surplus"]
    console.print(
        f"{'The ledger agrees' if agrees else 'THE LEDGER DISAGREES'}:"
        f" {sums['accepted']} accepted = {sums['loaded']} loaded + {sums['dead_lettered']}"
        f" dead-lettered + {sums['in_flight']} in flight, by healthcare_ops.reconciliation",
        style="bold green" if agrees else "bold red",
    )
    return agrees


def reconciliation_line(
    console: Console, tallies: Mapping[str, Tally], found: Mapping[str, Found]
) -> bool:
    """Print whether everything accepted was found again; return it."""
    accepted = sum(len(tally.event_ids) for tally in tallies.values())
    loaded = sum(len(there.loaded) for there in found.values())
    dead = sum(len(there.dead) for there in found.values())
    balanced = all(reconciles(tally, found[name]) for name, tally in tallies.items())
    console.print(
        f"{'Reconciled' if balanced else 'NOT RECONCILED'}: {accepted} accepted = {loaded} loaded"
        f" + {dead} dead-lettered, by event id",
        style="bold green" if balanced else "bold red",
    )
    return balanced
