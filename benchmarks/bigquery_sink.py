"""Acknowledges appended rows at once and counts them: the end of the pipeline that is measured."""

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from google.cloud.bigquery_storage_v1 import types

SERVICE: Final = "google.cloud.bigquery.storage.v1.BigQueryWrite"
_Request: Final[Any] = types.AppendRowsRequest.pb()
_Response: Final[Any] = types.AppendRowsResponse.pb()


class BigQuerySink:
    """BigQuery's Storage Write service, for the default stream alone."""

    def __init__(self) -> None:
        self.rows = 0
        answer = _Response()
        answer.append_result.SetInParent()
        self._answer: bytes = answer.SerializeToString()

    async def append_rows(self, requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        """Acknowledge every request."""
        async for request in requests:
            self.rows += len(_Request.FromString(request).proto_rows.rows.serialized_rows)
            yield self._answer

    def handler(self) -> "grpc.GenericRpcHandler[Any, Any]":
        """Return what a server is given; requests and answers stay bytes until here."""
        serve = grpc.stream_stream_rpc_method_handler(self.append_rows)
        return grpc.method_handlers_generic_handler(SERVICE, {"AppendRows": serve})
