"""Keeps a replay below a rate, so that it does not crowd out the records that arrive meanwhile."""

import time
from collections.abc import Callable


class Pace:
    """Lets so many records through in a second; the first at once.

    Args:
        rate: Records a second; None for no limit.
        clock: Seconds that never go back.
        sleep: Waits for seconds.
    """

    def __init__(
        self,
        rate: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.rate = rate
        self._clock, self._sleep = clock, sleep
        self._free_at = -float("inf")

    def wait(self, records: int) -> None:
        """Return when these records may go; the next wait until their time has passed."""
        if not self.rate:
            return
        now = self._clock()
        if now < self._free_at:
            self._sleep(self._free_at - now)
        # What was not used is not saved up: after a pause of Pub/Sub's the rate is the same.
        self._free_at = max(now, self._free_at) + records / self.rate
