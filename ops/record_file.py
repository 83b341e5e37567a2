"""Reads records out of a file, one at a time, however large the file is."""

import io
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from schemas import limits

AUTO: Final = "auto"
JSON: Final = "json"
NDJSON: Final = "ndjson"
FORMATS: Final = (AUTO, JSON, NDJSON)
STDIN: Final = "-"
# Far more than a record may have; what is longer is no record but a file of another kind.
MAX_RECORD_BYTES: Final = limits.MAX_BODY_BYTES
_CHUNK_BYTES: Final = 1_000_000
_NDJSON_SUFFIXES: Final = (".ndjson", ".jsonl")
_BOM: Final = b"\xef\xbb\xbf"
_SPACE: Final = b" \t\r\n"
_OUTSIDE_STRING = re.compile(rb'["{}\[\],]')
_INSIDE_STRING = re.compile(rb'["\\]')


class RecordFileError(ValueError):
    """The file holds no records; the text says where it goes wrong, not what is there."""


def open_file(name: str) -> AbstractContextManager[BinaryIO]:
    """Open a file for `read_records`, `-` for the standard input."""
    return nullcontext(sys.stdin.buffer) if name == STDIN else Path(name).open("rb")


def read_records(stream: BinaryIO, name: str = "", format_: str = AUTO) -> Iterator[bytes]:
    """Yield each record's bytes: the elements of a JSON array, the lines of NDJSON, or one object.

    A record may still be no JSON.

    Args:
        stream: The file.
        name: Its name, whose suffix may tell the format.
        format_: One of FORMATS.

    Raises:
        RecordFileError: An array has no end, or a record is beyond all bounds.
    """
    head = stream.read(_CHUNK_BYTES).removeprefix(_BOM)
    if format_ == AUTO:
        format_ = NDJSON if name.endswith(_NDJSON_SUFFIXES) else _format_of(head)
    return _lines(head, stream) if format_ == NDJSON else _document(head, stream)


def _format_of(head: bytes) -> str:
    """Tell NDJSON by its first line, which is a whole object."""
    text = head.lstrip(_SPACE)
    if not text.startswith(b"{"):
        return JSON
    try:
        orjson.loads(text.partition(b"\n")[0])
    except orjson.JSONDecodeError:
        return JSON
    return NDJSON


def _lines(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    # A line that the head ends in goes on in the stream.
    begun = io.BytesIO(head)
    for source in (begun, stream):
        while line := source.readline(MAX_RECORD_BYTES + 1):
            if source is begun and not line.endswith(b"\n"):
                line += stream.readline(MAX_RECORD_BYTES + 1)  # the rest of it
            if len(line.rstrip(_SPACE)) > MAX_RECORD_BYTES:
                raise RecordFileError(f"a line is longer than {MAX_RECORD_BYTES:,} bytes")
            line = line.strip(_SPACE)  # without its end
            if line:
                yield line


def _document(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    if head.lstrip(_SPACE).startswith(b"["):
        yield from _Elements(head, stream)
        return
    document = head + stream.read(MAX_RECORD_BYTES)
    if len(document) > MAX_RECORD_BYTES:
        raise RecordFileError(f"one record has more than {MAX_RECORD_BYTES:,} bytes; is it NDJSON?")
    if document.strip(_SPACE):
        yield document


class _Elements:
    """Cuts a JSON array at the commas of its own level, without a look at the elements."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._buffer, self._stream = head.lstrip(_SPACE), stream
        self._at = 1  # after the bracket

    def __iter__(self) -> Iterator[bytes]:
        count, is_last = 0, False
        while not is_last:
            end = self._end_of_element(count)
            is_last = self._buffer[end : end + 1] == b"]"
            element = self._buffer[self._at : end].strip(_SPACE)
            self._buffer, self._at = self._buffer[end + 1 :], 0
            if element or count or not is_last:  # else the array is empty
                count += 1
                yield element
        rest = self._buffer.strip(_SPACE) or self._stream.read(_CHUNK_BYTES).strip(_SPACE)
        if rest:
            raise RecordFileError(f"something follows the array of {count} record(s)")

    def _end_of_element(self, count: int) -> int:
        """Return where the comma or bracket stands that ends the element."""
        at, depth, is_string = self._at, 0, False
        while True:
            match = (_INSIDE_STRING if is_string else _OUTSIDE_STRING).search(self._buffer, at)
            # The character after a backslash is needed too.
            if not match or (match[0] == b"\\" and match.end() == len(self._buffer)):
                at = match.start() if match else len(self._buffer)
                self._read_on(count)
                continue
            at = match.end()
            if match[0] == b"\\":
                at += 1
            elif match[0] == b'"':
                is_string = not is_string
            elif match[0] in b"{[":
                depth += 1
            elif depth == 0 and match[0] in b",]":
                return match.start()
            elif match[0] in b"}]":
                depth -= 1

    def _read_on(self, count: int) -> None:
        if len(self._buffer) - self._at > MAX_RECORD_BYTES:
            raise RecordFileError(f"record {count + 1} has more than {MAX_RECORD_BYTES:,} bytes")
        chunk = self._stream.read(_CHUNK_BYTES)
        if not chunk:
            raise RecordFileError(f"the file ends within record {count + 1} of its array")
        self._buffer += chunk
