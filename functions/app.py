"""Wires one target: settings, then parts, each given what it needs."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import grpc.aio
from starlette.types import Receive, Scope

from functions.answer import CLOSE, Answer
from functions.audit import Clock, UuidV7
from functions.audit_event import UNKNOWN_ACTION, Facts
from functions.auth import KeyRing
from functions.backlog import Backlog
from functions.body import Bodies
from functions.client_address import ClientHash
from functions.docs import doc_pages
from functions.endpoint import Endpoint
from functions.event_publisher import EventPublisher
from functions.exchange import Exchange
from functions.google_rpc import open_channel
from functions.health import Health
from functions.ledger import Ledger
from functions.logging import OncePerMinute, fields, get_logger
from functions.problems import (
    INTERNAL_ERROR,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    Kind,
    Problem,
    problem_answer,
)
from functions.publisher import Publisher
from functions.records import Sieve
from functions.routes import PREFIX, Routes
from functions.secret_store import SecretStore
from functions.settings import Settings
from functions.stopping import Stopping
from functions.throttle import Guard
from functions.topic import Topic
from schemas.registry import Resource
from schemas.validation import Validator

_log = get_logger("app")
_SERVER_ERROR: Final = 500
# Within the ten seconds that Cloud Run gives to a process that is told to end.
_SETTLE_SECONDS: Final = 2.0


class App:
    """Answers every request of one target; `await app(scope, receive)` never raises."""

    def __init__(
        self,
        *,
        settings: Settings,
        routes: Routes,
        stopping: Stopping,
        keys: list[KeyRing],
        ledger: Ledger,
        channels: list[grpc.aio.Channel],
        ids: UuidV7,
    ) -> None:
        self._project_id = settings.project_id
        self._routes = routes
        self.stopping = stopping
        self._keys = keys
        self._ledger = ledger
        self._channels = channels
        self._ids = ids
        self._background: list[asyncio.Task[None]] = []
        self._log_floods = {
            UNAUTHORIZED: OncePerMinute(_log, logging.WARNING, "API keys were refused"),
            TOO_MANY_REQUESTS: OncePerMinute(_log, logging.WARNING, "requests were too many"),
        }

    def start(self) -> None:
        """Begin what runs besides the requests; call it within the running loop."""
        self.stopping.listen()
        self.stopping.on_begin = self._settle
        self._background = [asyncio.create_task(keys.keep_fresh()) for keys in self._keys]
        self._background.append(asyncio.create_task(self._ledger.keep_anchored()))

    async def close(self) -> None:
        """End what `start` began, and the connections."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._ledger.publisher.close()
        for channel in self._channels:
            await channel.close(grace=None)

    async def __call__(self, scope: Scope, receive: Receive) -> Answer:
        """Answer one request, given as ASGI gives it."""
        client = scope.get("client")
        peer = client[0].encode() if client else b""
        exchange = Exchange(scope["headers"], receive, self._ids.one(), peer)
        try:
            handler = self._routes.find(scope["method"], scope["raw_path"])
            answer = await handler(exchange)
        except Problem as problem:
            answer = problem_answer(problem, exchange.request_id)
            self._note(problem, exchange)
            self._audit(exchange, scope["raw_path"], problem.kind)
        except Exception:  # noqa: BLE001 (every request gets an answer)
            # Its text and its values may be personal data: the log takes the type and the frames.
            _log.exception("a request failed", extra=self._about(exchange))
            answer = problem_answer(Problem(INTERNAL_ERROR), exchange.request_id)
            self._audit(exchange, scope["raw_path"], INTERNAL_ERROR)
        if self.stopping.has_begun:
            answer.headers.append(CLOSE)
            await self._ledger.settle(_SETTLE_SECONDS)  # while it is open, the process lives
        return answer

    def _settle(self) -> None:
        self._background.append(asyncio.create_task(self._ledger.settle(_SETTLE_SECONDS)))

    def _audit(self, exchange: Exchange, path: bytes, kind: Kind) -> None:
        """Keep an event of a refusal; pages and probes leave none."""
        if path.startswith(PREFIX):
            facts = exchange.facts or Facts(self._routes.resource_of(path), UNKNOWN_ACTION)
            self._ledger.note(exchange, facts, kind.status, kind.code)

    def _note(self, problem: Problem, exchange: Exchange) -> None:
        """Log a refusal by its code, so that a producer's question by request id has an answer."""
        kind = problem.kind
        if flood := self._log_floods.get(kind):  # of requests; it should not become one of lines
            flood("key", **self._about(exchange)["fields"])
            return
        level = logging.WARNING if kind.status >= _SERVER_ERROR else logging.INFO
        if _log.isEnabledFor(level):
            extra = self._about(exchange, code=kind.code, status=kind.status)
            _log.log(level, "a request was refused", extra=extra)

    def _about(self, exchange: Exchange, **values: Any) -> dict[str, Any]:
        return fields(**exchange.log_fields(self._project_id), **values)


