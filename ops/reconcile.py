"""`python -m ops reconcile`: whether what was accepted has arrived; exits with 1 if it has not.

It reads the view `reconciliation`, which looks back seven days. docs/operators.md says what each
column counts.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery
from rich.console import Console
from rich.table import Table

from ops import connection
from ops.connection import Connection, ConnectionNotFoundError
from ops.times import FORM, point_in_time
from schemas.registry import load_registry

COUNTS: Final = (
    "accepted", "loaded", "dead_lettered", "in_flight", "missing", "surplus", "unconfirmed",
)  # fmt: skip
USAGE: Final = 2

Row = Mapping[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 where everything adds up, 1 where it does not, 2 for a wrong call."""
    options = _parser().parse_args(argv)
    try:
        with connection.connect(options) as system:
            rows = read(system, options)
    except (ConnectionNotFoundError, OSError) as error:
        print(f"reconcile: {error}", file=sys.stderr)
        return USAGE
    except GoogleAPICallError as error:
        print(f"reconcile: BigQuery: {type(error).__name__}", file=sys.stderr)
        return USAGE
    console = Console()
    console.print(report(rows if options.minutes else in_sum(rows)))
    mismatches = sum(map(is_mismatch, rows))
    if mismatches:
        console.print(f"DOES NOT ADD UP in {mismatches} minute(s)", style="bold red")
        return 1
    console.print(verdict(rows), style="bold green")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ops reconcile", description=__doc__)
    parser.add_argument("--since", type=point_in_time, metavar="T", help=f"accepted then: {FORM}")
    parser.add_argument("--resource", action="append", choices=list(load_registry()), default=[])
    parser.add_argument("--minutes", action="store_true", help="list each minute, not sums alone")
    connection.add_arguments(parser)
    return parser


def read(system: Connection, options: argparse.Namespace) -> list[Row]:
    """Return the view's rows that the options ask for."""
    parameters: list[Any] = [
        bigquery.ArrayQueryParameter("resources", "STRING", options.resource or load_registry()),
        bigquery.ScalarQueryParameter("since", "TIMESTAMP", options.since),
    ]
    sql = (
        f"SELECT * FROM `{system.project}.{system.ops_dataset}.reconciliation`"  # noqa: S608  (names of the operator's own)
        " WHERE resource IN UNNEST(@resources)"
        f"{' AND minute >= TIMESTAMP_TRUNC(@since, MINUTE)' if options.since else ''}"
        " ORDER BY resource, key_id, minute"
    )
    config = bigquery.QueryJobConfig(
        query_parameters=parameters if options.since else parameters[:1]
    )
    return [dict(row) for row in system.bigquery.query(sql, job_config=config).result()]


def is_mismatch(row: Row) -> bool:
    """Tell whether records are missing in a row, or came that nobody accepted with the others."""
    return bool(row["missing"] or row["surplus"])


def in_sum(rows: Iterable[Row]) -> list[Row]:
    """Return one row for each resource and key."""
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        of = (row["resource"], row["key_id"])
        total = sums.setdefault(of, dict(zip(("resource", "key_id"), of, strict=True)))
        for name in COUNTS:
            total[name] = total.get(name, 0) + row[name]
    return list(sums.values())


def verdict(rows: Sequence[Row]) -> str:
    """Say in one line that the rows add up."""
    total = {name: sum(row[name] for row in rows) for name in COUNTS}
    return (
        "Adds up: {accepted:,} accepted = {loaded:,} loaded + {dead_lettered:,} dead-lettered"
        " + {in_flight:,} in flight"
    ).format(**total)


def report(rows: Iterable[Row]) -> Table:
    """Return the rows as a table."""
    shown = list(rows)
    has_minutes = any("minute" in row for row in shown)
    table = Table(title="What became of the records that were accepted")
    for name in ("resource", "key_id", *(["minute"] if has_minutes else [])):
        table.add_column(name.replace("_", " "), no_wrap=True)
    for name in COUNTS:
        table.add_column(name.replace("_", " "), justify="right")
    for row in shown:
        minute = [f"{row['minute']:%Y-%m-%d %H:%M}"] if has_minutes else []
        counts = [f"{row[name]:,}" for name in COUNTS]
        style = "red" if is_mismatch(row) else None
        table.add_row(row["resource"], row["key_id"], *minute, *counts, style=style)
    return table
