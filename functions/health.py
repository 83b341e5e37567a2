"""Says whether the process is up, and whether what it depends on can be reached."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import orjson

from functions.answer import Answer, api_answer
from functions.endpoint import Endpoint
from functions.event_publisher import EventPublisher
from functions.exchange import Exchange
from functions.google_rpc import RpcError
from functions.logging import OncePerMinute, get_logger
from functions.problems import NOT_READY, Problem
from functions.publisher import Publisher

# Probes of many load balancers cost one look at the dependencies.
CACHE_SECONDS: Final = 3.0

_ALIVE: Final = orjson.dumps({"status": "alive"})
_READY: Final = orjson.dumps({"status": "ready"})


class Health:
    """Liveness and readiness of one target.

    Args:
        endpoints: Whose keys and topics are looked at.
        events: Whose topic is looked at too: nothing is accepted without audit events.
        is_stopping: Whether the process was told to end.
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], events: EventPublisher, is_stopping: Callable[[], bool]
    ) -> None:
        self._endpoints = endpoints
        self._events = events
        self._is_stopping = is_stopping
        self._failed: list[str] = []
        self._looked_at = -float("inf")
        self._lock = asyncio.Lock()
        log = get_logger("health")
        self._log_failure = OncePerMinute(log, logging.WARNING, "not ready")

    async def livez(self, exchange: Exchange) -> Answer:
        """Answer 200 for as long as the process can answer at all."""
        return api_answer(200, _ALIVE, exchange.request_id)

    async def readyz(self, exchange: Exchange) -> Answer:
        """Answer 200 if every resource's keys are known and its topic is there.

        A secret without an enabled version is no failure: an endpoint is set up before its first
        key, and refuses everybody until then.
        """
        failed = ["shutdown"] if self._is_stopping() else await self._look()
        if failed:
            raise Problem(
                NOT_READY,
                f"cannot be reached or refuses: {', '.join(failed)}",
                headers=[(b"retry-after", b"5")],
                members={"failed": failed},
            )
        return api_answer(200, _READY, exchange.request_id)

    async def _look(self) -> list[str]:
        async with self._lock:
            if time.monotonic() - self._looked_at >= CACHE_SECONDS:
                found = await asyncio.gather(
                    *map(_failures, self._endpoints), _failures_of_topic(self._events)
                )
                self._failed = [failure for failures in found for failure in failures]
                self._looked_at = time.monotonic()
                if self._failed:
                    self._log_failure("readiness", failed=self._failed)
        publishers: list[Publisher | EventPublisher] = [self._events]
        publishers += [endpoint.publisher for endpoint in self._endpoints]
        refused = [_topic(publisher) for publisher in publishers if publisher.refused]
        return sorted({*self._failed, *refused})


async def _failures(endpoint: Endpoint) -> list[str]:
    has_keys, topic = await asyncio.gather(
        _has_keys(endpoint), _failures_of_topic(endpoint.publisher)
    )
    return topic if has_keys else [f"keys of {endpoint.resource.name}", *topic]


def _topic(publisher: Publisher | EventPublisher) -> str:
    return f"topic {publisher.topic.name}"


async def _has_keys(endpoint: Endpoint) -> bool:
    if not endpoint.keys.is_usable:
        await endpoint.keys.refresh()
    return endpoint.keys.is_usable


async def _failures_of_topic(publisher: Publisher | EventPublisher) -> list[str]:
    try:
        await publisher.topic.check()
    except RpcError:
        return [_topic(publisher)]
    publisher.refused = None
    return []
