"""Appends rows to one BigQuery table over one long-lived Storage Write connection.

`google-cloud-bigquery-storage` does the transport; the connection is ours rather than its
`writer.AppendRowsStream`. That one notes a request as the next to be answered and then sends it,
with no lock around the two, so that threads can get each other's answers; a request that meets a
closing connection is never answered; it sleeps 80 ms to open and hides why an opening failed. A
connection here is two queues, one lock around both, and a thread that reads the answers.

The default stream is at least once: what is not acknowledged is sent again.
https://cloud.google.com/bigquery/docs/write-api-streaming
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import lru_cache
from queue import SimpleQueue
from typing import Any, Final, Protocol

import grpc
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import (
    BigQueryWriteGrpcTransport,
)
from google.protobuf.descriptor_pb2 import DescriptorProto

from beam_pipeline.append_errors import (
    AppendError,
    AppendUnavailableError,
    RowsRefusedError,
    error_of_call,
    error_of_response,
)

_Request = types.AppendRowsRequest
_RequestMessage = _Request.pb()
_TRACE_ID: Final = "vitalflow"
# gRPC would refuse messages over 4 MB; BigQuery takes more, see schemas.limits.
_UNLIMITED: Final = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Call(Protocol):
    """An open AppendRows call, as gRPC gives it."""

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the responses; a broken call raises grpc.RpcError."""

    def cancel(self) -> object:
        """End the call."""


# Opens an AppendRows call that sends these requests.
OpenCall = Callable[..., Call]


class Append:
    """One request on its way; its answer is awaited by `wait`."""

    def __init__(self, connection: "_Connection", row_count: int) -> None:
        self.row_count = row_count
        self._connection = connection
        self._future: Future[float] = Future()
        self.sent = time.monotonic()

    def wait(self, timeout: float) -> float:
        """Wait for the acknowledgement and return the seconds it took.

        Raises:
            AppendError: The rows are not in the table, or it is not known.
        """
        try:
            return self._future.result(timeout) - self.sent
        except TimeoutError:
            error = AppendUnavailableError("DEADLINE_EXCEEDED")
            # Whatever else waits on a connection that no longer answers is to be sent again too.
            self._connection.fail(error)
            raise error from None

    def succeed(self) -> None:
        """Tell that the rows are in the table."""
        self._future.set_result(time.monotonic())

    def fail(self, error: AppendError) -> None:
        """Tell that they are not, or that it is not known."""
        self._future.set_exception(error)


