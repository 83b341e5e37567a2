"""`tabledata.insertAll` as BigQuery serves it: unknown, missing and unfit values are row errors.

https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll; bqemulator takes the
rows that are left.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from emulators.bigquery import values
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
from emulators.bigquery.values import BadValueError
from emulators.faults import FaultInjector

# https://cloud.google.com/bigquery/quotas#streaming_inserts
MAX_REQUEST_BYTES: Final = 10_000_000
MAX_ROWS: Final = 50_000
RECORDS: Final = ("RECORD", "STRUCT")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class InsertAll:
    """Serves the method before bqemulator's app."""

    def __init__(self, app: App, context: Any, faults: FaultInjector) -> None:
        self._app = app
        self._catalog = context.catalog
        self._faults = faults

    async def serve(self, names: Sequence[str], scope: Scope, receive: Receive, send: Send) -> None:
        """`names` are project, dataset and table."""
        try:
            body = await read_body(scope, receive)
            request = json.loads(body)
            rows = request["rows"]
            if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
                raise BadBodyError("rows is a list of objects")
        except (KeyError, TypeError, ValueError):
            await respond(send, 400, error_body(400, "invalid", "The request cannot be read"))
            return
        if len(body) > MAX_REQUEST_BYTES:
            message = "Request payload size exceeds the limit: 10 MB."
            await respond(send, 413, error_body(413, "invalid", message))
            return
        if len(rows) > MAX_ROWS:
            await respond(send, 400, error_body(400, "invalid", f"too many rows: over {MAX_ROWS}"))
            return
        table = self._catalog.get_table(*names)
        # Where there is no table, bqemulator says so.
        good, errors = (rows, {}) if table is None else self._check(table, request)
        if not good:
            await respond(send, 200, _answer(errors))
            return
        forwarded = json.dumps({**request, "rows": good, "skipInvalidRows": False}).encode()
        status, answer = await ask(self._app, scope, forwarded)
        await respond(send, status, _answer(errors) if status == HTTPStatus.OK else answer)

    def _check(
        self, table: Any, request: Mapping[str, Any]
    ) -> tuple[list[Any], dict[int, list[dict[str, str]]]]:
        """The rows to write, and the errors of the others by index."""
        ignore_unknown = request.get("ignoreUnknownValues") is True
        good: list[Any] = []
        errors: dict[int, list[dict[str, str]]] = {}
        for index, row in enumerate(request["rows"]):
            found: list[dict[str, str]] = []
            fields = table.schema_.fields
            read = read_record(fields, row.get("json"), "", found, ignore_unknown=ignore_unknown)
            if not found and read and self._faults.refuses_row(table.table_id, read):
                found.append(_error("invalid", "", "injected fault: the row is refused"))
            if found:
                errors[index] = found
            else:
                good.append({**row, "json": read})
        if errors and request.get("skipInvalidRows") is not True:
            stopped = [_error("stopped", "", "")]
            return [], {i: errors.get(i, stopped) for i in range(len(request["rows"]))}
        return good, errors


def _answer(errors: Mapping[int, Sequence[Mapping[str, str]]]) -> dict[str, Any]:
    answer: dict[str, Any] = {"kind": "bigquery#tableDataInsertAllResponse"}
    if errors:
        answer["insertErrors"] = [{"index": i, "errors": list(e)} for i, e in errors.items()]
    return answer


def _error(reason: str, location: str, message: str) -> dict[str, str]:
    return {"reason": reason, "location": location, "debugInfo": "", "message": message}


