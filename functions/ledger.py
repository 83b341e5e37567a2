"""Keeps an audit event of every request: those that are accepted wait for it, others do not."""

import asyncio
from typing import Any, Final

from functions.audit import Clock, UuidV7
from functions.audit_event import UNKNOWN_KEY, Counts, Facts, audit_event
from functions.client_address import ClientHash
from functions.event_publisher import EventPublisher
from functions.exchange import Exchange
from functions.problems import OVERLOADED, retry_later

MAX_WAITING: Final = 10_000
# Requests without a known key that are listed one by one; the others of that second are counted.
LISTED_A_SECOND: Final = 10
ANCHOR_SECONDS: Final = 60.0
_COUNT_SECONDS: Final = 1.0
# What is left at least for the event where publishing the records took all of the time.
_LEAST_SECONDS: Final = 1.0


class Ledger:
    """The audit events of this process.

    Args:
        publisher: Sends them.
        ids: Makes event ids.
        clock: Tells the time.
        clients: Hashes addresses.
        timeout: Seconds that a request has for its records and its event.
        max_waiting: How many events may wait; then refusals are counted instead.
    """

    def __init__(
        self,
        *,
        publisher: EventPublisher,
        ids: UuidV7,
        clock: Clock,
        clients: ClientHash,
        timeout: float,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self.publisher = publisher
        self._ids, self._clock, self._clients = ids, clock, clients
        self._timeout = timeout
        self._max_waiting = max_waiting
        self._counts = Counts()
        self._listed, self._listed_second = 0, 0

    async def check(self) -> None:
        """Raise the problem that a request would end with, before its records are published.

        While events fail, it waits for half of the request's time: they may work again.
        """
        if len(self.publisher) >= self._max_waiting:
            raise retry_later(OVERLOADED, "too many audit events wait to be published")
        await self.publisher.check(self._timeout / 2)

    async def accept(self, exchange: Exchange, facts: Facts, spent: float) -> None:
        """Return once Pub/Sub holds the event of a request whose records it holds.

        Args:
            exchange: The request.
            facts: What became of it.
            spent: Seconds that publishing the records took; the event has what is left.

        Raises:
            Problem: The event is late or refused. It is still sent: the records are published.
        """
        event = self._event(exchange, facts, 202, None)
        await self.publisher.hold(event, max(self._timeout - spent, _LEAST_SECONDS))

    def note(self, exchange: Exchange, facts: Facts, status: int, code: str | None) -> None:
        """Add the event of a request that needs not wait for it: one that was refused."""
        if len(self.publisher) >= self._max_waiting or (
            facts.key_id == UNKNOWN_KEY and not self._may_list()
        ):
            if not self._counts:
                asyncio.get_running_loop().call_later(_COUNT_SECONDS, self._add_counts)
            self._counts.add(facts, status, code)
            return
        self.publisher.add(self._event(exchange, facts, status, code))

    async def keep_anchored(self) -> None:
        """Log the head of the chain every minute; runs until it is cancelled."""
        while True:
            await asyncio.sleep(ANCHOR_SECONDS)
            self.publisher.anchor()

    async def settle(self, seconds: float) -> None:
        """Wait until every event is held, so that the process may end; then log the head."""
        self._add_counts()
        await self.publisher.settle(seconds)
        self.publisher.anchor()

    def _event(
        self, exchange: Exchange, facts: Facts, status: int, code: str | None
    ) -> dict[str, Any]:
        return audit_event(
            facts,
            exchange,
            status,
            code,
            event_id=self._ids.one(),
            now=facts.now or self._clock.now(),
            client_hash=self._clients(exchange),
        )

    def _may_list(self) -> bool:
        second = int(asyncio.get_running_loop().time())
        if second != self._listed_second:
            self._listed, self._listed_second = 0, second
        self._listed += 1
        return self._listed <= LISTED_A_SECOND

    def _add_counts(self) -> None:
        now = self._clock.now()
        for event in self._counts.take():
            event |= {"created_ts": now, "updated_ts": now}
            event |= {"event_id": self._ids.one(), "request_id": self._ids.one()}
            self.publisher.add(event)
