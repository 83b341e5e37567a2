"""An event loop in a thread of its own, so that a synchronous target uses what is asynchronous."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class BackgroundLoop:
    """Runs until the process ends."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="background", daemon=True).start()

    def call(self, work: Coroutine[Any, Any, _T], timeout: float) -> _T:
        """Run a coroutine in the loop; return its result, or raise as it does, or TimeoutError."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine in the loop and do not wait."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def tell(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function in the loop and do not wait."""
        self._loop.call_soon_threadsafe(function, *arguments)
