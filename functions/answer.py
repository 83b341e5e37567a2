"""The HTTP answers of an endpoint, as lean as ASGI allows: one is made for every request."""

from typing import Any, Final

from starlette.types import Receive, Scope, Send

HeaderList = list[tuple[bytes, bytes]]

JSON: Final = b"application/json"
_FIXED: Final[HeaderList] = [
    # What is sent here is personal, and so is what is said about it.
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
CLOSE: Final = (b"connection", b"close")


class Answer:
    """A complete answer; Starlette's Response without what this service has no use for."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes, headers: HeaderList) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI's signature)
        """Send itself, as an ASGI application."""
        start: dict[str, Any] = {
            "type": "http.response.start",
            "status": self.status,
            "headers": self.headers,
        }
        await send(start)
        await send({"type": "http.response.body", "body": self.body})


def api_answer(status: int, body: bytes, request_id: str, media_type: bytes = JSON) -> Answer:
    """Return an answer of the API, with the headers that each of them carries."""
    return Answer(
        status,
        body,
        [
            (b"content-type", media_type),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id.encode()),
            *_FIXED,
        ],
    )
