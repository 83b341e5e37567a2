"""The Storage Write service: bqemulator's streams behind a strict AppendRows, with faults."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from typing import Any, Final

import grpc

from emulators import fault_server
from emulators.bigquery import cures
from emulators.bigquery.append_rows import Connection, Refusal, Response
from emulators.faults import NO_FAULT, Fault, FaultInjector

GRPC_SERVICE: Final = "google.cloud.bigquery.storage.v1.BigQueryWrite"
APPEND_ROWS: Final = "AppendRows"
# A fault's method for an error inside the stream, where APPEND_ROWS ends the call.
IN_STREAM: Final = "AppendRows.response"
METHODS: Final = (
    APPEND_ROWS,
    IN_STREAM,
    "CreateWriteStream",
    "GetWriteStream",
    "FinalizeWriteStream",
    "BatchCommitWriteStreams",
    "FlushRows",
)
SERVICE: Final = "bigquery_write"


class StrictWriteHandler(cures.WriteHandler):
    """Takes over AppendRows; the other methods are bqemulator's.

    `executor` runs the work of each request: decoding and DuckDB would hold up the event loop.
    """

    def __init__(self, context: Any, faults: FaultInjector, executor: Executor) -> None:
        super().__init__(context)
        self._faults = faults
        self._executor = executor

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a call; gRPC asks for each."""
        if handler_call_details.method == f"/{GRPC_SERVICE}/{APPEND_ROWS}":
            return grpc.stream_stream_rpc_method_handler(self._serve)
        return super().service(handler_call_details)

    async def _serve(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        connection = Connection(self, self._ctx, self._faults)
        async for request in requests:
            fault, error = self._take_faults()
            await fault_server.before(fault, context)
            try:
                response = await self._answer(connection, request, error)
            except Refusal as refusal:
                details = (("grpc-status-details-bin", refusal.status().SerializeToString()),)
                await context.abort(refusal.code, refusal.message, details)
            await fault_server.after(fault, context)
            yield response.SerializeToString()

    def _take_faults(self) -> tuple[Fault, Fault]:
        """What befalls the call at this request, and what is to be its answer."""
        fault = self._faults.take(SERVICE, APPEND_ROWS)
        # A rule for every method has struck by now, and strikes once.
        error = self._faults.take(SERVICE, IN_STREAM) if fault == NO_FAULT else NO_FAULT
        # Without a status there is nothing to answer: the rule slows the call or drops it.
        if error.status is None and error != NO_FAULT:
            return error, NO_FAULT
        return fault, error

    async def _answer(self, connection: Connection, request: bytes, fault: Fault) -> Any:
        await asyncio.sleep(fault.latency)
        error = Response()
        if fault.status is not None:
            error.error.code = fault.status.value[0]
            error.error.message = f"injected fault: {fault.status.name}"
            if not fault.after_effect:
                return error
        loop = asyncio.get_running_loop()
        response = await loop.run_in_executor(self._executor, connection.answer, request)
        return response if fault.status is None else error
