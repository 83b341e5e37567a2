"""The README's first command: start the stack, send, wait, ask, reconcile, clean up."""

import argparse
import time
from collections.abc import Mapping
from typing import Any

import httpx
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from emulators.child import ChildError
from emulators.demo.questions import questions
from emulators.demo.reconciliation import Found, Ledger
from emulators.demo.report import (
    counts_table,
    masked,
    reconciliation_line,
    rows_table,
    view_line,
)
from emulators.demo.traffic import Producer, Tally
from emulators.stack import Stack
from schemas.registry import load_registry


def main(argv: list[str] | None = None) -> int:
    """Give the tour; 0 only if every accepted record was found again."""
    parser = argparse.ArgumentParser(prog="python -m emulators demo", description=__doc__)
    parser.parse_args(argv)
    console = Console()
    started = time.monotonic()
    with _progress(console) as progress:
        task = progress.add_task("starting the embedded stack", total=None)
        try:
            with Stack() as stack:
                progress.update(task, description="the embedded stack is up", total=1, completed=1)
                balanced = _tour(stack.info, console, progress)
        except ChildError as error:
            progress.stop()
            console.print(str(error), style="red", markup=False)
            return 1
    console.print(f"Done in {time.monotonic() - started:.0f} s; everything is stopped again.")
    return 0 if balanced else 1


def _tour(info: Mapping[str, Any], console: Console, progress: Progress) -> bool:
    producers = {
        name: Producer(info["endpoint"], resource, info["api_keys"][name])
        for name, resource in load_registry().items()
    }
    try:
        for name, producer in producers.items():
            _refuse_in_bigquery(info, name, producer.tally.refused)
        tallies = _send(producers, progress)
    finally:
        for producer in producers.values():
            producer.close()
    client = bigquery.Client(
        project=info["project"],
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]  # It has no types.
        client_options={"api_endpoint": info["bigquery_rest"]},
    )
    ledger = Ledger(client, info["dataset"], info["ops_dataset"])
    found = _wait(ledger, tallies, progress)
    progress.stop()
    console.print(counts_table(tallies, found))
    _answer_questions(client, console)
    letter = ledger.dead_letter(tallies)
    if letter:
        console.print("\nOne dead letter, as an operator sees it:", style="bold")
        console.print_json(masked(letter))
    expected = sum(len(tally.event_ids) for tally in tallies.values())
    agrees = view_line(console, ledger.view(expected), expected)
    return reconciliation_line(console, tallies, found) and agrees


def _refuse_in_bigquery(info: Mapping[str, Any], table: str, key: str) -> None:
    """Make BigQuery refuse one row of each table, as no valid record does so by itself."""
    column = load_registry()[table].column(load_registry()[table].key[0]).column
    rule = {"service": "bigquery", "refuse_rows": {"table": table, "column": column, "value": key}}
    url = f"{info['faults']['bigquery']}/faults"
    httpx.post(url, json=rule, trust_env=False).raise_for_status()


def _send(producers: Mapping[str, Producer], progress: Progress) -> dict[str, Tally]:
    for name, producer in producers.items():
        ways = list(producer.ways())
        task = progress.add_task(f"sending {name}", total=len(ways))
        for way, send in ways:
            progress.update(task, description=f"sending {name}: {way}")
            send()
            progress.advance(task)
        progress.update(task, description=f"sent {name}: {producer.tally.sent} records")
    return {name: producer.tally for name, producer in producers.items()}


def _wait(ledger: Ledger, tallies: Mapping[str, Tally], progress: Progress) -> dict[str, Found]:
    expected = sum(len(tally.event_ids) for tally in tallies.values())
    task = progress.add_task("waiting for BigQuery", total=expected)
    return ledger.wait(tallies, lambda arrived: progress.update(task, completed=arrived))


def _answer_questions(client: bigquery.Client, console: Console) -> None:
    for question in questions():
        rows = client.query(question.sql).result()
        columns = [field.name for field in rows.schema]
        console.print()
        console.print(rows_table(question.text, columns, (row.values() for row in rows)))


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        console=console,
    )
