"""Finds what a method and an undecoded path ask for."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from functions.answer import Answer
from functions.endpoint import Endpoint
from functions.exchange import Exchange
from functions.problems import METHOD_NOT_ALLOWED, NOT_FOUND, Problem

Handler = Callable[[Exchange], Awaitable[Answer]]
Methods = Mapping[str, Handler]
_PREFIX: Final = b"/v1/"


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
            self._fixed[_PREFIX + name.encode()] = {"POST": endpoint.post}
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
        if path.startswith(_PREFIX):
            name, *segments = path[len(_PREFIX) :].split(b"/")
            endpoint = self._endpoints.get(name)
            if endpoint and segments and all(segments):
                return {"DELETE": partial(endpoint.delete, segments=segments)}
        raise Problem(NOT_FOUND)
