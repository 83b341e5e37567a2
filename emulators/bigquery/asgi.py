"""The moves of ASGI that stand between a client and bqemulator's app: read, ask, answer."""

import gzip
import json
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class BadBodyError(ValueError):
    """A request body that cannot be read."""


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole request body, decompressed; raises BadBodyError."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise BadBodyError("the client went away")
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if (b"content-encoding", b"gzip") not in scope["headers"]:
        return bytes(body)
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        raise BadBodyError("the body is not gzip") from None


async def ask(app: App, scope: Scope, body: bytes) -> tuple[int, Any]:
    """Status and JSON (or None) of the app's answer to this scope with this body in it."""
    own = ("content-length", "content-encoding", "transfer-encoding", "accept-encoding")
    headers = [(name, value) for name, value in scope["headers"] if name.decode() not in own]
    headers.append((b"content-length", str(len(body)).encode()))
    status, answer = 500, bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        answer.extend(message.get("body", b""))

    await app({**scope, "headers": headers}, receive, send)
    return status, json.loads(answer) if answer else None


async def respond(send: Send, status: int, document: Any) -> None:
    """Answers with JSON."""
    body = json.dumps(document).encode()
    headers = [
        (b"content-type", b"application/json; charset=UTF-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def error_body(status: int, reason: str, message: str) -> dict[str, Any]:
    """Google's JSON of an error: https://cloud.google.com/bigquery/docs/error-messages."""
    error = {"message": message, "domain": "global", "reason": reason}
    return {"error": {"code": status, "message": message, "errors": [error]}}