class WriteStream:
    """A table's default stream; safe to share between threads.

    Args:
        open_call: Opens an AppendRows call.
        table: `projects/<project>/datasets/<dataset>/tables/<table>`.
        descriptor: The rows' message.
    """

    def __init__(self, open_call: OpenCall, table: str, descriptor: DescriptorProto) -> None:
        self.table = table
        self.has_accepted = False
        self._open_call = open_call
        self._name = f"{table}/streams/_default"
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._connection: _Connection | None = None

    def append(self, rows: Sequence[bytes]) -> Append:
        """Send the rows as one request; a connection is opened where none is."""
        request = _RequestMessage(write_stream=self._name)
        request.proto_rows.rows.serialized_rows.extend(rows)
        with self._lock:
            if self._connection is None or self._connection.is_closed:
                self._connection = _Connection(self._open_call, self._name)
            if not self._connection.knows_schema:
                request.proto_rows.writer_schema.proto_descriptor.CopyFrom(self._descriptor)
                request.trace_id = _TRACE_ID
            return self._connection.send(request)

    def close(self) -> None:
        """End the connection; a later append opens another."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.fail(AppendUnavailableError("CANCELLED"))


class _Connection:
    """One AppendRows call, from its first request until it breaks; it is never reopened."""

    def __init__(self, open_call: OpenCall, stream_name: str) -> None:
        # Whether BigQuery has read rows by the writer's schema. A request that was refused as a
        # whole may have left none behind; without one, every later request would be refused as
        # well, and good rows would look guilty.
        self.knows_schema = False
        self._error: AppendError | None = None
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._waiting: deque[Append] = deque()
        self._lock = threading.Lock()
        requests: Iterable[Any] = iter(self._requests.get, None)
        # By this header BigQuery finds the region of the table.
        metadata = (("x-goog-request-params", f"write_stream={stream_name}"),)
        self._call = open_call(requests, metadata=metadata)
        threading.Thread(target=self._read, name="append-rows-reader", daemon=True).start()

    @property
    def is_closed(self) -> bool:
        return self._error is not None

    def send(self, request: Any) -> Append:
        append = Append(self, len(request.proto_rows.rows.serialized_rows))
        # Answers come in the order of the requests: both queues are filled as one.
        with self._lock:
            if self._error is not None:
                append.fail(self._error)
            else:
                self._waiting.append(append)
                self._requests.put(_Request.wrap(request))
        return append

    def fail(self, error: AppendError) -> None:
        """Close, and tell all that wait for an answer that none will come."""
        with self._lock:
            if self._error is not None:
                return
            self._error = error
            waiting, self._waiting = self._waiting, deque()
            self._requests.put(None)  # ends the thread in which gRPC takes the requests
        self._call.cancel()
        for append in waiting:
            append.fail(error)

    def _read(self) -> None:
        try:
            for response in self._call:
                with self._lock:
                    append = self._waiting.popleft() if self._waiting else None
                if append is None:  # after `fail`, or an answer that nobody asked for
                    break
                error = error_of_response(_pb(response), append.row_count)
                if error is None or isinstance(error, RowsRefusedError):
                    self.knows_schema = True
                if error is None:
                    append.succeed()
                else:
                    append.fail(error)
            self.fail(AppendUnavailableError("ABORTED"))  # the server ended the call
        except grpc.RpcError as broken:
            self.fail(error_of_call(broken))


class Sink(Protocol):
    """Where rows go. It is pickled with the DoFns, so it holds addresses and no connections."""

    def shared_stream(self, table: str, descriptor: DescriptorProto) -> WriteStream:
        """Return the process's one stream of a table."""

    def private_stream(self, table: str, descriptor: DescriptorProto) -> WriteStream:
        """Return a new stream that no other request uses; the caller closes it."""


class StorageWriteSink:
    """BigQuery's Storage Write API.

    Args:
        endpoint: host:port of an emulator, which is reached without TLS; None for Google's own.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint

    def shared_stream(self, table: str, descriptor: DescriptorProto) -> WriteStream:
        """Return the process's one stream of a table."""
        key = (self._endpoint, table, descriptor.SerializeToString(deterministic=True))
        with _streams_lock:
            stream = _streams.get(key)
            if stream is None:
                stream = _streams[key] = self.private_stream(table, descriptor)
            return stream

    def private_stream(self, table: str, descriptor: DescriptorProto) -> WriteStream:
        """Return a new stream that no other request uses; the caller closes it."""
        return WriteStream(_open_call(self._endpoint), table, descriptor)


def close_shared_streams() -> None:
    """End the process's connections; called when the job ends."""
    with _streams_lock:
        for stream in _streams.values():
            stream.close()
        _streams.clear()


# BigQuery counts connections: one a table and process, over bundles, DoFns and their threads.
# https://cloud.google.com/bigquery/docs/write-api-best-practices#limit_the_number_of_concurrent_connections
_streams: dict[tuple[str | None, str, bytes], WriteStream] = {}
_streams_lock = threading.Lock()


@lru_cache
def _open_call(endpoint: str | None) -> OpenCall:
    new_client: Any = BigQueryWriteClient  # its constructor has no types
    if endpoint is None:
        client = new_client()
    else:
        channel = grpc.insecure_channel(endpoint, options=_UNLIMITED)
        client = new_client(transport=BigQueryWriteGrpcTransport(channel=channel))
    # The client's own method waits for the first answer before it returns; the bare call does not.
    open_call: OpenCall = client.transport.append_rows
    return open_call


def _pb(response: Any) -> Any:
    return types.AppendRowsResponse.pb(response)
