import io
import json

import pytest

from ops import record_file
from ops.record_file import MAX_RECORD_BYTES, RecordFileError, open_file, read_records
from schemas.registry import SCHEMAS_DIR

RECORDS = [{"a": 1}, {"b": '], {\\" [', "c": [[], {}]}, {}, {"d": "ü\u2028"}]
EXAMPLES = sorted((SCHEMAS_DIR / "examples").glob("*/*.pass.json"))


def read(text, name="", format_="auto"):
    return list(read_records(io.BytesIO(text), name, format_))


def parsed(text, name="", format_="auto"):
    return [json.loads(record) for record in read(text, name, format_)]


def as_lines(records, end="\n"):
    return "".join(json.dumps(record) + end for record in records).encode()


ARRAYS = {
    "compact": json.dumps(RECORDS, separators=(",", ":")),
    "pretty": json.dumps(RECORDS, indent=2),
    "spaced": f" \n {json.dumps(RECORDS)} \r\n",
    "with a mark": "\ufeff" + json.dumps(RECORDS),
    "unescaped": json.dumps(RECORDS, ensure_ascii=False),
}


@pytest.mark.parametrize("text", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1_000])
def test_array_wherever_its_chunks_end(monkeypatch, text, chunk):
    # The head tells the format: it holds the byte order mark and the bracket.
    monkeypatch.setattr(record_file, "_CHUNK_BYTES", max(chunk, 7))
    assert parsed(text.encode()) == RECORDS
    monkeypatch.setattr(record_file, "_CHUNK_BYTES", chunk)
    assert parsed(text.encode().removeprefix(b"\xef\xbb\xbf").strip()) == RECORDS


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("chunk", [15, 40, 1_000])
def test_lines_wherever_their_chunks_end(monkeypatch, end, chunk):
    monkeypatch.setattr(record_file, "_CHUNK_BYTES", chunk)
    assert parsed(as_lines(RECORDS, end)) == RECORDS
    assert parsed(as_lines(RECORDS, end).rstrip()) == RECORDS


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_one_object(path):
    assert parsed(path.read_bytes(), path.name) == [json.loads(path.read_bytes())]


@pytest.mark.parametrize(
    ("text", "records"),
    [
        (b"", 0),
        (b" \n", 0),
        (b"[]", 0),
        (b"[ ]\n", 0),
        (b"[{}]", 1),
        (b"null", 1),
        (b"[1, [2]]", 2),
    ],
)
def test_number_of_records(text, records):
    assert len(read(text)) == records


def test_what_is_no_json_is_a_record_of_its_own():
    assert read(b'[{"a": NaN}, , {]]') == [b'{"a": NaN}', b"", b"{]"]
    assert read(b'{"a": 1}\n{"a": \n[2]\n') == [b'{"a": 1}', b'{"a":', b"[2]"]


@pytest.mark.parametrize("name", ["x.ndjson", "x.jsonl"])
def test_suffix_tells_lines(name):
    assert len(read(b'{"a": \n{"b": 1}\n', name)) == 2
    assert len(read(b'{"a": \n{"b": 1}\n')) == 1


def test_format_may_be_named():
    assert len(read(b'{"a": \n{"b": 1}\n', format_="ndjson")) == 2
    assert len(read(b'{"a": 1}\n{"b": 1}\n', format_="json")) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'[{"a": 1}', "the file ends within record 1 of its array"),
        (b'[{"a": 1}, {"b": "x]', "the file ends within record 2 of its array"),
        (b'[{"a": "\\', "the file ends within record 1 of its array"),
        (b'[{"a": 1}] {"b": 2}', r"something follows the array of 1 record\(s\)"),
    ],
)
def test_array_that_is_none(text, problem):
    with pytest.raises(RecordFileError, match=problem):
        read(text)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (b'[{"a": "', b'"}]', "record 1 has more than"),
        (b'{"a": 1}\n{"a": "', b'"}\n', "a line is longer than"),
        (b'{\n"a": "', b'"}', "one record has more than"),
    ],
    ids=["array", "lines", "object"],
)
def test_record_beyond_all_bounds(before, after, problem):
    with pytest.raises(RecordFileError, match=problem):
        read(before + b"x" * (MAX_RECORD_BYTES + 1_000_000) + after)


class Endless:
    """An array that has no end."""

    def __init__(self):
        self.chunks = 0

    def read(self, size):
        assert size
        self.chunks += 1
        return b"[" if self.chunks == 1 else b'{"a": "xxxxxx"},' * 1_000


def test_array_is_read_as_its_records_are_taken():
    stream = Endless()
    records = read_records(stream)

    for _ in range(10_000):
        next(records)

    assert stream.chunks <= 12


def test_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}')))

    with open_file("-") as stream:
        assert list(read_records(stream)) == [b'{"a": 1}']
