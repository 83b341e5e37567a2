"""Bounds what one connection may cost before a request exists: header bytes, time, connections.

uvicorn bounds none of them with httptools: a header that never ends would grow in memory, and a
client that sends one byte a second, or nothing at all, would hold its connection for ever. Behind
Cloud Run its front end sees to that; this is for whatever stands before the process directly.
"""

import asyncio
from math import ceil
from typing import Any, ClassVar, Final

from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# As many as Cloud Run's front end lets through:
# https://cloud.google.com/run/quotas#request_limits (headers in all).
MAX_HEADER_BYTES: Final = 64 * 1024
_SWEEP_SECONDS: Final = 1.0
# A client that takes its answer more slowly is as good as gone.
_LEAST_BYTES_A_SWEEP: Final = 16 * 1024
# RFC 6585, section 5. There is no request yet, so there is no problem document with its id either.
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 24\r\nconnection: close\r\n\r\nThe header is too large."
)


class Connection(HttpToolsProtocol):
    """A connection that is closed when its header is too large or takes too long.

    So is one that goes on sending a body, however slowly, after its request was answered, and one
    that does not take its answer.
    `bounded` gives the bounds.
    """

    application: ClassVar[Any]  # an ASGIApp; a callable would be taken for a method
    max_connections: ClassVar[int]
    sweeps_allowed: ClassVar[int]
    is_sweeping: ClassVar[bool]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = self.application
        self._in_header = True  # or before it, as long as nothing was sent
        self._fed = 0
        self._sweeps = 0
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
        elif not type(self).is_sweeping:
            self._start_sweeping()

    def data_received(self, data: bytes) -> None:
        """Parse, and count what belongs to a header that is not complete."""
        self._fed += len(data)
        super().data_received(data)
        if self._in_header and self._fed > MAX_HEADER_BYTES:
            self._refuse()

    def on_message_begin(self) -> None:
        """Note that a header begins."""
        self._in_header = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that it is complete, and pass the request on.

        Raises:
            ValueError: It came in one piece that is too large; the server answers 400.
        """
        if self._fed > MAX_HEADER_BYTES:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > MAX_HEADER_BYTES:
                raise ValueError
        self._in_header = False
        self._fed = 0
        super().on_headers_complete()

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:  # else its answer goes on
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def _age(self) -> None:
        """Close the connection if its client has owed something for too long."""
        unsent = self.transport.get_write_buffer_size()
        takes_nothing = unsent > max(self._unsent - _LEAST_BYTES_A_SWEEP, 0)
        self._unsent = unsent
        cycle = self.cycle
        is_owed = (
            self._in_header
            or takes_nothing
            or (cycle is not None and cycle.response_complete and cycle.more_body)
        )
        self._sweeps = self._sweeps + 1 if is_owed else 0
        if self._sweeps > self.sweeps_allowed:
            self.transport.abort()

    def _start_sweeping(self) -> None:
        # One timer for all connections: one for each request would cost more than parsing it.
        type(self).is_sweeping = True
        self.loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        for connection in list(self.connections):
            if isinstance(connection, Connection):
                connection._age()
        type(self).is_sweeping = False
        if self.connections:
            self._start_sweeping()


def bounded(header_timeout: float, max_connections: int, application: ASGIApp) -> type[Connection]:
    """Return the connections of a server with these bounds.

    Args:
        header_timeout: Seconds for a header.
        max_connections: How many at once.
        application: What answers. It is not the one that the server was given: the framework's own
            routes and layers, which have nothing to do here, cost as much as reading the request.
    """
    bounds = {
        "application": staticmethod(application),
        "max_connections": max_connections,
        "sweeps_allowed": ceil(header_timeout / _SWEEP_SECONDS),
        "is_sweeping": False,
    }
    return type("BoundedConnection", (Connection,), bounds)
