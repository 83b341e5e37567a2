"""Answers a producer's question what became of a record: accepted, loaded, dead-lettered?"""

import logging
import math
import re
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

import flask
import orjson

from functions.answer import Answer, api_answer
from functions.audit import UuidV7
from functions.audit_event import STATUS, UNKNOWN_ACTION, Facts
from functions.auth import KeyRing, KeysUnavailableError, UnknownKeyError
from functions.background_loop import BackgroundLoop
from functions.client_address import client_address
from functions.event_status import UNAVAILABLE, EventStatus, is_event_id
from functions.exchange import Exchange
from functions.ledger import Ledger
from functions.logging import OncePerMinute, fields, get_logger
from functions.problems import (
    INTERNAL_ERROR,
    KEYS_UNAVAILABLE,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    NOT_READY,
    STATUS_UNAVAILABLE,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    Problem,
    problem_answer,
    retry_later,
)
from functions.throttle import Guard
from schemas.registry import Resource

_log = get_logger("status")

_PATH: Final = re.compile(r"/v1/([a-z][a-z0-9_]*)/events/([^/]+)")
_PREFIX: Final = "/v1/"
# Reading keys takes a few calls of three seconds at most.
_KEYS_SECONDS: Final = 10.0
READY_CACHE_SECONDS: Final = 10.0


class StatusService:
    """Serves `GET /v1/{resource}/events/{event_id}`.

    Args:
        resources: By name.
        keys: Of each resource, by name; they live in the background loop.
        background: The loop.
        ledger: In the loop too; it keeps an event of every question.
        events: Where answers are found.
        guard: Slows down who guesses keys, and who asks too often: each question is a query.
        forwarded_for_position: Where the client's address is, see `client_address`.
    """

    def __init__(
        self,
        *,
        resources: Mapping[str, Resource],
        keys: Mapping[str, KeyRing],
        background: BackgroundLoop,
        ledger: Ledger,
        events: EventStatus,
        guard: Guard,
        forwarded_for_position: int,
    ) -> None:
        self._resources = resources
        self._keys = keys
        self._background = background
        self._ledger = ledger
        self._events = events
        self._guard = guard
        self._forwarded_for_position = forwarded_for_position
        self._ids = UuidV7()
        self._lock = threading.Lock()  # for the ids and the guard
        self._ready_until = -float("inf")
        self._log_outage = OncePerMinute(_log, logging.ERROR, "BigQuery cannot be asked")

    def __call__(self, request: flask.Request) -> flask.Response:
        """Answer one request; it never raises."""
        exchange = self._exchange(request)
        code: str | None = None
        try:
            answer = self._answer(request, exchange)
        except Problem as problem:
            code = problem.kind.code
            answer = problem_answer(problem, exchange.request_id)
        except Exception:  # noqa: BLE001 (every request gets an answer)
            # Its text and its values may be personal data: the log takes the type and the frames.
            extra = fields(request_id=exchange.request_id)
            _log.exception("a request failed", extra=extra)
            code = INTERNAL_ERROR.code
            answer = problem_answer(Problem(INTERNAL_ERROR), exchange.request_id)
        if request.path.startswith(_PREFIX):
            facts = exchange.facts or Facts(None, UNKNOWN_ACTION)
            self._background.tell(self._ledger.note, exchange, facts, answer.status, code)
        headers = [(name.decode(), value.decode("latin-1")) for name, value in answer.headers]
        return flask.Response(answer.body, answer.status, headers)

    def _exchange(self, request: flask.Request) -> Exchange:
        async def receive() -> Any:
            raise NotImplementedError  # the body of a GET means nothing

        headers = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in request.headers]
        with self._lock:
            request_id = self._ids.one()
        return Exchange(headers, receive, request_id, (request.remote_addr or "").encode())

    def _answer(self, request: flask.Request, exchange: Exchange) -> Answer:
        if request.path == "/livez":
            return _json(exchange, {"status": "alive"})
        if request.path == "/readyz":
            self._check_ready()
            return _json(exchange, {"status": "ready"})
        match = _PATH.fullmatch(request.path)
        resource = self._resources.get(match[1]) if match else None
        if match is None or resource is None:
            raise Problem(NOT_FOUND)
        exchange.facts = Facts(resource, STATUS)
        if request.method not in ("GET", "HEAD"):
            raise Problem(METHOD_NOT_ALLOWED, headers=[(b"allow", b"GET, HEAD")])
        key_id = exchange.facts.key_id = self._identify(resource, exchange)
        event_id = match[2]
        if not is_event_id(event_id):
            raise Problem(NOT_FOUND, "that is not the id of an event")
        try:
            found = self._events.find(resource.name, key_id, event_id)
        except UNAVAILABLE as error:
            self._log_outage("events", error=type(error).__name__)
            raise retry_later(STATUS_UNAVAILABLE, "the record itself is safe", 5) from None
        return _json(exchange, {"event_id": event_id, **found, "request_id": exchange.request_id})

    def _identify(self, resource: Resource, exchange: Exchange) -> str:
        keys, api_key = self._keys[resource.name], exchange.single(b"x-api-key")
        key_id = keys.known(api_key)
        address = client_address(exchange, self._forwarded_for_position)
        with self._lock:
            wait = self._guard.admit(address, resource.name, key_id)
        if wait:
            # In the same words whether the key is right, or guesses would still be answered.
            raise retry_later(TOO_MANY_REQUESTS, "wait before the next request", math.ceil(wait))
        try:
            return key_id or self._background.call(keys.identify(api_key), _KEYS_SECONDS)
        except UnknownKeyError:
            with self._lock:
                self._guard.refused(address)
            headers = [(b"www-authenticate", b'ApiKey realm="vitalflow", header="x-api-key"')]
            detail = "send the resource's key in x-api-key"
            raise Problem(UNAUTHORIZED, detail, headers=headers) from None
        except (KeysUnavailableError, TimeoutError):
            detail = "Secret Manager cannot be reached"
            raise retry_later(KEYS_UNAVAILABLE, detail, 5) from None

    def _check_ready(self) -> None:
        """Raise a problem unless keys and BigQuery could be read a moment ago."""
        if time.monotonic() < self._ready_until:
            return
        failed = []
        for name, keys in self._keys.items():
            if not keys.is_usable:
                self._background.call(keys.refresh(), _KEYS_SECONDS)
            if not keys.is_usable:
                failed.append(f"keys of {name}")
        try:
            self._events.check()
        except UNAVAILABLE:
            failed.append("BigQuery")
        if failed:
            detail = f"cannot be reached or refuses: {', '.join(failed)}"
            headers = [(b"retry-after", b"5")]
            raise Problem(NOT_READY, detail, headers=headers, members={"failed": failed})
        self._ready_until = time.monotonic() + READY_CACHE_SECONDS


def _json(exchange: Exchange, document: Mapping[str, Any]) -> Answer:
    return api_answer(200, orjson.dumps(document), exchange.request_id)
