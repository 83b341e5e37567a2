"""The REST table resource where bqemulator's is not BigQuery's: counts, views, changed schemas."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from http import HTTPStatus
from typing import Any

from emulators.bigquery import cures
from emulators.bigquery.asgi import (
    App,
    BadBodyError,
    Receive,
    Scope,
    Send,
    ask,
    error_body,
    read_body,
    respond,
)


class SchemaChangeError(ValueError):
    """A new schema that the table cannot be brought to."""


class TableResource:
    """Serves `tables.get`, `.insert`, `.patch` and `.update` before bqemulator's app."""

    def __init__(self, app: App, context: Any) -> None:
        self._app = app
        self._catalog = context.catalog
        self._engine = context.engine

    async def serve(
        self, method: str, names: Sequence[str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """`names` are project, dataset and, but for an insert, table."""
        changes = method in ("tables.patch", "tables.update")
        try:
            body = await read_body(scope, receive)
            given = json.loads(body) if body else {}
            before = self._catalog.get_table(*names) if changes else None
            if before is not None:
                _check_change(before.schema_.fields, given)
        except (BadBodyError, ValueError) as error:
            await respond(send, 400, error_body(400, "invalid", str(error)))
            return
        # An append that sees the new schema waits until the table has it.
        with self._engine.changing if changes else nullcontext():
            status, resource = await ask(self._app, scope, body)
            if before is not None and status == HTTPStatus.OK:
                self._add_columns(names, before)
        if status == HTTPStatus.OK and isinstance(resource, dict):
            reference = resource["tableReference"]
            names = tuple(reference[key] for key in ("projectId", "datasetId", "tableId"))
            table = self._catalog.get_table(*names)
            if table is not None:
                self._complete(names, table, resource)
        await respond(send, status, resource)

    def _complete(self, names: Sequence[str], table: Any, resource: dict[str, Any]) -> None:
        if table.view_query:
            # bqemulator keeps a view's query and shows it nowhere.
            resource["view"] = {"query": table.view_query, "useLegacySql": False}
            return
        if table.table_type == "TABLE":
            found = self._engine.execute(f"SELECT count(*) FROM {cures.table_ref(names)}")  # noqa: S608 - quoted by bqemulator
            resource["numRows"] = str(found.fetchone()[0])

    def _add_columns(self, names: Sequence[str], before: Any) -> None:
        """Completes what bqemulator does in its catalog alone: the next append would fail."""
        old = {field.name for field in before.schema_.fields}
        after = self._catalog.get_table(*names)
        for name, kind in cures.duckdb_columns(after.schema_.fields):
            if name not in old:
                table = cures.table_ref(names)
                self._engine.execute(f'ALTER TABLE {table} ADD COLUMN "{name}" {kind}')


def _check_change(fields: Sequence[Any], given: Any) -> None:
    """Columns may be added and REQUIRED may be relaxed, at the top level; nothing else.

    https://cloud.google.com/bigquery/docs/managing-table-schemas. BigQuery also takes new fields
    inside of records, which DuckDB cannot add to a list of them.
    """
    schema = given.get("schema") if isinstance(given, dict) else None
    if not isinstance(schema, dict) or not schema.get("fields"):
        return
    wanted = {field["name"].lower(): field for field in schema["fields"]}
    for field in fields:
        new = wanted.pop(field.name.lower(), None)
        if new is None:
            raise SchemaChangeError(f"Provided Schema does not match Table: no {field.name}")
        mode = new.get("mode") or "NULLABLE"
        relaxed = field.mode == "REQUIRED" and mode == "NULLABLE"
        if mode != field.mode and not relaxed:
            raise SchemaChangeError(f"Field {field.name} has changed mode to {mode}")
        if _kinds([new]) != _kinds([cures.rest_field(field)]):
            raise SchemaChangeError(f"Field {field.name} has changed type")
    for new in wanted.values():
        if new.get("mode") == "REQUIRED":
            message = f"Cannot add required fields to an existing schema: {new['name']}"
            raise SchemaChangeError(message)


_SAME = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "STRUCT": "RECORD"}


def _kinds(fields: Sequence[Any]) -> list[Any]:
    """Names and types, nested, without what may change."""
    return [
        (
            field["name"].lower(),
            _SAME.get(field["type"].upper(), field["type"].upper()),
            _kinds(field.get("fields") or []),
        )
        for field in fields
    ]
