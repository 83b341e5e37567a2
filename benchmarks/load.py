"""Sends requests over keep-alive connections, cheaply enough not to be what is measured.

`python -m benchmarks.load` reads a `Load` as JSON from its input and writes an `Outcome` to its
output. A client library would cost more than the endpoint: this writes requests that were built
before, and reads of an answer its status and its length.
"""

import asyncio
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Final

import uvloop

# How long answers are waited for after the last request.
_DRAIN_SECONDS: Final = 15.0
_TICK_SECONDS: Final = 0.001
_DEADLINE_SECONDS: Final = 5.0  # of the endpoint: PUBLISH_TIMEOUT_SECONDS


@dataclass(frozen=True)
class Load:
    """What to send.

    Attributes:
        requests: A file of HTTP requests, each preceded by its length in four bytes; they are
            repeated in their order.
        connections: How many are kept open.
        seconds: How long to send.
        limit: How many requests to send at most.
        rate: Requests a second, sent on time whether or not answers come; as fast as answers come
            if 0.
    """

    port: int
    requests: str
    connections: int
    seconds: float
    limit: int
    rate: float = 0.0


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        sent: Requests.
        statuses: How many answers had each status.
        broken: Requests that got no answer.
        late: Answers after the endpoint's deadline.
        seconds: From the first request to the last answer.
    """

    sent: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    broken: int = 0
    late: int = 0
    seconds: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0

    @property
    def answered(self) -> int:
        """How many answers came."""
        return sum(self.statuses.values())


class _Sender:
    """All connections of one load."""

    def __init__(self, load: Load, requests: list[bytes]) -> None:
        self._load = load
        self._requests: Iterator[bytes] = cycle(requests)
        self._idle: deque[_Connection] = deque()
        self._due: deque[float] = deque()  # requests that are late for want of a connection
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.sent = self.broken = 0
        self.finished = asyncio.Event()
        self._is_over = False
        self.started = self.ended = 0.0
        self.open = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self._load.connections):
            await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._load.port)
        self.started = time.perf_counter()
        self._ends = self.started + self._load.seconds
        if self._load.rate:
            self._tick()
        else:
            for connection in list(self._idle):
                self.next(connection)
        await asyncio.wait_for(self.finished.wait(), self._load.seconds + _DRAIN_SECONDS)

    def _tick(self) -> None:
        now = time.perf_counter()
        rate = self._load.rate
        while not self._is_over and (due := self.started + self._scheduled / rate) <= now:
            if now >= self._ends or self._scheduled >= self._load.limit:
                self._is_over = True
                break
            self._scheduled += 1
            self._due.append(due)
        while self._due and self._idle:
            self._send(self._idle.popleft(), self._due.popleft())
        if not self._is_over:
            asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)
        self._finish_if_done()

    _scheduled = 0

    def next(self, connection: "_Connection") -> None:
        """Let a connection that has its answer send again."""
        if self._load.rate:
            if self._due:
                self._send(connection, self._due.popleft())
            else:
                self._idle.append(connection)
                self._finish_if_done()
            return
        now = time.perf_counter()
        if now >= self._ends or self.sent >= self._load.limit:
            self._is_over = True
            self._finish_if_done()
        else:
            self._send(connection, now)

    def _send(self, connection: "_Connection", due: float) -> None:
        self.sent += 1
        connection.send(next(self._requests), due)

    def opened(self, connection: "_Connection") -> None:
        self.open += 1
        if self.started and not self._load.rate:
            self.next(connection)
        else:
            self._idle.append(connection)

    def closed(self, connection: "_Connection", *, is_waiting: bool) -> None:
        self.open -= 1
        if is_waiting:
            self.broken += 1
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._is_over:  # the server closes after each answer, or died
            loop = asyncio.get_running_loop()
            loop.create_task(self._reopen())  # noqa: RUF006 (uvloop holds the transport)
        self._finish_if_done()

    async def _reopen(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._load.port)
        except OSError:
            self._is_over = True
            self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self._is_over and not self._due and len(self.latencies) + self.broken >= self.sent:
            self.ended = self.ended or time.perf_counter()
            self.finished.set()


class _Connection(asyncio.Protocol):
    """One connection, with one request on its way at most."""

    def __init__(self, sender: _Sender) -> None:
        self._sender = sender
        self._buffer = b""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._sender.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        self._sender.closed(self, is_waiting=self._due != 0.0)

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        self._transport.write(request)  # type: ignore[attr-defined] # a stream's transport

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data if self._buffer else data
        head = buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        headers = buffer[:head].lower()
        _, found, rest = headers.partition(b"\r\ncontent-length:")
        if not found:
            raise ValueError("an answer without Content-Length")
        if len(buffer) < head + 4 + int(rest.partition(b"\r\n")[0]):
            return
        self._buffer = b""
        sender = self._sender
        sender.statuses[buffer[9:12].decode()] += 1
        sender.latencies.append(time.perf_counter() - self._due)
        self._due = 0.0
        if b"\r\nconnection: close" in headers:
            self._transport.close()
        else:
            sender.next(self)


def send(load: Load) -> Outcome:
    """Send a load and return what came of it."""
    sender = _Sender(load, read_requests(Path(load.requests)))
    try:
        uvloop.run(sender.run())
    except TimeoutError:  # what has no answer by now is broken
        sender.broken = sender.sent - len(sender.latencies)
        sender.ended = time.perf_counter()
    latencies = sorted(sender.latencies) or [0.0]
    return Outcome(
        sent=sender.sent,
        statuses=dict(sender.statuses),
        broken=sender.broken,
        late=sum(1 for seconds in latencies if seconds > _DEADLINE_SECONDS),
        seconds=sender.ended - sender.started,
        p50_ms=latencies[len(latencies) // 2] * 1_000,
        p99_ms=latencies[len(latencies) * 99 // 100] * 1_000,
        max_ms=latencies[-1] * 1_000,
    )


def write_requests(path: Path, requests: list[bytes]) -> None:
    """Write what `Load.requests` names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(len(part).to_bytes(4) + part for part in requests))


def read_requests(path: Path) -> list[bytes]:
    """Read what `write_requests` wrote."""
    data = path.read_bytes()
    requests, position = [], 0
    while position < len(data):
        end = position + 4 + int.from_bytes(data[position : position + 4])
        requests.append(data[position + 4 : end])
        position = end
    return requests


if __name__ == "__main__":
    print(json.dumps(asdict(send(Load(**json.loads(sys.stdin.readline()))))), flush=True)
