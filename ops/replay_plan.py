"""Counts what a replay is about, so that an operator sees it before anything is published."""

from dataclasses import dataclass, field
from datetime import date

from rich import box
from rich.table import Table


@dataclass(slots=True)
class _Count:
    records: int = 0
    size: int = 0


@dataclass(slots=True)
class ReplayPlan:
    """Records and bytes by resource, code and day."""

    counts: dict[tuple[str, str, date], _Count] = field(default_factory=dict)

    def add(self, resource: str, code: str, day: date, records: int, size: int) -> None:
        """Count one message."""
        count = self.counts.setdefault((resource, code, day), _Count())
        count.records += records
        count.size += size

    @property
    def records(self) -> int:
        """How many records there are."""
        return sum(count.records for count in self.counts.values())

    @property
    def size(self) -> int:
        """How many bytes they take."""
        return sum(count.size for count in self.counts.values())

    def table(self) -> Table:
        """Return the counts for a terminal."""
        table = Table("resource", "code", "day", box=box.SIMPLE, show_footer=True)
        table.columns[0].footer = "in all"
        table.add_column("records", f"{self.records:,}", justify="right")
        table.add_column("bytes", f"{self.size:,}", justify="right")
        for (resource, code, day), count in sorted(self.counts.items()):
            table.add_row(resource, code, day.isoformat(), f"{count.records:,}", f"{count.size:,}")
        return table
