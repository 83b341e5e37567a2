"""Clients that take their time: none holds its connection for long, and others are served."""

import asyncio
import itertools

from tests.abuse.wire import PATH, bystander, exchange, post, sized

MANY = 100
GET = b"GET /livez HTTP/1.1\r\nhost: x\r\n"


def drip(data: bytes, size: int = 1) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


async def slow_clients(endpoint, *pieces: bytes, pause: float):
    """Let many send the pieces at the same time, with others served; return their replies."""
    async with bystander(endpoint) as seen:
        before = len(seen.statuses)
        clients = (exchange(endpoint.port, *pieces, pause=pause, patience=20) for _ in range(MANY))
        replies = await asyncio.gather(*clients)
        assert len(seen.statuses) > before + 5
    return replies


async def test_a_header_that_takes_too_long(start_endpoint):
    endpoint = start_endpoint("patients", HEADER_TIMEOUT_SECONDS="2")
    kinds = {
        "silence": [],
        "method": drip(b"OPTIONS"),
        "value": drip(GET + b"x-a: " + b"a" * 100),
        "fields": [GET, *[b"x-a: b\r\n"] * 100],
    }
    replies = await asyncio.gather(
        *(slow_clients(endpoint, *pieces, pause=0.3) for pieces in kinds.values())
    )
    for reply in itertools.chain.from_iterable(replies):
        assert reply.closed
        assert reply.seconds < 8
        assert reply.statuses in ([], [400])


async def test_a_body_that_takes_too_long(start_endpoint):
    endpoint = start_endpoint("patients", BODY_TIMEOUT_SECONDS="2")
    head, body = post("content-length: 1000", body=b""), b'{"a":' + b" " * 200
    replies = await slow_clients(endpoint, head, *drip(body), pause=0.3)
    for reply in replies:
        assert reply.closed
        assert reply.seconds < 10
        assert reply.statuses == [408]


async def test_a_body_that_goes_on_after_its_answer(start_endpoint):
    endpoint = start_endpoint("patients", HEADER_TIMEOUT_SECONDS="2", REFUSED_KEYS_PER_MINUTE="0")
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n".encode()
    replies = await slow_clients(endpoint, head, *[b"x"] * 100, pause=0.3)
    for reply in replies:
        assert reply.closed
        assert reply.seconds < 8
        assert reply.statuses == [401]


async def test_a_next_header_on_a_connection_that_is_kept(start_endpoint):
    endpoint = start_endpoint("patients", HEADER_TIMEOUT_SECONDS="2")
    replies = await slow_clients(endpoint, sized(), *drip(b"G" * 100), pause=0.3)
    for reply in replies:
        assert reply.closed
        assert reply.statuses in ([202], [202, 400])


async def test_answers_that_nobody_takes(start_endpoint):
    endpoint = start_endpoint("patients", HEADER_TIMEOUT_SECONDS="2")
    big = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n"
    async with bystander(endpoint):
        before = endpoint.peak_memory()
        streams = [
            await asyncio.open_connection("127.0.0.1", endpoint.port, limit=1) for _ in range(100)
        ]
        for _, writer in streams:
            writer.write(big * 5)
            writer.transport.pause_reading()
        await asyncio.sleep(6)
        for _, writer in streams:
            writer.transport.resume_reading()
        # What the kernels held arrives; the rest never does, as the connection is gone.
        sizes = []
        for reader, writer in streams:
            size = 0
            try:
                while data := await reader.read(1 << 20):
                    size += len(data)
            except ConnectionError:
                pass
            sizes.append(size)
            writer.close()
    assert max(sizes) < 5 * 1_400_000
    assert endpoint.peak_memory() - before < 40_000_000


async def test_connections_are_bounded(start_endpoint):
    endpoint = start_endpoint("patients", MAX_CONNECTIONS="50", HEADER_TIMEOUT_SECONDS="3")
    async with bystander(endpoint):  # its connection is one of them
        replies = await asyncio.gather(*(exchange(endpoint.port, patience=10) for _ in range(120)))
        assert all(reply.closed for reply in replies)
        at_once = sum(reply.seconds < 2 for reply in replies)
        assert 65 <= at_once <= 75
        assert (await exchange(endpoint.port, sized("connection: close"))).statuses == [202]
