"""One HTTP request as the parts of an endpoint see it."""

import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from functions.audit_event import Facts

Receive = Callable[[], Awaitable[Any]]

# https://www.w3.org/TR/trace-context/#traceparent-header: version 00, ids not all zero.
_TRACEPARENT: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
# https://cloud.google.com/trace/docs/trace-context#legacy-http-header
_CLOUD_TRACE: Final = re.compile(rb"([0-9a-fA-F]{32})/([0-9]{1,20})(?:;o=([01]))?")


class Exchange:
    """A request and the id of its answer; headers are hashed once, not searched each time.

    Attributes:
        peer: Address of the other end of the connection.
        started_ns: When its header was read, by the monotonic clock.
        facts: What the ledger is to know, once a resource takes the request.
    """

    __slots__ = (
        "_headers", "facts", "has_repeats", "headers", "peer", "receive", "request_id",
        "started_ns",
    )  # fmt: skip

    def __init__(
        self,
        headers: list[tuple[bytes, bytes]],
        receive: Receive,
        request_id: str,
        peer: bytes = b"",
    ) -> None:
        self.started_ns = time.monotonic_ns()
        self.peer = peer
        self.facts: Facts | None = None
        self._headers = headers
        self.headers = dict(headers)
        self.has_repeats = len(self.headers) != len(headers)
        self.receive = receive
        self.request_id = request_id

    def single(self, name: bytes) -> bytes | None:
        """Return a header that may not be sent twice; None if it is missing or was repeated."""
        if self.has_repeats and sum(1 for header, _ in self._headers if header == name) > 1:
            return None
        return self.headers.get(name)

    def joined(self, name: bytes) -> bytes | None:
        """Return all values of a list header in one (RFC 9110, section 5.3)."""
        if not self.has_repeats:
            return self.headers.get(name)
        values = [value for header, value in self._headers if header == name]
        return b", ".join(values) if values else None

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context, made from Google's older header where that alone is there."""
        value = self.headers.get(b"traceparent")
        if value is not None:
            return value.decode() if _TRACEPARENT.fullmatch(value) else None
        value = self.headers.get(b"x-cloud-trace-context")
        match = value and _CLOUD_TRACE.fullmatch(value)
        if not match:
            return None
        trace, span, sampled = match.groups()
        if int(span) >= 1 << 64:
            return None
        parent = b"00-%b-%016x-%02x" % (trace.lower(), int(span), sampled == b"1")
        return parent.decode() if _TRACEPARENT.fullmatch(parent) else None

    def log_fields(self, project_id: str) -> dict[str, Any]:
        """Return what ties a log line to this request and its trace."""
        fields: dict[str, Any] = {"request_id": self.request_id}
        if traceparent := self.traceparent:
            _, trace, span, flags = traceparent.split("-")
            fields["logging.googleapis.com/trace"] = f"projects/{project_id}/traces/{trace}"
            fields["logging.googleapis.com/spanId"] = span
            fields["logging.googleapis.com/trace_sampled"] = bool(int(flags, 16) & 1)
        return fields
