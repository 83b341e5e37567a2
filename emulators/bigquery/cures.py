"""The one place that reaches into bqemulator, so that an upgrade of it has one file to check.

Everything patched here is private to bqemulator 1.4.0; the version is checked before a patch is
made. Each patch says what goes wrong without it.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, Final

import structlog

BQEMULATOR_VERSION: Final = "1.4.0"
# The transport must carry more than the service takes: else gRPC refuses a request before
# the service can say why.
TRANSPORT_MAX_BYTES: Final = 64 * 1024 * 1024
STOP_GRACE_SECONDS: Final = 0.2

if (_found := version("bqemulator")) != BQEMULATOR_VERSION:
    message = (
        f"emulators.bigquery cures bqemulator {BQEMULATOR_VERSION}, but {_found} is installed: "
        "install the pinned version, or check every patch in emulators/bigquery/cures.py"
    )
    raise ImportError(message)

# Before bqemulator is imported, for its modules log while they load, and keep the logger that
# they then got. It logs SQL and DuckDB's messages, and both hold values of rows: nothing below
# CRITICAL is let through.
structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger("critical"),
    cache_logger_on_first_use=True,
)

import bqemulator.server  # noqa: E402 - structlog first, see above
import grpc  # noqa: E402 - as above
from bqemulator.api.routes import tabledata  # noqa: E402 - as above
from bqemulator.config import PersistenceMode, Settings  # noqa: E402 - as above
from bqemulator.domain.events import TableDataChanged  # noqa: E402 - as above
from bqemulator.grpc_api import write_servicer  # noqa: E402 - as above
from bqemulator.grpc_api.interceptors import (  # noqa: E402 - as above
    DomainErrorTranslationInterceptor,
)
from bqemulator.grpc_api.read_servicer import BigQueryReadHandler  # noqa: E402 - as above
from bqemulator.sql import catalog_schema  # noqa: E402 - as above
from bqemulator.storage.engine import DuckDBEngine  # noqa: E402 - as above
from bqemulator.storage.sql_identifiers import quoted_table_ref  # noqa: E402 - as above
from bqemulator.storage.type_map import bq_schema_to_duckdb_columns  # noqa: E402 - as above
from bqemulator.streaming.write_stream import (  # noqa: E402 - as above
    DEFAULT_STREAM_SUFFIX,
    parse_stream_name,
)
from bqemulator.versioning.snapshots import SnapshotManager  # noqa: E402 - as above
from duckdb_extensions import import_extension  # noqa: E402 - as above

from emulators.bigquery.table_schema import table_schema  # noqa: E402 - as above

__all__ = [
    "PersistenceMode",
    "Server",
    "Settings",
    "WriteHandler",
    "arrow_schema",
    "duckdb_columns",
    "load_spatial",
    "rest_field",
    "table_ref",
]

_APPENDED: Final = "__vitalflow_appended"

# Modules as Any, for names in them are replaced below.
_catalog_schema: Any = catalog_schema
_scalar_type = _catalog_schema._safe_bq_to_duckdb
_server: Any = bqemulator.server
_write: Any = write_servicer
_create_app = _server.create_app


class _Engine(DuckDBEngine):
    """Gives every thread its own DuckDB cursor.

    bqemulator shares one connection between its event loop (REST) and its threads (gRPC). A
    connection holds one result at a time, so an append would take away the result that a query
    has run and not yet fetched. `changing` keeps REST's statements and appends apart: DuckDB fails
    one of two transactions that change a table's data and its definition at once.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.changing = threading.RLock()
        self._owner = 0
        self._cursors = threading.local()

    async def start(self) -> None:
        # Set first: start itself asks for the connection. Its owner keeps it, for it holds what
        # a cursor would not see: temporary tables and registered data.
        self._owner = threading.get_ident()
        await super().start()

    @property
    def connection(self) -> Any:
        connection = super().connection
        if threading.get_ident() == self._owner:
            return connection
        cursor: Any = getattr(self._cursors, "cursor", None)
        if cursor is None:
            cursor = connection.cursor()
            cursor.execute("SET TimeZone = 'UTC'")
            self._cursors.cursor = cursor
        return cursor

    def execute(self, sql: str, parameters: list[Any] | None = None) -> Any:
        with self.changing:
            return super().execute(sql, parameters)


