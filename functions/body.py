"""Reads a request's body within bounds of size, time and memory, whatever is sent."""

import asyncio
import zlib
from math import ceil
from typing import Any, Final

from functions.answer import CLOSE
from functions.exchange import Exchange
from functions.media import content_length, is_gzip
from functions.problems import (
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    EMPTY_BODY,
    INCOMPLETE_BODY,
    INVALID_ENCODING,
    OVERLOADED,
    SHUTTING_DOWN,
    Problem,
    retry_later,
)
from schemas import limits

# bgzip and log rotation make members of 64 KB and more; thousands of them are made to cost time.
_MAX_GZIP_MEMBERS: Final = 1_000
_GZIP_SLICE: Final = 64 * 1024
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS  # zlib's own way to ask for the gzip format
_SWEEP_SECONDS: Final = 0.5

# Smaller bodies are read and checked at once; larger ones in turns, and their memory is counted.
LARGE_BODY: Final = 64 * 1024
# A large one is a bytearray: put together in place, it is never in memory twice.
Body = bytes | bytearray


class Bodies:
    """Reads the bodies of all requests of this process.

    Args:
        memory: Bytes that all bodies of LARGE_BODY and more may hold together, from their arrival
            to `done`.
        timeout: Seconds from the end of the header to the end of the body.
    """

    def __init__(self, memory: int, timeout: float) -> None:
        self._memory = memory
        self.held = 0
        # A timer for each request would cost more than reading its body: one sweep serves all.
        self._readers: dict[asyncio.Task[object] | None, int] = {}
        self._expired: set[asyncio.Task[object] | None] = set()
        self._sweeps = 0
        self._sweeps_allowed = ceil(timeout / _SWEEP_SECONDS)
        self._sweeping = False
        self._hurrying = False

    async def read(self, exchange: Exchange) -> Body:
        """Return the body, plain. Call `done` with it when its memory is free again.

        Raises:
            Problem: 400, 408, 413, 415 or 503; nothing has to be given back then.
        """
        headers = exchange.headers
        gzipped = b"content-encoding" in headers and is_gzip(exchange)
        declared = headers.get(b"content-length")
        expected = 0 if declared is None else content_length(declared)
        if expected > limits.MAX_BODY_BYTES:
            raise _too_large()
        task = asyncio.current_task()
        self._readers[task] = self._sweeps
        if not self._sweeping:
            self._start_sweeping()
        try:
            if expected < LARGE_BODY:
                message = await exchange.receive()
                body: Body = message.get("body", b"")
                # All at once, as most bodies are?
                if len(body) >= LARGE_BODY or message.get("more_body", False) or not body:
                    body = await self._collect(exchange, 0, message)
            else:
                body = await self._collect(exchange, expected)
        except asyncio.CancelledError:
            if task is None or task not in self._expired:
                raise
            task.uncancel()
            raise self._gave_up() from None
        finally:
            del self._readers[task]
            self._expired.discard(task)
        if gzipped:
            self.done(body)
            body = gunzip(body)
            self._hold(body)
        if not body:
            raise Problem(EMPTY_BODY)
        return body

    def done(self, body: Body) -> None:
        """Give the memory of a body back."""
        if len(body) >= LARGE_BODY:
            self.held -= len(body)

    def hurry(self) -> None:
        """Give up every body that is not complete: the process is stopping."""
        self._hurrying = True
        self._expire(oldest=self._sweeps)

    def _gave_up(self) -> Problem:
        if self._hurrying:
            problem = retry_later(SHUTTING_DOWN, "repeat the request: another takes over")
        else:
            problem = Problem(BODY_TIMEOUT)
        problem.headers.append(CLOSE)
        return problem

    async def _collect(self, exchange: Exchange, expected: int, message: Any = None) -> Body:
        """Put the parts of a body together.

        Memory for what is expected is taken before it is read, so that of many large bodies some
        come through, instead of all in part; for the rest as it arrives.
        """
        self._take(expected)
        held = expected
        body = bytearray()
        try:
            while True:
                message = message or await exchange.receive()
                if message["type"] != "http.request":
                    raise Problem(INCOMPLETE_BODY)  # noqa: TRY301 (like every other end of it)
                body += message.get("body", b"")
                if len(body) > limits.MAX_BODY_BYTES:
                    raise _too_large()  # noqa: TRY301 (as above)
                if len(body) > held:
                    self._take(len(body) - held)
                    held = len(body)
                if not message.get("more_body", False):
                    break
                message = None
        except BaseException:
            self.held -= held
            raise
        self.held -= held - (len(body) if len(body) >= LARGE_BODY else 0)
        return body

    def _hold(self, body: Body) -> None:
        """Take the memory of a whole body, unless it is small and soon over."""
        if len(body) >= LARGE_BODY:
            self._take(len(body))

    def _take(self, size: int) -> None:
        if self.held + size > self._memory:
            problem = retry_later(OVERLOADED, "too many large bodies at once")
            problem.is_early = True
            raise problem
        self.held += size

    def _start_sweeping(self) -> None:
        self._sweeping = True
        asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeps += 1
        self._expire(oldest=self._sweeps - self._sweeps_allowed - 1)
        self._sweeping = False
        if self._readers:
            self._start_sweeping()

    def _expire(self, oldest: int) -> None:
        """End the reading of bodies that began at that sweep or before."""
        for task, since in self._readers.items():
            if since <= oldest and task is not None and task not in self._expired:
                self._expired.add(task)
                task.cancel()


def gunzip(body: Body) -> bytearray:
    """Return what a gzip body holds, all of its members, within MAX_BODY_BYTES.

    A bomb costs at most that limit: zlib is never let to write more.

    Raises:
        Problem: 400 if it is corrupt, cut or not gzip; 413 if it holds too much.
    """
    plain = bytearray()
    view, position = memoryview(body), 0
    try:
        for _ in range(_MAX_GZIP_MEMBERS):
            member = zlib.decompressobj(_GZIP_WINDOW)
            while not member.eof:
                piece = view[position : position + _GZIP_SLICE]
                if not piece:
                    raise Problem(INVALID_ENCODING, "the gzip data is cut short")
                position += len(piece)
                plain += member.decompress(piece, limits.MAX_BODY_BYTES + 1 - len(plain))
                if len(plain) > limits.MAX_BODY_BYTES:
                    raise _too_large(" after decompression")
            position -= len(member.unused_data)
            if position == len(body):
                return plain
    except zlib.error:
        raise Problem(INVALID_ENCODING, "the gzip data is corrupt") from None
    raise Problem(INVALID_ENCODING, "the gzip data has too many members")


def _too_large(when: str = "") -> Problem:
    detail = f"at most {limits.MAX_BODY_BYTES:,} bytes{when}"
    return Problem(BODY_TOO_LARGE, detail, is_early=not when)
