"""Parts a body into records, and these into those that keep their contract and the others."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import orjson

from functions.body import LARGE_BODY, Body
from functions.media import JSON, NDJSON
from functions.problems import (
    INVALID_JSON,
    NO_RECORDS,
    TOO_MANY_RECORDS,
    Problem,
)
from schemas import limits
from schemas.validation import NOT_AN_OBJECT, RecordError, Validator

# Python needs up to 200 bytes for an empty object that takes 3 in the body.
_MAX_CONTAINERS: Final = 300_000
# So many errors tell what is wrong; more would only make an answer larger than its request.
MAX_ERRORS: Final = 1_000
# Other requests are served after so many records, some milliseconds.
_RECORDS_PER_TURN: Final = 200

_BOM: Final = b"\xef\xbb\xbf"
TOO_DEEP: Final = RecordError("$", "maxDepth", f"must nest at most {limits.MAX_DEPTH} deep")
TOO_BIG: Final = RecordError(
    "$", "maxBytes", f"must be at most {limits.MAX_RECORD_BYTES:,} bytes as JSON"
)


class Sifted:
    """The records of one body.

    Attributes:
        good: Canonical JSON of each valid record: no space, no repeated names.
        positions: The index in the body of each of them.
        bad: The errors of the others by index; an empty list where there was no room for more.
        errors_left: How many more errors fit the answer.
    """

    __slots__ = ("bad", "errors_left", "good", "positions")

    def __init__(self) -> None:
        self.good: list[bytes] = []
        self.positions: list[int] = []
        self.bad: dict[int, list[RecordError]] = {}
        self.errors_left = MAX_ERRORS

    @property
    def is_cut(self) -> bool:
        """Whether some records are refused without their errors."""
        return self.errors_left <= 0 and not all(self.bad.values())

    def refuse(self, index: int, errors: list[RecordError]) -> None:
        """Note an invalid record, with its errors as far as there is room."""
        self.bad[index] = errors[: max(self.errors_left, 0)]
        self.errors_left -= len(errors)


class Sieve:
    """Sifts the records of one resource.

    Args:
        validator: Of the resource.
        turn: Held while a large body is in pieces, as these take many times its memory; shared by
            all sieves of the process.
    """

    def __init__(self, validator: Validator, turn: asyncio.Lock) -> None:
        self._validator = validator
        self._is_valid = validator.is_valid
        self._turn = turn

    async def sift(self, body: Body, body_format: str) -> Sifted:
        """Check every record of a body; others are served in between.

        Raises:
            Problem: 400 if the body is not JSON, 413 if it holds too many records, 422 if none.
        """
        if len(body) < LARGE_BODY:
            return self.sift_at_once(body, body_format)
        sifted = Sifted()
        async with self._turn:
            for _ in self._steps(body, body_format, sifted):
                await asyncio.sleep(0)
        return sifted

    def sift_at_once(self, body: Body, body_format: str) -> Sifted:
        """Check every record of a body that is smaller than LARGE_BODY; raises as `sift` does."""
        sifted = Sifted()
        if body_format == JSON and body.startswith(b"{"):  # one record, as most bodies are
            self._check(_parse(body), 0, sifted)
        else:
            for _ in self._steps(body, body_format, sifted):
                pass
        return sifted

    def _steps(self, body: Body, body_format: str, sifted: Sifted) -> Iterator[None]:
        """Fill `sifted`; yield after every turn's worth of records."""
        # RFC 8259, section 8.1: a parser may ignore it.
        if body.startswith(_BOM):  # noqa: FURB188 (removeprefix copies even where there is none)
            body = body[len(_BOM) :]
        if body_format == NDJSON:
            yield from self._lines(body, sifted)
            return
        document = _parse(body)
        if not isinstance(document, list):
            self._check(document, 0, sifted)
            return
        if not document:
            raise Problem(NO_RECORDS)
        if len(document) > limits.MAX_BODY_RECORDS:
            raise _too_many_records()
        for index, record in enumerate(document):
            if index % _RECORDS_PER_TURN == _RECORDS_PER_TURN - 1:
                yield
            document[index] = None  # it takes many times the memory of its line
            self._check(record, index, sifted)

    def _lines(self, body: Body, sifted: Sifted) -> Iterator[None]:
        if body.count(b"\n") > limits.MAX_BODY_RECORDS:
            raise _too_many_records()
        index = 0
        start = 0
        while start < len(body):
            end = body.find(b"\n", start)
            end = len(body) if end < 0 else end
            # One after the other: all at once they would be a second copy of a large body.
            line = body[start:end]
            start = end + 1
            if not line or line.isspace():
                continue
            if index % _RECORDS_PER_TURN == _RECORDS_PER_TURN - 1:
                yield
            if len(line) > limits.MAX_RECORD_BYTES:
                sifted.refuse(index, [TOO_BIG])
            else:
                try:
                    record = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    # The position alone: the parser's own words may quote the line.
                    problem = RecordError("$", "json", f"is not JSON from column {error.colno}")
                    sifted.refuse(index, [problem])
                else:
                    self._check(record, index, sifted)
            index += 1
        if not index:
            raise Problem(NO_RECORDS)

    def _check(self, record: object, index: int, sifted: Sifted) -> None:
        """Put one record where it belongs; what is cheap and bounds the rest is checked first."""
        if type(record) is not dict:
            sifted.refuse(index, [NOT_AN_OBJECT])
            return
        try:
            line = orjson.dumps(record)
        except orjson.JSONEncodeError:  # beyond 254 levels; what was parsed has no other fault
            sifted.refuse(index, [TOO_DEEP])
            return
        # The brackets bound the depth, so that it is seldom measured.
        if (
            line.count(b"{") + line.count(b"[") > limits.MAX_DEPTH
            and _depth(record) > limits.MAX_DEPTH
        ):
            sifted.refuse(index, [TOO_DEEP])
        elif len(line) > limits.MAX_RECORD_BYTES:
            sifted.refuse(index, [TOO_BIG])
        elif self._is_valid(record):
            sifted.good.append(line)
            sifted.positions.append(index)
        else:
            room = sifted.errors_left > 0
            sifted.refuse(index, self._validator.errors(record) if room else [])


def _parse(body: Body) -> Any:
    if len(body) >= LARGE_BODY and body.count(b"{") + body.count(b"[") > _MAX_CONTAINERS:
        raise Problem(
            TOO_MANY_RECORDS,
            f"at most {_MAX_CONTAINERS:,} objects and arrays in one JSON document",
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The position alone: the parser's own words may quote the body.
        raise Problem(INVALID_JSON, f"at line {error.lineno}, column {error.colno}") from None


def _depth(record: object) -> int:
    """Return how deep objects and arrays nest, without recursion."""
    depth = 0
    level: list[Any] = [record]
    while level:
        depth += 1
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
    return depth


def _too_many_records() -> Problem:
    return Problem(TOO_MANY_RECORDS, f"at most {limits.MAX_BODY_RECORDS:,} records a request")
