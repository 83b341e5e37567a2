"""Bytes that are no request, or almost one: each gets an HTTP answer or a closed connection."""

import asyncio
import random

import pytest

from tests.abuse.wire import PATH, RECORD, bystander, exchange, post, sized
from tests.fixtures.endpoint import KEY

GET = b"GET /livez HTTP/1.1\r\nhost: x\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
CHUNKED = "transfer-encoding: chunked"
CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(RECORD), RECORD)
NO_ANSWER: list[int] = []
# What is sent → the statuses of all that is answered. A second request hidden in the body of the
# first must never be answered where the lengths contradict each other.
SHAPES = {
    # Lengths
    "a good one": (sized("connection: close"), [202]),
    "chunked": (post(CHUNKED, "connection: close", body=CHUNK), [202]),
    "length short": (post("content-length: 4", "connection: close"), [400]),
    "length negative": (post("content-length: -1"), [400]),
    "length signed": (post(f"content-length: +{len(RECORD)}"), [400]),
    "length hexadecimal": (post("content-length: 0x10"), [400]),
    "length in words": (post("content-length: many"), [400]),
    "length beyond 64 bits": (post("content-length: 99999999999999999999999"), [400]),
    "length beyond the limit": (post("content-length: 10000001"), [413]),
    "length empty": (post("content-length: "), [400]),
    "length as a list": (post(f"content-length: {len(RECORD)}, {len(RECORD)}"), [400]),
    "lengths differ": (post("content-length: 4", f"content-length: {len(RECORD)}"), [400]),
    "lengths agree": (post(*[f"content-length: {len(RECORD)}"] * 2), [400]),
    # Smuggling
    "CL.TE": (post("content-length: 6", CHUNKED, body=b"0\r\n\r\n" + LIVEZ), [400]),
    "TE.CL": (post(CHUNKED, "content-length: 4", body=b"5c\r\n" + LIVEZ), [400]),
    "TE.TE": (post(CHUNKED, "transfer-encoding: cow", body=b"0\r\n\r\n" + LIVEZ), [400]),
    "TE unknown": (post("transfer-encoding: xchunked", body=CHUNK), [400]),
    "TE chunked is not last": (post("transfer-encoding: chunked, identity", body=CHUNK), [400]),
    "TE by a tab": (post("transfer-encoding:\tchunked", "connection: close", body=CHUNK), [202]),
    "TE with a space before the colon": (post("transfer-encoding : chunked", body=CHUNK), [400]),
    "TE folded": (post("transfer-encoding:\r\n chunked", body=CHUNK), [400]),
    "TE with a vertical tab": (post("transfer-encoding: \x0bchunked", body=CHUNK), [400]),
    "a folded header": (GET + b"x-a: b\r\n c: d\r\n\r\n", [400]),
    "bare line feeds": (post(f"content-length: {len(RECORD)}", end="\n"), [400]),
    "bare carriage returns": (GET.replace(b"\r\n", b"\r") + b"\r\r", [400]),
    "NUL in a value": (GET + b"x-a: b\0c\r\n\r\n", [400]),
    "NUL in a name": (GET + b"x\0a: b\r\n\r\n", [400]),
    "a name without colon": (GET + b"x-a\r\n\r\n", [400]),
    "an empty name": (GET + b": b\r\n\r\n", [400]),
    "a request in an upgrade's body": (
        sized("connection: upgrade", "upgrade: h2c", body=LIVEZ), [400]
    ),
    # Chunks
    "chunk size not hexadecimal": (post(CHUNKED, body=b"zz\r\n{}\r\n0\r\n\r\n"), [400]),
    "chunk size negative": (post(CHUNKED, body=b"-2\r\n{}\r\n0\r\n\r\n"), [400]),
    "chunk size beyond 64 bits": (post(CHUNKED, body=b"f" * 17 + b"\r\n{}"), [400]),
    "chunk longer than its size": (post(CHUNKED, body=b"1\r\n{}\r\n0\r\n\r\n"), [400]),
    "chunk ends by a bare line feed": (post(CHUNKED, body=b"2\n{}\n0\n\n"), [400]),
    # Headers twice
    "two keys": (sized(f"x-api-key: {KEY}", "connection: close"), [401]),
    "two hosts": (GET + b"host: y\r\nconnection: close\r\n\r\n", [200]),
    "two types": (sized("content-type: application/json", "connection: close"), [415]),
    "two codings": (
        sized("content-encoding: gzip", "content-encoding: gzip", "connection: close"), [415]
    ),
    # Versions and targets
    "HTTP/0.9": (b"GET /livez\r\n\r\n", [200]),
    "HTTP/1.0": (b"GET /livez HTTP/1.0\r\n\r\n", [200]),
    "HTTP/1.0 chunked": (
        post(CHUNKED, body=CHUNK).replace(b"HTTP/1.1", b"HTTP/1.0", 1), [202]
    ),
    "HTTP/2 with prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    "HTTP/9.9": (b"GET /livez HTTP/9.9\r\n\r\n", [400]),
    "an unknown method": (b"BREW /livez HTTP/1.1\r\nhost: x\r\n\r\n", [400]),
    "a lower case method": (b"get /livez HTTP/1.1\r\nhost: x\r\n\r\n", [400]),
    "absolute target": (b"GET http://x/livez HTTP/1.0\r\n\r\n", [200]),
    "absolute target elsewhere": (b"GET http://evil.example/ HTTP/1.0\r\n\r\n", [404]),
    "CONNECT": (b"CONNECT evil.example:443 HTTP/1.1\r\nhost: x\r\n\r\n", [400]),
    "a path of bytes": (b"GET /\xff\xfe HTTP/1.0\r\n\r\n", [400]),
    "a path of the framework's own": (b"GET /robots.txt HTTP/1.0\r\n\r\n", [404]),
    "TRACE": (b"TRACE /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", [405]),
    "a path upwards": (b"GET /docs/../../etc/passwd HTTP/1.0\r\n\r\n", [404]),
    "a path upwards, encoded": (b"GET /docs/%2e%2e%2f%2e%2e%2fetc HTTP/1.0\r\n\r\n", [404]),
    "a key with a line break": (
        f"DELETE {PATH}/a%0Ab HTTP/1.0\r\nx-api-key: {KEY}\r\n\r\n".encode(), [422]
    ),
    "a long path": (b"GET /" + b"a" * 60_000 + b" HTTP/1.0\r\n\r\n", [404]),
    # Size
    "10,000 headers": (GET + b"x-a: b\r\n" * 10_000 + b"\r\n", [400]),
    "2,000 headers": (GET + b"x-a: b\r\n" * 2_000 + b"connection: close\r\n\r\n", [200]),
    "a header of 1 MB": (GET + b"x-a: " + b"a" * 1_000_000 + b"\r\n\r\n", [400]),
    "a path of 1 MB": (b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", [400]),
    # Protocols of others
    "TLS": (bytes.fromhex("16030100c8010000c40303") + bytes(range(200)), [400]),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", [400]),
    "zeros": (bytes(1_000), [400]),
    "pipelined": (GET + b"\r\n" + GET + b"\r\n" + LIVEZ, [200, 200, 200]),
}  # fmt: skip


async def test_every_shape_has_its_answer(start_endpoint, subtests):
    endpoint = start_endpoint("patients")
    async with bystander(endpoint):
        for name, (data, expected) in SHAPES.items():
            with subtests.test(name):
                # Some linger for five seconds, so that the answer is read.
                reply = await exchange(endpoint.port, data, patience=8)
                assert reply.closed
                # A client that still sends may lose the answer: the connection is reset.
                if len(data) < 100_000 or reply.raw:
                    assert reply.statuses in (expected, [431])
                assert b"Traceback" not in reply.raw
    assert endpoint.log.read_text().count("exception") == 0


def random_inputs(seed: int, count: int):
    """Bytes at random, and good requests with bytes changed, cut, doubled or inserted."""
    dice = random.Random(seed)
    models = [sized("connection: close"), post(CHUNKED, "connection: close", body=CHUNK), LIVEZ]
    models.append(f"DELETE {PATH}/p-1 HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n\r\n".encode())
    for number in range(count):
        if number % 4 == 0:
            yield dice.randbytes(dice.randrange(1, 400))
            continue
        data = bytearray(dice.choice(models))
        for _ in range(dice.randrange(1, 5)):
            at, to = sorted(dice.randrange(len(data) + 1) for _ in range(2))
            match dice.randrange(5):
                case 0:
                    data[at:at] = dice.randbytes(dice.randrange(1, 9))
                case 1:
                    del data[at : min(to, at + 20)]
                case 2:
                    data[at:at] = data[at:to]
                case 3:
                    data[at:at] = dice.choice(
                        [b"\r\n", b"\n", b"\0", b":", b" ", b"\r\n\r\n", b"0"]
                    )
                case _ if data:
                    data[at % len(data)] ^= 1 << dice.randrange(8)
            if not data:
                break
        yield bytes(data)


async def test_random_bytes(start_endpoint):
    endpoint = start_endpoint("patients")
    gate = asyncio.Semaphore(48)
    counts = {"answered": 0, "closed or waiting": 0}

    async def send(data: bytes) -> None:
        async with gate:
            reply = await exchange(endpoint.port, data, patience=0.4)
        statuses = reply.statuses  # whole answers, or none
        assert all(status < 500 for status in statuses), data
        counts["answered" if statuses else "closed or waiting"] += 1

    async with bystander(endpoint), asyncio.TaskGroup() as group:
        for data in random_inputs(seed=4, count=3_000):
            group.create_task(send(data))
    assert sum(counts.values()) == 3_000
    assert counts["answered"] > 1_500
    assert endpoint.peak_memory() < 300_000_000
    assert "exception" not in endpoint.log.read_text()


@pytest.mark.parametrize("prefix", [b"GET /", GET + b"x-a: ", GET], ids=["path", "value", "fields"])
async def test_a_header_without_end_is_cut(start_endpoint, prefix):
    endpoint = start_endpoint("patients")
    piece = (b"x-a: b\r\n" if prefix is GET else b"aaaaaaaa") * 4_096
    async with bystander(endpoint):
        before = endpoint.peak_memory()
        replies = await asyncio.gather(
            *(exchange(endpoint.port, prefix, *[piece] * 300) for _ in range(20))
        )
    assert all(reply.closed for reply in replies)
    assert all(reply.statuses in ([], [431], [400]) for reply in replies)
    assert endpoint.peak_memory() - before < 40_000_000  # of 200 MB that were on their way


async def test_pipelined_requests_are_answered_in_order(start_endpoint):
    endpoint = start_endpoint("patients")
    flood = sized() * 200 + b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n" + LIVEZ
    async with bystander(endpoint):
        reply = await exchange(endpoint.port, flood, patience=20)
    assert reply.statuses == [*[202] * 200, 404, 200]
