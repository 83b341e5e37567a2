"""Runs an emulator inside a program: in its event loop, or beside it in a thread."""

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

START_SECONDS = 30


class Hosted(ABC):
    """An emulator that is a context manager, both `with` (own thread and loop) and `async with`."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._failure: BaseException | None = None

    @abstractmethod
    async def start(self) -> None:
        """Listens; returns when calls are served."""

    @abstractmethod
    async def stop(self) -> None:
        """Ends every call and the listening."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        listening = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(listening,), name=type(self).__name__, daemon=True
        )
        self._thread.start()
        if not listening.wait(START_SECONDS):
            raise TimeoutError(f"{type(self).__name__} did not start in {START_SECONDS} s")
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._ended is not None:
            # A loop that has closed has ended already.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ended.set)
        if self._thread is not None:
            self._thread.join(START_SECONDS)
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self, listening: threading.Event) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._ended = asyncio.Event()
            await self.start()
            listening.set()
            await self._ended.wait()
            await self.stop()

        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001  # __enter__ raises it in its own thread.
            self._failure = error  # Before the event: whoever waits for it looks for this.
            listening.set()
