"""Raw bytes over a socket, and a well-behaved client beside them."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx
import orjson

from tests.fixtures.endpoint import KEY, example
from tests.fixtures.endpoint_process import EndpointProcess

PATH = "/v1/patients"
RECORD = orjson.dumps(example("patients", "minimal"))
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2}) [ -~]*\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)


def post(*headers: str, body: bytes = RECORD, end: str = "\r\n") -> bytes:
    """Return a POST with the key and these headers, none of which is a length unless given."""
    lines = [f"POST {PATH} HTTP/1.1", "host: x", f"x-api-key: {KEY}"]
    lines += ["content-type: application/json", *headers]
    return f"{end.join(lines)}{end}{end}".encode() + body


def sized(*headers: str, body: bytes = RECORD) -> bytes:
    return post(f"content-length: {len(body)}", *headers, body=body)


@dataclass
class Reply:
    """What came back: the status of each answer, and whether the connection was closed."""

    raw: bytes = b""
    closed: bool = False
    seconds: float = 0.0

    @property
    def statuses(self) -> list[int]:
        """The answers' statuses; raises AssertionError if these are not whole HTTP answers."""
        statuses, rest = [], self.raw
        while rest:
            head, found, rest = rest.partition(b"\r\n\r\n")
            status = _STATUS.match(head + b"\r\n")
            assert found, head[:80]
            assert status, head[:80]
            length = _LENGTH.search(head + b"\r\n")
            size = int(length[1]) if length else 0
            assert len(rest) >= size, "an answer is cut short"
            rest = rest[size:]
            statuses.append(int(status[1]))
        return statuses


async def exchange(
    port: int, *pieces: bytes, pause: float = 0.0, patience: float = 5.0, half_close: bool = False
) -> Reply:
    """Send the pieces and read until the server closes or nothing comes for so many seconds."""
    reply = Reply()
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        with suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if pause:
                    await asyncio.sleep(pause)
            if half_close:
                writer.write_eof()

    sending = asyncio.create_task(send())
    try:
        while not reply.closed:
            async with asyncio.timeout(patience):
                data = await reader.read(65_536)
            reply.raw += data
            reply.closed = not data
    except TimeoutError:
        pass
    except ConnectionError:
        reply.closed = True
    reply.seconds = time.monotonic() - started
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return reply


@dataclass
class Bystander:
    """Sends a record again and again, as a producer should."""

    statuses: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    async def run(self, client: httpx.AsyncClient) -> None:
        while True:
            started = time.monotonic()
            answer = await client.post(
                PATH, content=RECORD, headers={"content-type": "application/json"}
            )
            self.seconds.append(time.monotonic() - started)
            self.statuses.append(answer.status_code)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def bystander(endpoint: EndpointProcess) -> AsyncIterator[Bystander]:
    """Let a well-behaved client send meanwhile; every one of its requests must be answered well."""
    seen = Bystander()
    headers = {"x-api-key": KEY}
    async with httpx.AsyncClient(base_url=endpoint.url, headers=headers, timeout=10) as client:
        running = asyncio.create_task(seen.run(client))
        while not seen.statuses:  # keys are read by its first answer
            assert not running.done(), running.exception()
            await asyncio.sleep(0.01)
        yield seen
        running.cancel()
        [end] = await asyncio.gather(running, return_exceptions=True)
    assert isinstance(end, asyncio.CancelledError), end
    assert set(seen.statuses) == {202}
    # Generous, as machines that build are shared: what matters is that nobody is stuck.
    assert sorted(seen.seconds)[len(seen.seconds) // 2] < 0.5
    assert max(seen.seconds) < 5
