"""Ends the process without cutting a request: SIGTERM first lets busy connections finish.

uvicorn closes idle connections as soon as it is told to stop, and a client may just have sent its
next request on one. So for a moment every answer says `Connection: close` instead, and only then
does uvicorn learn of the signal. All of it fits into the ten seconds that Cloud Run gives
(https://cloud.google.com/run/docs/container-contract#instance-shutdown): this pause, what is left
for bodies that are still being sent, and the publish timeout.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from functions.logging import get_logger

_log = get_logger("stopping")

PAUSE_SECONDS: Final = 0.5
BODY_SECONDS: Final = 3.0


class Stopping:
    """Whether and how this process ends.

    Args:
        hurry: Called when bodies that have not arrived in full are to be given up.
    """

    def __init__(self, hurry: Callable[[], None]) -> None:
        self.has_begun = False
        self._hurry = hurry

    def listen(self) -> None:
        """Go before the server's own handler of SIGTERM; call it within the running server."""
        server = signal.getsignal(signal.SIGTERM)
        # Only a server has a handler that is a function; signals reach the main thread alone.
        if not callable(server) or threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def on_signal(number: int, frame: FrameType | None) -> None:
            if self.has_begun:
                server(number, frame)
                return
            self.has_begun = True
            loop.call_soon_threadsafe(self._begin, loop, lambda: server(number, None))

        signal.signal(signal.SIGTERM, on_signal)

    def _begin(self, loop: asyncio.AbstractEventLoop, stop_server: Callable[[], object]) -> None:
        _log.info("stopping")
        loop.call_later(PAUSE_SECONDS, stop_server)
        loop.call_later(BODY_SECONDS, self._hurry)
