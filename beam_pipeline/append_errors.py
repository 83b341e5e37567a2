"""Tells what BigQuery's refusals mean: a verdict on rows, or a trouble that is not the data's.

Only BigQuery's enum codes are kept: its texts can quote a row.
https://cloud.google.com/bigquery/docs/write-api#error_handling
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import grpc
from google.cloud.bigquery_storage_v1 import types
from google.rpc import status_pb2  # type: ignore[import-untyped]  # ships no types

_StorageError = types.StorageError.pb()
_STORAGE_CODES: Final = types.StorageError.StorageErrorCode
_ROW_CODES: Final = types.RowError.RowErrorCode
_STATUS_NAMES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
# Where gRPC carries the google.rpc.Status of a call that ended.
_STATUS_DETAILS: Final = "grpc-status-details-bin"


class _Transient(NamedTuple):
    """The gRPC codes after which the same request can succeed a moment later."""

    UNAVAILABLE: str = "UNAVAILABLE"  # the server or the way to it is down
    DEADLINE_EXCEEDED: str = "DEADLINE_EXCEEDED"  # no answer in time, ours or the server's
    INTERNAL: str = "INTERNAL"  # "server side errors that can be retried"
    ABORTED: str = "ABORTED"  # an idle or moved stream was closed; an earlier request failed
    RESOURCE_EXHAUSTED: str = "RESOURCE_EXHAUSTED"  # a quota, which refills
    CANCELLED: str = "CANCELLED"  # the connection ended under the request
    UNKNOWN: str = "UNKNOWN"  # a proxy's or a crashed server's answer


TRANSIENT: Final = _Transient()


class AppendError(Exception):
    """The rows of a request are not in the table, or it is not known; nothing of it is."""


class RowsRefusedError(AppendError):
    """BigQuery refused these rows of the request, and wrote none of it.

    Attributes:
        codes: BigQuery's code for each bad row, by the row's index in the request.
    """

    def __init__(self, codes: Mapping[int, str]) -> None:
        super().__init__(f"{len(codes)} row(s) refused")
        self.codes = codes


class RequestRefusedError(AppendError):
    """BigQuery refused the request as a whole (INVALID_ARGUMENT) and named no row."""

    def __init__(self) -> None:
        super().__init__("the request was refused, no row was named")


class AppendUnavailableError(AppendError):
    """The request failed for a reason that is not its rows'.

    Attributes:
        code: gRPC's or BigQuery's name of the reason.
        is_transient: Whether waiting helps. If not, someone has to mend the table, its schema or a
            permission; the rows wait for it all the same, in Pub/Sub.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
        self.is_transient = code in TRANSIENT


def error_of_response(response: Any, row_count: int) -> AppendError | None:
    """Return what an answer says went wrong with a request, if anything.

    Args:
        response: An AppendRowsResponse, as the protobuf message.
        row_count: How many rows the request had.
    """
    codes = {
        error.index: _row_code(error.code)
        for error in response.row_errors
        if 0 <= error.index < row_count
    }
    if codes:
        return RowsRefusedError(codes)
    if response.row_errors:  # of rows that are not ours
        return RequestRefusedError()
    return _error_of_status(response.error) if response.error.code else None


def error_of_call(error: grpc.RpcError) -> AppendError:
    """Return why an AppendRows call ended."""
    call: Any = error  # the error of a call in progress is the call itself
    status = status_pb2.Status(code=call.code().value[0])
    for name, value in call.trailing_metadata() or ():
        if name == _STATUS_DETAILS:
            status.MergeFromString(value)
    return _error_of_status(status)


def _row_code(code: int) -> str:
    # A code that is newer than this client has no name here.
    return _ROW_CODES(code).name if code in iter(_ROW_CODES) else f"ROW_ERROR_CODE_{code}"


def _error_of_status(status: Any) -> AppendError:
    for detail in status.details:
        # BigQuery names a fault of the table, its stream, schema or encryption key this way.
        if detail.Is(_StorageError.DESCRIPTOR):
            storage_error = _StorageError()
            detail.Unpack(storage_error)
            if storage_error.code in iter(_STORAGE_CODES) and storage_error.code:
                return AppendUnavailableError(_STORAGE_CODES(storage_error.code).name)
    name = _STATUS_NAMES.get(status.code, TRANSIENT.UNKNOWN)
    return RequestRefusedError() if name == "INVALID_ARGUMENT" else AppendUnavailableError(name)
