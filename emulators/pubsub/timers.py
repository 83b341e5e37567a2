"""When which message is due: a heap, as a subscription may hold a hundred thousand leases."""

import heapq
from collections.abc import Callable, Iterator
from typing import Final

# Rebuilding costs as much as the heap is long, so it waits until most of it is dead.
_SLACK: Final = 1_024


class Timers:
    """Sequences by the time they are due.

    Nothing is ever removed early: whoever is told that a sequence is due looks whether it still
    is. `still_due` tells that as well, so that what died is dropped before it fills the memory.
    """

    def __init__(self, still_due: Callable[[int], float | None]) -> None:
        self._heap: list[tuple[float, int]] = []
        self._still_due = still_due
        self._limit = _SLACK

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, due: float, sequence: int) -> None:
        """Wants to be told of `sequence` at `due`."""
        heapq.heappush(self._heap, (due, sequence))
        if len(self._heap) > self._limit:
            live = {sequence for _, sequence in self._heap}
            self._heap = [
                (time, sequence)
                for sequence in live
                if (time := self._still_due(sequence)) is not None
            ]
            heapq.heapify(self._heap)
            self._limit = 2 * len(self._heap) + _SLACK

    def pop(self, now: float) -> Iterator[int]:
        """Every sequence that was due by `now`, the earliest first."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[1]

    def clear(self) -> None:
        """Forgets everything."""
        self._heap.clear()
