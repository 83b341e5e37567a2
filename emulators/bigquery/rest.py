"""What stands before bqemulator's REST: faults, strict inserts, whole table resources."""

import asyncio
import re
from http import HTTPStatus
from typing import Any, Final

import grpc

from emulators.bigquery import discovery
from emulators.bigquery.asgi import App, Message, Receive, Scope, Send, error_body, respond
from emulators.bigquery.insert_all import InsertAll
from emulators.bigquery.table_resource import TableResource
from emulators.connections import break_connection
from emulators.faults import Fault, FaultInjector

SERVICE: Final = "bigquery"
_PREFIX: Final = "/bigquery/v2/projects/{projectId}"
_DATASETS: Final = f"{_PREFIX}/datasets"
_TABLES: Final = f"{_DATASETS}/{{datasetId}}/tables"
_JOBS: Final = f"{_PREFIX}/jobs"
# By the names of https://cloud.google.com/bigquery/docs/reference/rest
ROUTES: Final = {
    "projects.list": ("GET", "/bigquery/v2/projects"),
    "datasets.list": ("GET", _DATASETS),
    "datasets.insert": ("POST", _DATASETS),
    "datasets.get": ("GET", f"{_DATASETS}/{{datasetId}}"),
    "datasets.patch": ("PATCH", f"{_DATASETS}/{{datasetId}}"),
    "datasets.delete": ("DELETE", f"{_DATASETS}/{{datasetId}}"),
    "tables.list": ("GET", _TABLES),
    "tables.insert": ("POST", _TABLES),
    "tables.get": ("GET", f"{_TABLES}/{{tableId}}"),
    "tables.patch": ("PATCH", f"{_TABLES}/{{tableId}}"),
    "tables.update": ("PUT", f"{_TABLES}/{{tableId}}"),
    "tables.delete": ("DELETE", f"{_TABLES}/{{tableId}}"),
    "tabledata.insertAll": ("POST", f"{_TABLES}/{{tableId}}/insertAll"),
    "tabledata.list": ("GET", f"{_TABLES}/{{tableId}}/data"),
    "jobs.query": ("POST", f"{_PREFIX}/queries"),
    "jobs.getQueryResults": ("GET", f"{_PREFIX}/queries/{{jobId}}"),
    "jobs.insert": ("POST", _JOBS),
    "jobs.list": ("GET", _JOBS),
    "jobs.get": ("GET", f"{_JOBS}/{{jobId}}"),
    "jobs.cancel": ("POST", f"{_JOBS}/{{jobId}}/cancel"),
}
_PATTERNS: Final = [
    (name, verb, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)))
    for name, (verb, path) in ROUTES.items()
]
# HTTP status and reason of an injected gRPC status:
# https://cloud.google.com/bigquery/docs/error-messages
HTTP_ERRORS: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: (400, "invalid"),
    grpc.StatusCode.FAILED_PRECONDITION: (400, "invalid"),
    grpc.StatusCode.OUT_OF_RANGE: (400, "invalid"),
    grpc.StatusCode.UNAUTHENTICATED: (401, "authError"),
    grpc.StatusCode.PERMISSION_DENIED: (403, "accessDenied"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (403, "quotaExceeded"),
    grpc.StatusCode.NOT_FOUND: (404, "notFound"),
    grpc.StatusCode.ALREADY_EXISTS: (409, "duplicate"),
    grpc.StatusCode.ABORTED: (409, "aborted"),
    grpc.StatusCode.CANCELLED: (499, "stopped"),
    grpc.StatusCode.UNIMPLEMENTED: (501, "notImplemented"),
    grpc.StatusCode.UNAVAILABLE: (503, "backendError"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (504, "timeout"),
}
INTERNAL_ERROR: Final = (500, "internalError")


class StrictRest:
    """Wraps bqemulator's ASGI app; `context` is bqemulator's, with its catalog and its engine."""

    def __init__(self, app: App, context: Any, faults: FaultInjector) -> None:
        self._app = app
        self._faults = faults
        self._insert_all = InsertAll(app, context, faults)
        self._tables = TableResource(app, context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection's scope."""
        if scope["type"] == "http" and scope["path"] in discovery.PATHS:
            root = "http://" + dict(scope["headers"])[b"host"].decode()
            await respond(send, HTTPStatus.OK, discovery.document(root, ROUTES))
            return
        name, names = _route(scope)
        if name is None:
            await self._app(scope, receive, send)
            return
        fault = self._faults.take(SERVICE, name)
        await asyncio.sleep(fault.latency)
        if fault.fails and not fault.after_effect:
            await _fail(fault, scope, send)
        elif fault.fails:
            await self._serve(name, names, scope, receive, _swallow)
            await _fail(fault, scope, send)
        else:
            await self._serve(name, names, scope, receive, send)

    async def _serve(
        self, name: str, names: tuple[str, ...], scope: Scope, receive: Receive, send: Send
    ) -> None:
        if name == "tabledata.insertAll":
            await self._insert_all.serve(names, scope, receive, send)
        elif name in ("tables.get", "tables.insert", "tables.patch", "tables.update"):
            await self._tables.serve(name, names, scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _route(scope: Scope) -> tuple[str | None, tuple[str, ...]]:
    if scope["type"] == "http":
        for name, verb, pattern in _PATTERNS:
            if scope["method"] == verb and (match := pattern.fullmatch(scope["path"])):
                return name, match.groups()
    return None, ()


async def _fail(fault: Fault, scope: Scope, send: Send) -> None:
    if fault.drop:
        break_connection(*scope["client"])
        return
    code, reason = HTTP_ERRORS.get(fault.status or grpc.StatusCode.UNKNOWN, INTERNAL_ERROR)
    await respond(send, code, error_body(code, reason, "injected fault"))


async def _swallow(_: Message) -> None:
    """Takes an answer that is not to arrive."""