def create_app(
    settings: Settings,
    resources: Mapping[str, Resource],
    validators: Mapping[str, Validator],
    audit_log: Resource,
    credentials: Any | None,
) -> App:
    """Build the target of these resources; call it within the running loop.

    Args:
        settings: Of the process.
        resources: What the target serves, by name.
        validators: Of the resources; compiled before the server forks, and shared.
        audit_log: The contract of the ledger's events.
        credentials: Google's, for what is not an emulator.
    """
    pubsub = _channel(settings.pubsub_emulator_host, settings.pubsub_endpoint, credentials)
    secrets = _channel(
        settings.secret_manager_emulator_host, settings.secret_manager_endpoint, credentials
    )
    ids, clock = UuidV7(), Clock()
    backlog = Backlog(settings.publish_queue_messages, settings.publish_queue_bytes)
    bodies = Bodies(settings.body_memory_bytes, settings.body_timeout_seconds)
    store = SecretStore(secrets, settings.project_id)
    turn = asyncio.Lock()
    guard = Guard(settings.refused_keys_per_minute, settings.rate_limit_per_key)
    audit_topic = Topic(pubsub, settings.project_id, audit_log.name)
    timeout = settings.publish_timeout_seconds
    ledger = Ledger(
        publisher=EventPublisher(audit_topic, audit_log, clock, timeout),
        ids=ids,
        clock=clock,
        clients=ClientHash(settings.forwarded_for_position),
        timeout=timeout,
    )

    def endpoint(resource: Resource) -> Endpoint:
        validator = validators[resource.name]
        keys = KeyRing(
            f"{resource.name}-api-key",
            store,
            settings.key_refresh_seconds,
            settings.key_max_stale_seconds,
        )
        topic = Topic(pubsub, settings.project_id, resource.name)
        publisher = Publisher(topic, backlog, settings.publish_timeout_seconds)
        sieve = Sieve(validator, turn)
        return Endpoint(
            resource=resource,
            validator=validator,
            keys=keys,
            guard=guard,
            forwarded_for_position=settings.forwarded_for_position,
            bodies=bodies,
            sieve=sieve,
            publisher=publisher,
            ledger=ledger,
            ids=ids,
            clock=clock,
        )

    endpoints = {name: endpoint(resource) for name, resource in resources.items()}
    stopping = Stopping(bodies.hurry)
    health = Health(list(endpoints.values()), ledger.publisher, lambda: stopping.has_begun)
    pages = {"/livez": health.livez, "/readyz": health.readyz, **doc_pages(resources)}
    rings = [endpoint.keys for endpoint in endpoints.values()]
    return App(
        settings=settings,
        routes=Routes(pages, endpoints),
        stopping=stopping,
        keys=rings,
        ledger=ledger,
        channels=[pubsub, secrets],
        ids=ids,
    )


def _channel(emulator: str | None, endpoint: str, credentials: Any | None) -> grpc.aio.Channel:
    return open_channel(emulator, None) if emulator else open_channel(endpoint, credentials)