def read_record(
    fields: Sequence[Any],
    value: Any,
    prefix: str,
    errors: list[dict[str, str]],
    *,
    ignore_unknown: bool,
) -> dict[str, Any] | None:
    """A record in the form that bqemulator reads right; what is wrong with it goes to `errors`."""
    if not isinstance(value, dict):
        errors.append(_error("invalid", prefix.rstrip("."), "This field is a record."))
        return None
    known = {field.name.lower(): field for field in fields}
    given: dict[str, Any] = {}
    for name, item in value.items():
        field = known.get(str(name).lower())
        if field is not None:
            given[field.name] = item
        elif not ignore_unknown:
            path = f"{prefix}{name}"
            errors.append(_error("invalid", path, f"no such field: {path}."))
    read: dict[str, Any] = {}
    for field in fields:
        path = f"{prefix}{field.name}"
        item = given.get(field.name)
        if field.mode == "REPEATED":
            items = [] if item is None else item
            if not isinstance(items, list):
                errors.append(_error("invalid", path, f"Field {path} is repeated: not an array."))
                continue
            read[field.name] = [_read(field, i, path, errors, ignore_unknown) for i in items]
        elif item is not None:
            read[field.name] = _read(field, item, path, errors, ignore_unknown)
        elif field.mode == "REQUIRED":
            errors.append(_error("invalid", path, f"Missing required field: {path}."))
    return read


def _read(
    field: Any, item: Any, path: str, errors: list[dict[str, str]], ignore_unknown: bool
) -> Any:
    kind = field.type.upper()
    if kind in RECORDS:
        return read_record(field.fields, item, f"{path}.", errors, ignore_unknown=ignore_unknown)
    try:
        return READERS[kind](item)
    except BadValueError as error:
        # BigQuery's own message ends with the value; here that may be PHI.
        text = f"Cannot convert value to {field.type.lower()} (bad value): {error}"
        errors.append(_error("invalid", path, text))
        return None


def _string(item: Any) -> str:
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, str | int | float):
        return str(item)
    raise BadValueError("not a string")


def _integer(item: Any) -> int:
    number = values.number(_no_bool(item), "INTEGER")
    if number != number.to_integral_value():
        raise BadValueError("not a whole number")
    return values.integer(int(number))


def _float(item: Any) -> float:
    if isinstance(item, str) and item.lower() in ("nan", "inf", "+inf", "-inf"):
        return float(item)
    return float(values.number(_no_bool(item), "FLOAT"))


def _boolean(item: Any) -> bool:
    if isinstance(item, bool):
        return item
    if isinstance(item, str) and item.lower() in ("true", "false"):
        return item.lower() == "true"
    raise BadValueError("not a boolean")


def _numeric(item: Any) -> str:
    return str(values.numeric(_no_bool(item)))


def _json(item: Any) -> str:
    return values.json_document(item if isinstance(item, str) else json.dumps(item))


def _bytes(item: Any) -> Any:
    values.base64_bytes(item)
    return item


def _date(item: Any) -> str:
    return (_EPOCH + timedelta(days=values.date_literal(item))).date().isoformat()


def _datetime(item: Any) -> str:
    moment = _EPOCH + timedelta(microseconds=values.datetime_literal(item))
    return moment.replace(tzinfo=None).isoformat()


def _time(item: Any) -> str:
    return (_EPOCH + timedelta(microseconds=values.time_literal(item))).time().isoformat()


def _timestamp(item: Any) -> str:
    if isinstance(item, str):
        micros = values.timestamp_literal(item)
    else:  # Seconds, https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types
        seconds = values.number(_no_bool(item), "TIMESTAMP")
        micros = values.timestamp_micros(int(seconds * values.MICROS_PER_SECOND))
    return (_EPOCH + timedelta(microseconds=micros)).isoformat()


def _no_bool(item: Any) -> Any:
    if isinstance(item, bool) or not isinstance(item, str | int | float):
        raise BadValueError("not a number")
    return item


READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "STRING": _string,
    "BYTES": _bytes,
    "INTEGER": _integer,
    "INT64": _integer,
    "FLOAT": _float,
    "FLOAT64": _float,
    "BOOLEAN": _boolean,
    "BOOL": _boolean,
    "NUMERIC": _numeric,
    "DATE": _date,
    "TIMESTAMP": _timestamp,
    "DATETIME": _datetime,
    "TIME": _time,
    "JSON": _json,
}
