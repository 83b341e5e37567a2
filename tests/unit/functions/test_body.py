import asyncio
import gzip
import tracemalloc
import zlib

import pytest

from functions.body import LARGE_BODY, Bodies, gunzip
from functions.exchange import Exchange
from functions.media import JSON, NDJSON, body_format, content_length, is_gzip
from functions.problems import (
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    EMPTY_BODY,
    INCOMPLETE_BODY,
    INVALID_ENCODING,
    OVERLOADED,
    SHUTTING_DOWN,
    UNSUPPORTED_ENCODING,
    UNSUPPORTED_MEDIA_TYPE,
    Problem,
)
from schemas import limits

LIMIT = limits.MAX_BODY_BYTES


def exchange(*parts: bytes, headers=(), ends: bool = True, disconnects: bool = False) -> Exchange:
    """Return a request whose body comes in these parts."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if messages and ends:
        messages[-1]["more_body"] = False
    if disconnects:
        messages.append({"type": "http.disconnect"})
    waiting = iter(messages)

    async def receive():
        try:
            return next(waiting)
        except StopIteration:
            await asyncio.sleep(60)

    return Exchange(list(headers), receive, "r")


@pytest.fixture
def bodies():
    return Bodies(memory=4 * LIMIT, timeout=30)


async def refusal(bodies: Bodies, request: Exchange) -> Problem:
    with pytest.raises(Problem) as caught:
        await bodies.read(request)
    assert bodies.held == 0
    return caught.value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"application/json", JSON),
        (b"Application/JSON", JSON),
        (b"application/json; charset=utf-8", JSON),
        (b'application/json ;charset="UTF-8"', JSON),
        (b"application/json;charset=utf8;", JSON),
        (b"application/x-ndjson", NDJSON),
        (b"application/ndjson", NDJSON),
        (b"application/jsonl;charset=utf-8", NDJSON),
    ],
)
def test_json_and_ndjson_are_understood(value, expected):
    assert body_format(exchange(headers=[(b"content-type", value)])) is expected


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-type", b"")],
        [(b"content-type", b"text/plain")],
        [(b"content-type", b"application/json; charset=latin-1")],
        [(b"content-type", b"application/json, application/json")],
        [(b"content-type", b"application/jsonx")],
        [(b"content-type", b"application/json"), (b"content-type", b"application/x-ndjson")],
        [(b"content-type", b"application/json"), (b"content-type", b"application/json")],
        [(b"content-type", b"\xff\xfe")],
    ],
)
def test_any_other_media_type_is_refused_with_what_would_do(headers):
    with pytest.raises(Problem) as caught:
        body_format(exchange(headers=headers))
    assert caught.value.kind is UNSUPPORTED_MEDIA_TYPE
    assert dict(caught.value.headers)[b"accept-post"] == b"application/json, application/x-ndjson"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], False),
        ([b"gzip"], True),
        ([b" GZip "], True),
        ([b"x-gzip"], True),
        ([b"identity"], False),
        ([b""], False),
    ],
)
def test_codings(values, expected):
    assert is_gzip(exchange(headers=[(b"content-encoding", v) for v in values])) is expected


@pytest.mark.parametrize("values", [[b"br"], [b"gzip, gzip"], [b"gzip", b"gzip"], [b"\xff"]])
def test_other_codings_are_refused(values):
    with pytest.raises(Problem) as caught:
        is_gzip(exchange(headers=[(b"content-encoding", v) for v in values]))
    assert caught.value.kind is UNSUPPORTED_ENCODING
    assert caught.value.headers == [(b"accept-encoding", b"gzip, identity")]


def test_a_length_without_end_is_just_large():
    assert content_length(b"9" * 10_000) > LIMIT


@pytest.mark.parametrize(
    "parts", [[b"{}"], [b"{", b"}"], [b"", b"{}"], [b"{}", b""], [b"{", b"", b"}"]]
)
async def test_a_body_is_joined(bodies, parts):
    assert await bodies.read(exchange(*parts)) == b"{}"
    assert bodies.held == 0


@pytest.mark.parametrize("size", [LARGE_BODY - 1, LARGE_BODY, LIMIT])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("declared", [True, False])
async def test_large_bodies_hold_memory_until_they_are_done(bodies, size, count, declared):
    whole = b"x" * size
    step = -(-size // count)
    parts = [whole[start : start + step] for start in range(0, size, step)]
    headers = [(b"content-length", b"%d" % size)] if declared else []
    body = await bodies.read(exchange(*parts, headers=headers))
    assert body == whole
    assert bodies.held == (size if size >= LARGE_BODY else 0)
    bodies.done(body)
    assert bodies.held == 0


async def test_a_body_that_says_it_is_too_large_is_not_read(bodies):
    request = exchange(headers=[(b"content-length", b"%d" % (LIMIT + 1))])
    problem = await refusal(bodies, request)
    assert problem.kind is BODY_TOO_LARGE
    assert problem.is_early


@pytest.mark.parametrize("parts", [[b"x" * (LIMIT + 1)], [b"x" * LIMIT, b"x"]], ids=["one", "two"])
async def test_a_body_that_grows_too_large_is_refused(bodies, parts):
    assert (await refusal(bodies, exchange(*parts))).kind is BODY_TOO_LARGE


@pytest.mark.parametrize("headers", [[], [(b"content-encoding", b"gzip")]])
@pytest.mark.parametrize("parts", [[b""], [b"", b""]], ids=["one", "two"])
async def test_an_empty_body_is_refused(bodies, parts, headers):
    problem = await refusal(bodies, exchange(*parts, headers=headers))
    assert problem.kind is (INVALID_ENCODING if headers else EMPTY_BODY)


async def test_gzip_of_nothing_is_an_empty_body(bodies):
    request = exchange(gzip.compress(b""), headers=[(b"content-encoding", b"gzip")])
    assert (await refusal(bodies, request)).kind is EMPTY_BODY


@pytest.mark.parametrize("parts", [[], [b"{"], [b"x" * LARGE_BODY]], ids=["none", "small", "large"])
async def test_a_client_that_goes_away_leaves_nothing_behind(bodies, parts):
    request = exchange(*parts, ends=False, disconnects=True)
    assert (await refusal(bodies, request)).kind is INCOMPLETE_BODY


async def test_memory_for_a_declared_body_is_taken_before_it_is_read():
    bodies = Bodies(memory=2 * LARGE_BODY, timeout=30)
    headers = [(b"content-length", b"%d" % LARGE_BODY)]
    waiting = [asyncio.create_task(bodies.read(exchange(headers=headers))) for _ in range(2)]
    await asyncio.sleep(0)
    assert bodies.held == 2 * LARGE_BODY
    with pytest.raises(Problem) as caught:
        await bodies.read(exchange(b"x" * LARGE_BODY, headers=headers))
    assert caught.value.kind is OVERLOADED
    assert caught.value.headers == [(b"retry-after", b"1")]
    assert caught.value.is_early
    assert await bodies.read(exchange(b"{}")) == b"{}"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert bodies.held == 0


async def test_memory_for_other_bodies_is_taken_as_they_arrive():
    bodies = Bodies(memory=LARGE_BODY, timeout=30)
    assert (await refusal(bodies, exchange(b"x" * LARGE_BODY, b"x"))).kind is OVERLOADED
    small = gzip.compress(b"x" * (LARGE_BODY + 1))
    request = exchange(small, headers=[(b"content-encoding", b"gzip")])
    assert (await refusal(bodies, request)).kind is OVERLOADED


@pytest.mark.parametrize("parts", [[], [b"{"], [b"x" * LARGE_BODY]], ids=["none", "small", "large"])
async def test_a_body_that_does_not_come_ends_with_its_time(parts):
    bodies = Bodies(memory=LIMIT, timeout=0.1)
    problem = await refusal(bodies, exchange(*parts, ends=False))
    assert problem.kind is BODY_TIMEOUT
    assert problem.headers == [(b"connection", b"close")]
    assert await bodies.read(exchange(b"{}")) == b"{}"


async def test_a_request_that_is_cancelled_is_not_taken_for_a_slow_one(bodies):
    task = asyncio.create_task(bodies.read(exchange()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_bodies_can_be_given_up_when_the_process_stops(bodies):
    task = asyncio.create_task(bodies.read(exchange(b"{", ends=False)))
    await asyncio.sleep(0)
    bodies.hurry()
    with pytest.raises(Problem) as caught:
        await task
    assert caught.value.kind is SHUTTING_DOWN
    assert dict(caught.value.headers) == {b"retry-after": b"1", b"connection": b"close"}


@pytest.mark.parametrize("plain", [b"", b"{}", b"x" * 200_000], ids=["empty", "small", "large"])
@pytest.mark.parametrize("members", [1, 2, 1000])
def test_gzip_of_one_or_many_members(plain, members):
    if len(plain) * members > LIMIT:
        members = LIMIT // len(plain)
    assert gunzip(gzip.compress(plain) * members) == plain * members


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        gzip.compress(b"{}")[:-1],
        gzip.compress(b"{}")[:5],
        gzip.compress(b"{}") + b"x",
        gzip.compress(b"{}") + gzip.compress(b"{}")[:-1],
        gzip.compress(b"{}")[:-8] + b"\x00" * 8,
        zlib.compress(b"{}"),
        gzip.compress(b"") * 1001,
    ],
    ids=["empty", "plain", "cut", "header", "trailing", "second cut", "CRC", "zlib", "members"],
)
def test_what_is_not_whole_gzip_is_refused(body):
    with pytest.raises(Problem) as caught:
        gunzip(body)
    assert caught.value.kind is INVALID_ENCODING


def test_the_limit_holds_after_decompression_too():
    assert len(gunzip(gzip.compress(b"x" * LIMIT))) == LIMIT
    for bomb in (gzip.compress(b"x" * (LIMIT + 1)), gzip.compress(b"x" * 5_000_000) * 3):
        with pytest.raises(Problem) as caught:
            gunzip(bomb)
        assert caught.value.kind is BODY_TOO_LARGE
        assert not caught.value.is_early


def test_a_bomb_costs_no_more_memory_than_the_limit():
    packer = zlib.compressobj(wbits=31)
    zeros = b"\0" * LIMIT
    head, block = (packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    bomb = head + block * 99  # after a full flush blocks can be repeated: 1 GB
    tracemalloc.start()
    with pytest.raises(Problem):
        gunzip(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.5 * LIMIT
