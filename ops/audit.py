"""`python -m ops audit verify`: whether the audit events are whole; exits with 1 if they are not.

The chain alone cannot show that its end was cut off: give the logged heads by --heads.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery
from rich.console import Console
from rich.table import Table

from ops import connection
from ops.audit_chain import Finding, Head, check_chain, read_heads
from ops.connection import Connection, ConnectionNotFoundError
from ops.times import FORM, point_in_time
from schemas.registry import AUDIT_LOG, load_system_registry

USAGE: Final = 2
# As in the view `reconciliation`: what is older has arrived, if it ever will.
SETTLE_MINUTES: Final = 15


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 where the chains are whole, 1 where they are not, 2 for a wrong call."""
    options = _parser().parse_args(argv)
    try:
        heads = read_heads(options.heads.read_text()) if options.heads else []
        if options.since:
            heads = [head for head in heads if head.at is None or head.at >= options.since]
        if options.writer:
            heads = [head for head in heads if head.writer_id == options.writer]
        with connection.connect(options) as system:
            checks = check(AuditLog(system, options.since, options.writer), heads)
    except (ConnectionNotFoundError, OSError, ValueError) as error:
        print(f"audit: {error}", file=sys.stderr)
        return USAGE
    except GoogleAPICallError as error:
        print(f"audit: BigQuery: {type(error).__name__}", file=sys.stderr)
        return USAGE
    return _report(checks, heads=len(heads))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ops audit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="check the hash chain of every writer")
    verify.add_argument(
        "--since", type=point_in_time, metavar="T", help=f"events since then: {FORM}"
    )
    verify.add_argument("--writer", metavar="ID", help="this writer's alone")
    verify.add_argument(
        "--heads", type=Path, metavar="FILE",
        help="heads that the endpoints logged: JSON lines, or the output of `gcloud logging read`",
    )  # fmt: skip
    connection.add_arguments(verify)
    return parser


Row = Mapping[str, Any]


class Check(NamedTuple):
    """How many events a writer has, and what is wrong with them."""

    events: int
    findings: list[Finding]


class AuditLog:
    """The events of a system by writer.

    Args:
        system: Where.
        since: Earlier events are left out.
        writer: Other writers are left out.
    """

    def __init__(self, system: Connection, since: datetime | None, writer: str | None) -> None:
        self._client = system.bigquery
        self._since, self._writer = since, writer
        self._table = f"`{system.project}.{system.ops_dataset}.{AUDIT_LOG}`"

    def __iter__(self) -> Iterator[tuple[str, list[Row]]]:
        conditions, parameters = ["TRUE"], []
        if self._since:
            conditions.append("created_ts >= @since")
            parameters.append(bigquery.ScalarQueryParameter("since", "TIMESTAMP", self._since))
        if self._writer:
            conditions.append("writer_id = @writer")
            parameters.append(bigquery.ScalarQueryParameter("writer", "STRING", self._writer))
        # Of the table, not of the view: that shows one of several rows with the same event_id.
        sql = (
            f"SELECT {', '.join(_columns())} FROM {self._table}"  # noqa: S608  (names of our own)
            f" WHERE {' AND '.join(conditions)} ORDER BY writer_id, sequence"
        )
        rows = self._query(sql, *parameters)
        for writer, group in groupby(rows, key=lambda row: row["writer_id"]):
            yield writer, [dict(row) for row in group]

    def row_before(self, writer: str, rows: Sequence[Row]) -> Row | None:
        """Return the row before the first of these, where earlier ones were left out."""
        first = min(row["sequence"] for row in rows)
        return self._row(writer, first - 1) if first and self._since else None

    def _row(self, writer: str, sequence: int) -> Row | None:
        sql = (
            f"SELECT sequence, hash FROM {self._table}"  # noqa: S608  (a name of our own)
            " WHERE writer_id = @writer AND sequence = @sequence LIMIT 1"
        )
        writer_is = bigquery.ScalarQueryParameter("writer", "STRING", writer)
        sequence_is = bigquery.ScalarQueryParameter("sequence", "INT64", sequence)
        return next((dict(row) for row in self._query(sql, writer_is, sequence_is)), None)

    def _query(self, sql: str, *parameters: bigquery.ScalarQueryParameter) -> Any:
        config = bigquery.QueryJobConfig(query_parameters=parameters)
        return self._client.query(sql, job_config=config).result()


def _columns() -> list[str]:
    return [column.column for column in load_system_registry()[AUDIT_LOG].table_columns]


def check(log: AuditLog, heads: Sequence[Head]) -> list[Check]:
    """Check every writer's chain, those of the heads among them that have no row left."""
    settled = datetime.now(UTC) - timedelta(minutes=SETTLE_MINUTES)

    def check_writer(writer: str, rows: Sequence[Row], previous: Row | None) -> Check:
        own = [head for head in heads if head.writer_id == writer]
        findings = check_chain(writer, rows, settled_before=settled, previous=previous, heads=own)
        return Check(len({row["sequence"] for row in rows}), list(findings))

    checks = {
        writer: check_writer(writer, rows, log.row_before(writer, rows)) for writer, rows in log
    }
    for writer in sorted({head.writer_id for head in heads} - checks.keys()):
        checks[writer] = check_writer(writer, [], None)
    return list(checks.values())


def _report(checks: Sequence[Check], *, heads: int) -> int:
    findings = [finding for each in checks for finding in each.findings]
    console = Console()
    if findings:
        table = Table(title="What does not fit")
        for name in ("writer", "what", "from sequence", "rows", "why"):
            table.add_column(name, justify="right" if name in ("from sequence", "rows") else "left")
        for finding in findings:
            numbers = (f"{finding.sequence}", f"{finding.rows:,}")
            table.add_row(finding.writer_id, finding.kind, *numbers, finding.detail)
        console.print(table)
    events = sum(each.events for each in checks)
    seen = f"{events:,} events of {len(checks):,} writers, {heads:,} logged heads"
    if any(finding.is_fault for finding in findings):
        console.print(f"NOT WHOLE: {seen}", style="bold red")
        return 1
    console.print(f"Whole: {seen}", style="bold green")
    return 0
