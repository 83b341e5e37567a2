"""`python -m ops status`: whether all is well: the endpoint, the backlog, today's dead letters."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import httpx
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from rich import box
from rich.console import Console
from rich.table import Table

from ops import connection
from ops.backlog import Backlog, BacklogReader
from ops.connection import Connection, ConnectionNotFoundError
from ops.endpoint import endpoint_client
from ops.terminal import console
from schemas.registry import load_registry, load_system_registry

USAGE: Final = 2
CALL_SECONDS: Final = 10.0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if the endpoint is ready and all could be asked, 1 if not, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m ops status", description=__doc__)
    parser.add_argument(
        "--endpoint", action="append", default=[], help="base URL, may be repeated; ENDPOINT else"
    )
    connection.add_arguments(parser)
    options = parser.parse_args(argv)
    out = console()
    try:
        with connection.connect(options) as system:
            known = [system.endpoint] if system.endpoint else []
            parts = (
                _print_endpoints(options.endpoint or known, out),
                _print_backlog(system, out),
                _print_dead_letters(system, out),
            )
    except ConnectionNotFoundError as error:
        print(f"status: {error}", file=sys.stderr)
        return USAGE
    return 0 if all(parts) else 1


def _print_endpoints(urls: Sequence[str], out: Console) -> bool:
    states = {url: _readiness(url) for url in urls}
    for url, state in states.items():
        out.print(f"endpoint {url}: {state}", markup=False)
    if not urls:
        out.print("endpoint: not known; name it by --endpoint or ENDPOINT")
    return all(state == "ready" for state in states.values())


def _readiness(url: str) -> str:
    try:
        with endpoint_client(url) as http:
            answer = http.get("/readyz", timeout=CALL_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"not reached ({type(error).__name__})"
    if answer.status_code == HTTPStatus.OK:
        return "ready"
    try:
        return f"not ready: {answer.json()['detail']}"
    except (ValueError, LookupError, TypeError):
        return f"not ready: {answer.status_code}"


def _print_backlog(system: Connection, out: Console) -> bool:
    if system.pubsub_host:
        out.print("backlog: not known, as an emulator keeps no metrics")
        return True
    # Imported here, as its import takes long and the emulators do without.
    from google.cloud.monitoring_v3 import MetricServiceClient  # noqa: PLC0415  # as above

    names = [f"{name}-pipeline" for name in (*load_registry(), *load_system_registry())]
    try:
        backlogs = BacklogReader(MetricServiceClient(), system.project).read(names)
    except (GoogleAPICallError, GoogleAuthError) as error:
        out.print(f"backlog: Monitoring does not tell ({type(error).__name__})")
        return False
    out.print(_backlog_table(backlogs))
    return True


def _backlog_table(backlogs: Mapping[str, Backlog]) -> Table:
    table = Table("backlog of", box=box.SIMPLE)
    table.add_column("messages", justify="right")
    table.add_column("oldest", justify="right")
    for name, backlog in backlogs.items():
        messages = "?" if backlog.messages is None else f"{backlog.messages:,}"
        oldest = "?" if backlog.oldest_seconds is None else f"{backlog.oldest_seconds:,} s"
        table.add_row(name, messages, oldest)
    return table


def _print_dead_letters(system: Connection, out: Console) -> bool:
    sql = f"""
        SELECT resource, error_code, COUNT(*) AS letters, COUNTIF(state = 'open') AS open
        FROM `{system.project}.{system.ops_dataset}.dead_letters_state`
        WHERE failed_ts >= TIMESTAMP_TRUNC(CURRENT_TIMESTAMP(), DAY)
        GROUP BY resource, error_code ORDER BY resource, error_code
    """  # noqa: S608  # our own names
    try:
        rows = list(system.bigquery.query(sql).result())
    except (GoogleAPICallError, GoogleAuthError) as error:
        # Its kind alone: the text quotes the query.
        out.print(f"dead letters: BigQuery does not tell ({type(error).__name__})")
        return False
    if not rows:
        out.print("dead letters today: none")
        return True
    table = Table("dead letters today", "code", box=box.SIMPLE)
    table.add_column("in all", justify="right")
    table.add_column("open", justify="right")
    for row in rows:
        table.add_row(row.resource, row.error_code, f"{row.letters:,}", f"{row.open:,}")
    out.print(table)
    return True
