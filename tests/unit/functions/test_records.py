import asyncio

import orjson
import pytest

from functions import records as records_module
from functions.media import JSON, NDJSON
from functions.problems import INVALID_JSON, NO_RECORDS, TOO_MANY_RECORDS, Problem
from functions.records import MAX_ERRORS, Sieve
from schemas import limits
from tests.fixtures.endpoint import example

BOM = b"\xef\xbb\xbf"


@pytest.fixture
def good():
    return example("patients", "minimal")


@pytest.fixture
def sieve(validators):
    return Sieve(validators["patients"], asyncio.Lock())


def nested(depth: int, record: dict) -> bytes:
    """Write a record that nests deeper than orjson would."""
    opening = b"".join([b"[" if level % 2 else b'{"x":' for level in range(depth - 1)])
    closing = b"".join([b"]" if level % 2 else b"}" for level in reversed(range(depth - 1))])
    return orjson.dumps(record)[:-1] + b',"x_deep":' + opening + b"1" + closing + b"}"


def rules(sifted) -> dict[int, list[str]]:
    return {index: [error.rule for error in errors] for index, errors in sifted.bad.items()}


async def test_one_object_is_one_record(sieve, good):
    sifted = await sieve.sift(b"\n " + orjson.dumps(good, option=orjson.OPT_INDENT_2), JSON)
    assert sifted.good == [orjson.dumps(good)]
    assert (sifted.positions, sifted.bad) == ([0], {})


@pytest.mark.parametrize("bom", [b"", BOM])
async def test_an_array_is_sifted_by_index(sieve, good, bom):
    body = orjson.dumps([good, 1, good, {}, [], None])
    sifted = await sieve.sift(bom + body, JSON)
    assert sifted.positions == [0, 2]
    assert rules(sifted)[1] == rules(sifted)[4] == rules(sifted)[5] == ["notObject"]
    assert "required" in rules(sifted)[3]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("bom", [b"", BOM])
async def test_lines_are_sifted_and_blank_ones_skipped(sieve, good, newline, bom):
    line = orjson.dumps(good)
    body = bom + newline.join([line, b"", b"{", b" \t", line, b'"x"', line + b" " + line, b""])
    sifted = await sieve.sift(body, NDJSON)
    assert sifted.positions == [0, 2]
    assert rules(sifted) == {1: ["json"], 3: ["notObject"], 4: ["json"]}


async def test_names_that_stand_twice_become_one(sieve, good):
    doubled = orjson.dumps(good)[:-1] + b',"patient_id":"p-2"}'
    (line,) = (await sieve.sift(doubled, JSON)).good
    assert line.count(b"patient_id") == 1
    assert orjson.loads(line)["patient_id"] == "p-2"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b'{"a":"\xed\xa0\x80"}',
        b"[1,]",
        b"NaN",
        b'{"a":1e400}',
        b'"\\ud800"',
        b"{}{}",
        b" ",
        BOM,
        BOM + BOM + b"{}",
        b"[" * 2000 + b"]" * 2000,
    ],
)
async def test_what_is_not_json_is_refused_without_its_words(sieve, body):
    with pytest.raises(Problem) as caught:
        await sieve.sift(body, JSON)
    assert caught.value.kind is INVALID_JSON
    assert caught.value.detail.startswith("at line ")


@pytest.mark.parametrize(
    ("body", "body_format"), [(b"[]", JSON), (b"\n\n", NDJSON), (b" ", NDJSON), (BOM, NDJSON)]
)
async def test_a_body_without_records_is_refused(sieve, body, body_format):
    with pytest.raises(Problem) as caught:
        await sieve.sift(body, body_format)
    assert caught.value.kind is NO_RECORDS


@pytest.mark.parametrize("depth", [limits.MAX_DEPTH + 1, 254, 255, 256, 1000])
@pytest.mark.parametrize("body_format", [JSON, NDJSON])
async def test_records_that_nest_too_deep_are_refused(sieve, good, depth, body_format):
    sifted = await sieve.sift(nested(depth, good), body_format)
    assert rules(sifted) == {0: ["maxDepth"]}


async def test_records_may_nest_to_the_limit(sieve, good):
    body = nested(limits.MAX_DEPTH, good)
    assert not (await sieve.sift(body, JSON)).bad


async def test_many_brackets_are_not_depth(sieve, good):
    record = {**good, "x_flat": [[] for _ in range(500)], "x_text": "[{" * 500}
    assert not (await sieve.sift(orjson.dumps(record), JSON)).bad


def of_size(record: dict, size: int) -> bytes:
    empty = len(orjson.dumps({**record, "x_pad": ""}))
    line = orjson.dumps({**record, "x_pad": "x" * (size - empty)})
    assert len(line) == size
    return line


@pytest.mark.parametrize(("extra", "is_good"), [(0, True), (1, False)])
@pytest.mark.parametrize("form", ["object", "array", "line"])
async def test_records_may_have_a_megabyte(sieve, good, extra, is_good, form):
    line = of_size(good, limits.MAX_RECORD_BYTES + extra)
    body = b"[" + line + b"]" if form == "array" else line
    sifted = await sieve.sift(body, NDJSON if form == "line" else JSON)
    assert rules(sifted) == ({} if is_good else {0: ["maxBytes"]})


@pytest.mark.parametrize(
    ("count", "is_good"),
    [(limits.MAX_BODY_RECORDS, True), (limits.MAX_BODY_RECORDS + 1, False)],
    ids=["most", "more"],
)
async def test_the_number_of_records_is_bounded(sieve, count, is_good):
    for body, body_format in (
        (b"[" + b"1," * (count - 1) + b"1]", JSON),
        (b"1\n" * count, NDJSON),
    ):
        if is_good:
            assert len((await sieve.sift(body, body_format)).bad) == count
        else:
            with pytest.raises(Problem) as caught:
                await sieve.sift(body, body_format)
            assert caught.value.kind is TOO_MANY_RECORDS


async def test_the_number_of_containers_is_bounded(sieve, monkeypatch):
    monkeypatch.setattr(records_module, "_MAX_CONTAINERS", 30_000)
    with pytest.raises(Problem) as caught:
        await sieve.sift(b"[" + b"[]," * 29_999 + b"[]]", JSON)
    assert caught.value.kind is TOO_MANY_RECORDS


@pytest.mark.parametrize("extra", [0, 1, 500])
async def test_errors_are_cut_when_there_are_too_many(sieve, extra):
    count = MAX_ERRORS + extra
    sifted = await sieve.sift(b"1\n" * count, NDJSON)
    assert len(sifted.bad) == count
    assert sum(map(len, sifted.bad.values())) == MAX_ERRORS
    assert sifted.is_cut is (extra > 0)


async def test_others_are_served_while_a_large_body_is_sifted(sieve, good):
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    sifted = await sieve.sift((orjson.dumps(good) + b"\n") * 5000, NDJSON)
    task.cancel()
    assert len(sifted.good) == 5000
    assert turns >= 20


async def test_large_bodies_are_sifted_one_at_a_time(sieve, good):
    body = orjson.dumps([good] * 2000)
    first = asyncio.create_task(sieve.sift(body, JSON))
    second = asyncio.create_task(sieve.sift(body, JSON))
    await asyncio.sleep(0)
    await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    assert first.done()
    assert not second.done()
    await second