class _Snapshots(SnapshotManager):
    """Leaves out the copy of the whole table that bqemulator takes after every append.

    It has no setting for that, and it makes appending quadratic. `FOR SYSTEM_TIME AS OF` reads
    the present table in consequence; snapshots that a user asks for are still taken.
    """

    def capture(
        self, project_id: str, dataset_id: str, table_id: str, *, kind: str = "AUTO"
    ) -> Any:
        if kind == "AUTO":
            return None
        return super().capture(project_id, dataset_id, table_id, kind=kind)


class WriteHandler(write_servicer.BigQueryWriteHandler):
    """bqemulator's Storage Write service, with the parts of its AppendRows made callable."""

    def find_stream(self, name: str) -> Any:
        """The stream of this name, or None; ValueError if it is no stream's name."""
        project, dataset, table, stream_id = parse_stream_name(name)
        if stream_id == DEFAULT_STREAM_SUFFIX:
            return self.manager.get_or_create_default(project, dataset, table)
        return self.manager.get(name)

    def perform_append(self, stream: Any, rows: Any, offset: int | None) -> bytes:
        """Appends an Arrow table; returns a serialized AppendRowsResponse."""
        limit = self._ctx.settings.write_api_max_stream_rows
        response: bytes = self._perform_append(stream, rows, offset, limit)
        return response

    def _flush_to_target(self, stream: Any, rows: Any) -> None:
        """Inserts by name, and without the count that bqemulator keeps in its catalog.

        By position, a column added meanwhile would shift values. The count is one more write for
        each append, and loses those of concurrent writers; `tables.get` counts instead.
        """
        names = (stream.project_id, stream.dataset_id, stream.table_id)
        engine: Any = self._ctx.engine
        connection = engine.connection
        with engine.changing:
            connection.register(_APPENDED, rows)
            try:
                target = table_ref(names)
                connection.execute(f"INSERT INTO {target} BY NAME SELECT * FROM {_APPENDED}")  # noqa: S608 - quoted by bqemulator
            finally:
                connection.unregister(_APPENDED)
        self._ctx.events.publish(TableDataChanged(*names))


class _GrpcServer:
    """A gRPC server that stops at once: bqemulator's grace is two seconds a stop."""

    def __init__(self, server: Any) -> None:
        self._server = server

    async def start(self) -> None:
        await self._server.start()

    async def stop(self, grace: float) -> None:
        await self._server.stop(min(grace, STOP_GRACE_SECONDS))


