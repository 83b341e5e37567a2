"""Collects rows into append requests of a good size and keeps several of them on their way."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from beam_pipeline.delivery import Delivery, TableWriter

# A request is closed at either. Measured: below a hundred rows the request's own cost shows, above
# a thousand nothing is gained; a megabyte answers fast and leaves room for a tenfold larger row.
MAX_ROWS: Final = 1_000
MAX_BYTES: Final = 1_000_000
# Bounds what a worker holds in memory: bundles can be any size.
MAX_ON_THEIR_WAY: Final = 8

T = TypeVar("T")


@dataclass(slots=True)
class Settled(Generic[T]):
    """A batch whose every row is in the table or refused.

    Attributes:
        origins: What the batch's rows were made of, in their order.
        delivery: How it went; `delivery.refused` is indexed like `origins`.
    """

    origins: list[T]
    delivery: Delivery


class RowBatches(Generic[T]):
    """The rows of one bundle for one table."""

    def __init__(self, writer: TableWriter) -> None:
        self._writer = writer
        self._rows: list[bytes] = []
        self._origins: list[T] = []
        self._bytes = 0
        self._on_their_way: deque[tuple[list[T], Delivery]] = deque()

    def add(self, row: bytes, origin: T) -> Settled[T] | None:
        """Take a row; return a batch if one had to be waited for."""
        size = len(row)
        full = (self._rows and self._bytes + size > MAX_BYTES) or len(self._rows) == MAX_ROWS
        if full:
            self._send()
        self._rows.append(row)
        self._origins.append(origin)
        self._bytes += size
        return self._settle_oldest() if len(self._on_their_way) > MAX_ON_THEIR_WAY else None

    def finish(self) -> Iterator[Settled[T]]:
        """Send what is left, and yield all batches when they are settled."""
        if self._rows:
            self._send()
        while self._on_their_way:
            yield self._settle_oldest()

    def _send(self) -> None:
        self._on_their_way.append((self._origins, self._writer.send(self._rows)))
        self._rows, self._origins, self._bytes = [], [], 0

    def _settle_oldest(self) -> Settled[T]:
        origins, delivery = self._on_their_way.popleft()
        return Settled(origins, self._writer.settle(delivery))
