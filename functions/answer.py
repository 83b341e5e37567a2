"""The HTTP answers of an endpoint, as lean as ASGI allows: one is made for every request."""

import asyncio
from contextlib import suppress
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


# After an answer to a body that was not read, so much of it is thrown away before the connection
# closes: closed at once, it would be reset, and many clients would lose the answer with it.
_LINGER_BYTES: Final = 32 * 1024 * 1024  # Cloud Run's own limit over HTTP/1
_LINGER_SECONDS: Final = 5.0


class Answer:
    """A complete answer; Starlette's Response without what this service has no use for."""

    __slots__ = ("body", "headers", "is_early", "status")

    def __init__(self, status: int, body: bytes, headers: HeaderList) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.is_early = False

    def close_early(self) -> None:
        """Close the connection after this answer, as the request's body was not read."""
        self.headers.append(CLOSE)
        self.is_early = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI's signature)
        """Send itself, as an ASGI application."""
        start: dict[str, Any] = {
            "type": "http.response.start",
            "status": self.status,
            "headers": self.headers,
        }
        await send(start)
        if self.is_early:
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
            await _throw_away_body(receive)
            await send({"type": "http.response.body"})
        else:
            await send({"type": "http.response.body", "body": self.body})


async def _throw_away_body(receive: Receive) -> None:
    left = _LINGER_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):  # its end, or the client is gone
                    return


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
