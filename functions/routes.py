"""Finds what a method and an undecoded path ask for."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from functions.answer import Answer
from functions.endpoint import Endpoint
from functions.exchange import Exchange
from functions.problems import METHOD_NOT_ALLOWED, NOT_FOUND, Problem
from schemas.registry import Resource

Handler = Callable[[Exchange], Awaitable[Answer]]
Methods = Mapping[str, Handler]
PREFIX: Final = b"/v1/"


class Routes:
    """The paths of one target.

    Args:
        pages: Handlers of GET by path; HEAD is answered like GET, the server leaves the body out.
        endpoints: The resources that are served.
    """

    def __init__(self, pages: Mapping[str, Handler], endpoints: Mapping[str, Endpoint]) -> None:
        self._fixed: dict[bytes, Methods] = {
            path.encode(): {"GET": handler, "HEAD": handler} for path, handler in pages.items()
        }
        for name, endpoint in endpoints.items():
            self._fixed[PREFIX + name.encode()] = {"POST": endpoint.post}
        self._endpoints = {name.encode(): endpoint for name, endpoint in endpoints.items()}

    def find(self, method: str, path: bytes) -> Handler:
        """Return the handler.

        Args:
            method: In upper case.
            path: As it was sent: an encoded slash is part of a segment.

        Raises:
            Problem: 404 or 405.
        """
        methods = self._fixed.get(path) or self._tombstone(path)
        handler = methods.get(method)
        if handler is None:
            allow = ", ".join(methods).encode()
            raise Problem(METHOD_NOT_ALLOWED, headers=[(b"allow", allow)])
        return handler

    def _tombstone(self, path: bytes) -> Methods:
        if path.startswith(PREFIX):
            name, *segments = path[len(PREFIX) :].split(b"/")
            endpoint = self._endpoints.get(name)
            if endpoint and segments and all(segments):
                return {"DELETE": partial(endpoint.delete, segments=segments)}
        raise Problem(NOT_FOUND)

    def resource_of(self, path: bytes) -> Resource | None:
        """Return the resource that a path below /v1/ names, whatever else is wrong with it."""
        endpoint = self._endpoints.get(path.removeprefix(PREFIX).partition(b"/")[0])
        return endpoint.resource if endpoint else None