class Server:
    """A bqemulator with our handlers in it; start and stop belong to one event loop."""

    def __init__(
        self,
        settings: Settings,
        write_handler: Callable[[Any], Any],
        wrap_app: Callable[[Any, Any], Any],
        interceptors: Sequence[Any],
    ) -> None:
        self._write_handler = write_handler
        self._wrap_app = wrap_app
        self._interceptors = (*interceptors, DomainErrorTranslationInterceptor())
        self._threads = ThreadPoolExecutor(32, thread_name_prefix="bigquery-grpc")
        _building.server = self
        self._server = _server.EmulatorServer(settings)

    async def start(self) -> None:
        """Returns when both ports answer."""
        # bqemulator finds these as names of its own module, at the time of the call.
        _building.server = self
        try:
            await self._server.start()
        finally:
            _building.server = None

    async def stop(self) -> None:
        """Ends both servers and closes the database."""
        await self._server.stop()
        self._threads.shutdown(wait=False)

    @property
    def rest_port(self) -> int:
        """The port that was bound."""
        return int(self._server.rest_port)

    @property
    def grpc_port(self) -> int:
        """The port that was bound."""
        return int(self._server.grpc_port)

    def build_app(self, context: Any) -> Any:
        """The REST app, wrapped."""
        return self._wrap_app(_create_app(context), context)

    def build_grpc_server(self, context: Any) -> tuple[Any, int]:
        """The Storage server: bqemulator's reads, our writes.

        bqemulator's own has a pool of about six threads, and each AppendRows connection would
        hold one for as long as it is open: the seventh table would wait for ever.
        """
        server = grpc.aio.server(
            self._threads,
            interceptors=self._interceptors,
            options=[
                ("grpc.max_receive_message_length", TRANSPORT_MAX_BYTES),
                ("grpc.max_send_message_length", TRANSPORT_MAX_BYTES),
                ("grpc.so_reuseport", 0),
            ],
        )
        handlers = (BigQueryReadHandler(context), self._write_handler(context))
        server.add_generic_rpc_handlers(handlers)
        settings = context.settings
        port = server.add_insecure_port(f"{settings.grpc_host}:{settings.grpc_port}")
        return _GrpcServer(server), port


class _Building(threading.local):
    server: Server | None = None


# Which of our servers this thread is starting, for the functions that bqemulator calls then.
_building = _Building()


def _our_app(context: Any) -> Any:
    if _building.server is None:
        return _create_app(context)
    return _building.server.build_app(context)


def _our_grpc_server(context: Any) -> tuple[Any, int]:
    if _building.server is None:
        raise RuntimeError("start bqemulator through emulators.bigquery.cures.Server")
    return _building.server.build_grpc_server(context)


def table_ref(names: Sequence[str]) -> str:
    """The quoted name of a table in DuckDB, of its project, dataset and table."""
    reference: str = quoted_table_ref(*names)
    return reference


def rest_field(field: Any) -> dict[str, Any]:
    """A catalog's field in REST's form, without its description."""
    return {
        "name": field.name,
        "type": field.type,
        "mode": field.mode,
        "fields": [rest_field(sub) for sub in field.fields],
    }


def arrow_schema(fields: Sequence[Any]) -> Any:
    """The Arrow schema of a table's catalog fields.

    bqemulator's Storage Write service drops the fields of RECORD columns, and nested rows then
    fail with "STRUCT with no fields".
    """
    return tabledata._build_arrow_schema([rest_field(field) for field in fields])


def duckdb_columns(fields: Sequence[Any]) -> list[tuple[str, str]]:
    """Name and DuckDB type of each of a table's catalog fields."""
    columns: list[tuple[str, str]] = bq_schema_to_duckdb_columns(
        [rest_field(field) for field in fields]
    )
    return columns


def _proto_schema(table: Any) -> Any:
    """A table's schema for GetWriteStream; bqemulator's leaves out what is nested."""
    return table_schema(table.schema_.fields)


def _type_for_annotation(bigquery_type: str) -> str:
    """The DuckDB type by which SQL is annotated.

    bqemulator has none for a RECORD and leaves its column out; `SELECT *` of a view is then
    expanded without it, wherever the query besides needs one of the translator's rules.
    """
    return _scalar_type(bigquery_type) or "STRUCT"


def load_spatial() -> None:
    """Loads DuckDB's extension `spatial` from its package: bqemulator would download it."""
    import_extension("spatial")


def _configure_logging(**_: Any) -> None:
    """In place of bqemulator's, which takes over the root logger of the whole process."""


_catalog_schema._safe_bq_to_duckdb = _type_for_annotation
_server.configure_logging = _configure_logging
_server.DuckDBEngine = _Engine
_server.SnapshotManager = _Snapshots
_server.create_app = _our_app
_server.build_grpc_server = _our_grpc_server
_write._table_meta_to_proto_schema = _proto_schema
_write._table_arrow_schema = lambda table: arrow_schema(table.schema_.fields)
