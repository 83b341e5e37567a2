"""Ends the process without cutting a request: SIGTERM first lets busy connections finish.

uvicorn closes idle connections as soon as it is told to stop, and a client may just have sent its
next request on one. So first no connection is taken any more and every answer says `Connection:
close`, and only a moment later does uvicorn learn of the signal. All of it fits into the ten
seconds of Cloud Run (https://cloud.google.com/run/docs/container-contract#instance-shutdown): this
pause, what is left for bodies that are still being sent, and the publish timeout.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from functions.logging import get_logger

_log = get_logger("stopping")

PAUSE_SECONDS: Final = 1.0
BODY_SECONDS: Final = 3.0


class Stopping:
    """Whether and how this process ends.

    Args:
        hurry: Called when bodies that have not arrived in full are to be given up.

    Attributes:
        on_begin: Called as soon as the end begins.
    """

    def __init__(self, hurry: Callable[[], None]) -> None:
        self.has_begun = False
        self._hurry = hurry
        self.on_begin: Callable[[], object] = lambda: None

    def listen(self) -> None:
        """Go before the server's own handler of SIGTERM; call it within the running server."""
        handler = signal.getsignal(signal.SIGTERM)
        # Only a server has a handler that is a function; signals reach the main thread alone.
        if not callable(handler) or threading.current_thread() is not threading.main_thread():
            return
        # It is a method of uvicorn.Server: `should_exit` is set when it was told to stop, which may
        # have been before this worker's first request; `servers` are its listening sockets.
        server = getattr(handler, "__self__", None)
        self.has_begun = getattr(server, "should_exit", False)
        loop = asyncio.get_running_loop()

        def begin(number: int) -> None:
            _log.info("stopping")
            for listener in getattr(server, "servers", ()):
                listener.close()  # which uvicorn does again
            self.on_begin()
            loop.call_later(PAUSE_SECONDS, handler, number, None)
            loop.call_later(BODY_SECONDS, self._hurry)

        def on_signal(number: int, frame: FrameType | None) -> None:
            if self.has_begun:
                handler(number, frame)
            else:
                self.has_begun = True
                loop.call_soon_threadsafe(begin, number)

        signal.signal(signal.SIGTERM, on_signal)
