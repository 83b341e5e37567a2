"""Chooses dead letters and reads them back, whole, as BigQuery keeps them."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
from google.cloud import bigquery

from beam_pipeline import dead_letters
from ops.connection import Connection
from ops.times import FORM, point_in_time

STAGES: Final = (
    dead_letters.DECODE,
    dead_letters.VALIDATE,
    dead_letters.ENCODE,
    dead_letters.APPEND,
)
# Rows of a page; BigQuery's pages are also bounded in bytes.
_PAGE_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters a command is about; what is empty or None does not choose.

    Attributes:
        again: Whether those count too about which nothing is left to do.
    """

    resources: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    ids: tuple[str, ...] = ()
    again: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """One dead letter that was chosen, without its payload."""

    id: str
    resource: str
    code: str
    day: date
    size: int


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """One dead letter, whole. It is never printed: the payload is health data."""

    id: str
    resource: str
    code: str
    day: date
    payload: bytes
    attributes: dict[str, str]
    message_id: str | None
    position: int
    publish_ts: datetime | None


def add_arguments(parser: argparse.ArgumentParser, resources: Sequence[str]) -> None:
    """Add the options that choose dead letters."""
    group = parser.add_argument_group(
        "which", "All that are open, unless these choose. Options that repeat widen the choice."
    )
    any_of: dict[str, Any] = {"action": "append", "default": []}
    group.add_argument("--resource", choices=resources, metavar="R", **any_of)
    group.add_argument("--code", choices=list(dead_letters.MESSAGES), metavar="C", **any_of)
    group.add_argument("--stage", choices=STAGES, **any_of)
    group.add_argument("--since", type=point_in_time, metavar="T", help=f"failed then: {FORM}")
    group.add_argument("--until", type=point_in_time, metavar="T", help="failed before then")
    group.add_argument("--id", metavar="ID", help="dead_letter_id", **any_of)
    group.add_argument("--ids-from", type=Path, metavar="FILE", help="dead_letter_ids, one a line")
    group.add_argument(
        "--again", action="store_true", help="also what was replayed already, or failed anew since"
    )


def selection(options: argparse.Namespace) -> Selection:
    """Return what the options choose.

    Raises:
        OSError: The file of ids cannot be read.
    """
    ids = list(options.id)
    if options.ids_from:
        ids += options.ids_from.read_text().split()
        # An empty list must not mean all.
        ids = ids or [""]
    return Selection(
        resources=tuple(options.resource),
        codes=tuple(options.code),
        stages=tuple(options.stage),
        since=options.since,
        until=options.until,
        ids=tuple(ids),
        again=options.again,
    )


class DeadLetters:
    """The dead letters of one system."""

    def __init__(self, connection: Connection) -> None:
        self._client: bigquery.Client = connection.bigquery
        self._dataset = f"{connection.project}.{connection.ops_dataset}"

    def chosen(self, selection: Selection) -> list[Chosen]:
        """Return what is chosen, in the order in which it failed; payloads stay where they are."""
        where, parameters = _conditions(selection)
        states = "TRUE" if selection.again else "state.state = 'open'"
        # Repeats of a row hold the same payload.
        sql = f"""
            SELECT state.dead_letter_id, state.resource, state.error_code,
              DATE(state.failed_ts) AS day, letters.size
            FROM `{self._dataset}.dead_letters_state` AS state
            JOIN (
              SELECT dead_letter_id, MAX(BYTE_LENGTH(payload)) AS size
              FROM `{self._dataset}.dead_letters` WHERE {where} GROUP BY dead_letter_id
            ) AS letters ON letters.dead_letter_id = state.dead_letter_id
            WHERE {states}
            ORDER BY state.failed_ts, state.dead_letter_id
        """  # noqa: S608  # our own names; values are parameters
        return [
            Chosen(row.dead_letter_id, row.resource, row.error_code, row.day, row.size)
            for row in self._rows(sql, parameters)
        ]

    def read(self, chosen: Sequence[Chosen]) -> Iterator[DeadLetterRow]:
        """Yield these whole, by resource and day: one partition and cluster a query."""
        groups: dict[tuple[str, date], set[str]] = {}
        for letter in chosen:
            groups.setdefault((letter.resource, letter.day), set()).add(letter.id)
        for (resource, day), ids in sorted(groups.items()):
            yield from self._read_day(resource, day, ids)

    def _read_day(self, resource: str, day: date, ids: set[str]) -> Iterator[DeadLetterRow]:
        # The ids are looked for here: they may be more than a query takes.
        sql = f"""
            SELECT dead_letter_id, error_code, payload, TO_JSON_STRING(attributes) AS attributes,
              message_id, position, publish_ts
            FROM `{self._dataset}.dead_letters`
            WHERE resource = @resource AND failed_ts >= @since AND failed_ts < @until
        """  # noqa: S608  # our own names; values are parameters
        midnight = datetime.combine(day, time(), UTC)
        parameters = {
            "resource": ("STRING", resource),
            "since": ("TIMESTAMP", midnight),
            "until": ("TIMESTAMP", midnight + timedelta(days=1)),
        }
        left = set(ids)
        for row in self._rows(sql, parameters):
            if row.dead_letter_id not in left:
                continue
            left.remove(row.dead_letter_id)  # a repeat of the row comes later
            yield DeadLetterRow(
                id=row.dead_letter_id,
                resource=resource,
                code=row.error_code,
                day=day,
                payload=row.payload,
                attributes=orjson.loads(row.attributes),
                message_id=row.message_id,
                position=row.position or 0,
                publish_ts=row.publish_ts,
            )

    def _rows(self, sql: str, parameters: Mapping[str, tuple[str, Any]]) -> Any:
        config = bigquery.QueryJobConfig(
            query_parameters=[
                bigquery.ArrayQueryParameter(name, kind, list(value))
                if isinstance(value, tuple)
                else bigquery.ScalarQueryParameter(name, kind, value)
                for name, (kind, value) in parameters.items()
            ]
        )
        return self._client.query(sql, job_config=config).result(page_size=_PAGE_ROWS)


def _conditions(selection: Selection) -> tuple[str, dict[str, tuple[str, Any]]]:
    """Return the condition on the table's rows and its parameters."""
    parameters: dict[str, tuple[str, Any]] = {}
    conditions = ["TRUE"]
    lists = {
        "resource": selection.resources,
        "error_code": selection.codes,
        "stage": selection.stages,
        "dead_letter_id": selection.ids,
    }
    for column, values in lists.items():
        if values:
            conditions.append(f"{column} IN UNNEST(@{column})")
            parameters[column] = ("STRING", values)
    for name, sign, moment in (("since", ">=", selection.since), ("until", "<", selection.until)):
        if moment:
            conditions.append(f"failed_ts {sign} @{name}")
            parameters[name] = ("TIMESTAMP", moment)
    return " AND ".join(conditions), parameters
