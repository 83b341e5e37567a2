"""AppendRows as BigQuery serves it: it refuses what the table cannot hold, and says which row.

The behaviour is that of https://cloud.google.com/bigquery/docs/write-api and of the comments in
google/cloud/bigquery/storage/v1/storage.proto. What concerns the connection (a stream that is not
there) ends the call; what concerns one request is answered in it, and the connection goes on.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

import duckdb
import grpc
from google.cloud.bigquery_storage_v1 import types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # It ships no types.

from emulators.bigquery.table_schema import table_schema
from emulators.bigquery.writer_schema import (
    ExtraFieldsError,
    RowDecoder,
    RowError,
    WriterSchemaError,
)
from emulators.faults import FaultInjector
from schemas.limits import STORAGE_WRITE_MAX_REQUEST_BYTES

# BigQuery leaves the end of a long list out as well.
MAX_ROW_ERRORS: Final = 1_000
ROW_ERRORS_MESSAGE: Final = (
    "Errors found while processing rows. Please refer to the row_errors field for details. "
    "The list may not be complete because of the size limitations."
)

Request = types.AppendRowsRequest.pb()
Response = types.AppendRowsResponse.pb()
StorageError = types.StorageError.pb()
StorageErrorCode = types.StorageError.StorageErrorCode

_log = logging.getLogger(__name__)


class Refusal(Exception):  # noqa: N818 - It is an answer of the service, not a fault of it.
    """Why a request is refused; with `ends_call`, the call ends with it."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        entity: str = "",
        reason: Any = None,  # types.StorageError.StorageErrorCode
        *,
        ends_call: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = f"{message} Entity: {entity}" if entity else message
        self.entity = entity
        self.reason = reason
        self.ends_call = ends_call

    def status(self) -> Status:
        """As google.rpc.Status, with BigQuery's own code among its details."""
        status = Status(code=self.code.value[0], message=self.message)
        if self.reason is not None:
            detail = StorageError(
                code=int(self.reason), entity=self.entity, error_message=self.message
            )
            status.details.add().Pack(detail)
        return status


class Connection:
    """One AppendRows call: remembers the stream and the schema that its writer named last.

    `storage` is bqemulator's handler, which keeps the streams and writes the rows.
    """

    def __init__(self, storage: Any, context: Any, faults: FaultInjector) -> None:
        self._storage = storage
        self._catalog = context.catalog
        self._faults = faults
        self._stream = ""
        self._writer: Any = None
        self._decoder: RowDecoder | None = None
        self._schema: Any = None  # The table's, which the decoder was built for.

    def answer(self, serialized: bytes) -> Any:
        """The response to one serialized request; raises Refusal where the call is to end."""
        try:
            return self._append(serialized)
        except Refusal as refusal:
            if refusal.ends_call:
                raise
            return Response(error=refusal.status(), write_stream=self._stream)
        except duckdb.Error as error:
            # Its message may hold a value of a row, which may be PHI: only its type is logged.
            _log.error("DuckDB failed to append: %s", type(error).__name__)
            status = Refusal(grpc.StatusCode.INTERNAL, "The rows could not be stored").status()
            return Response(error=status, write_stream=self._stream)

    def _append(self, serialized: bytes) -> Any:
        if len(serialized) > STORAGE_WRITE_MAX_REQUEST_BYTES:
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"AppendRows request too large: {len(serialized)} "
                f"limit {STORAGE_WRITE_MAX_REQUEST_BYTES}",
                self._stream,
            )
        request = Request.FromString(serialized)
        # The first request names the stream. Later ones may leave it out.
        changed = request.write_stream not in ("", self._stream)
        self._stream = request.write_stream or self._stream
        stream = self._find_stream()
        table = self._catalog.get_table(stream.project_id, stream.dataset_id, stream.table_id)
        if table is None:
            raise self._missing("Requested entity was not found.", "TABLE_NOT_FOUND")
        decoder, new_schema = self._prepare(request, table, changed=changed)
        rows = self._decode(decoder, request.proto_rows.rows.serialized_rows, stream.table_id)
        if isinstance(rows, Response):
            return rows
        offset = request.offset.value if request.HasField("offset") else None
        appended = self._storage.perform_append(stream, decoder.table(rows), offset)
        response = Response.FromString(appended)
        if new_schema:
            updated = types.TableSchema.pb(table_schema(table.schema_.fields))
            response.updated_schema.CopyFrom(updated)
        return response

    def _find_stream(self) -> Any:
        if not self._stream:
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                "The first request on a connection must name its write_stream",
                ends_call=True,
            )
        try:
            stream = self._storage.find_stream(self._stream)
        except ValueError:
            code = grpc.StatusCode.INVALID_ARGUMENT
            raise Refusal(code, "Invalid stream name.", self._stream, ends_call=True) from None
        if stream is None:
            raise self._missing("Requested entity was not found.", "STREAM_NOT_FOUND")
        return stream

    def _missing(self, message: str, reason: str) -> Refusal:
        return Refusal(
            grpc.StatusCode.NOT_FOUND,
            message,
            self._stream,
            getattr(StorageErrorCode, reason),
            ends_call=True,
        )

    def _prepare(self, request: Any, table: Any, *, changed: bool) -> tuple[RowDecoder, bool]:
        """The decoder for this request, and whether the writer does not know the table's schema."""
        if request.WhichOneof("rows") == "arrow_rows":
            raise Refusal(grpc.StatusCode.UNIMPLEMENTED, "The emulator takes rows as protobuf only")
        renewed = request.proto_rows.HasField("writer_schema")
        if renewed:
            self._writer = request.proto_rows.writer_schema.proto_descriptor
        elif self._writer is None or changed:
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                "The first request for a stream must carry its writer_schema",
                self._stream,
            )
        stale = self._schema is not table.schema_
        if self._decoder is None or renewed or stale:
            self._decoder = None  # So that a refused schema is not used by the next request.
            self._decoder = self._build_decoder(table)
        told = self._schema is None or changed or not stale or self._schema == table.schema_
        self._schema = table.schema_
        return self._decoder, not told

    def _build_decoder(self, table: Any) -> RowDecoder:
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        try:
            return RowDecoder(table.schema_.fields, self._writer)
        except ExtraFieldsError as error:
            reason = StorageErrorCode.SCHEMA_MISMATCH_EXTRA_FIELDS
            raise Refusal(invalid, str(error), self._stream, reason) from None
        except WriterSchemaError as error:
            raise Refusal(invalid, str(error), self._stream) from None

    def _decode(
        self, decoder: RowDecoder, serialized_rows: Sequence[bytes], table_id: str
    ) -> list[dict[str, Any]] | Any:
        """The rows; or, if any is bad, the response that names the bad ones and stores none."""
        rows: list[dict[str, Any]] = []
        errors: list[tuple[int, str]] = []
        for index, serialized in enumerate(serialized_rows):
            try:
                row = decoder.decode(serialized)
            except RowError as error:
                errors.append((index, str(error)))
                continue
            if self._faults.refuses_row(table_id, row):
                errors.append((index, "injected fault: the row is refused"))
            rows.append(row)
        if not errors:
            return rows
        refusal = Refusal(grpc.StatusCode.INVALID_ARGUMENT, ROW_ERRORS_MESSAGE, self._stream)
        response = Response(error=refusal.status(), write_stream=self._stream)
        for index, message in errors[:MAX_ROW_ERRORS]:
            response.row_errors.add(
                index=index, code=int(types.RowError.RowErrorCode.FIELDS_ERROR), message=message
            )
        return response
