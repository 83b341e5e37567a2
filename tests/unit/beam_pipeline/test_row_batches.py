"""Requests have a good size, and only so many are on their way."""

from dataclasses import dataclass

import pytest

from beam_pipeline import row_batches
from beam_pipeline.row_batches import MAX_BYTES, MAX_ON_THEIR_WAY, MAX_ROWS, RowBatches

HALF = b"x" * (MAX_BYTES // 2)
LARGER_THAN_A_REQUEST = b"x" * (MAX_BYTES + 1)


@dataclass
class Sent:
    rows: list[bytes]
    refused: dict[int, str]


class Writer:
    def __init__(self):
        self.sent, self.settled = [], []

    def send(self, rows):
        self.sent.append(Sent(rows, {}))
        return self.sent[-1]

    def settle(self, delivery):
        self.settled.append(delivery)
        return delivery


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        ([], []),
        ([b"a"], [1]),
        ([b"a"] * MAX_ROWS, [MAX_ROWS]),
        ([b"a"] * (MAX_ROWS + 1), [MAX_ROWS, 1]),
        ([HALF, HALF], [2]),
        ([HALF, HALF, b"x"], [2, 1]),
        ([LARGER_THAN_A_REQUEST], [1]),
        ([b"a", LARGER_THAN_A_REQUEST, b"a"], [1, 1, 1]),
    ],
    ids=["none", "one", "full", "over", "bytes-full", "bytes-over", "large", "large-between"],
)
def test_requests_are_closed_at_either_limit(rows, sizes):
    writer = Writer()
    batches = RowBatches(writer)
    for number, row in enumerate(rows):
        assert batches.add(row, number) is None
    settled = list(batches.finish())
    assert [len(sent.rows) for sent in writer.sent] == sizes
    assert [row for sent in writer.sent for row in sent.rows] == rows
    assert [origin for batch in settled for origin in batch.origins] == list(range(len(rows)))


def test_no_more_are_on_their_way_than_allowed(monkeypatch):
    monkeypatch.setattr(row_batches, "MAX_ROWS", 1)
    writer = Writer()
    batches = RowBatches(writer)
    settled = [batches.add(b"%d" % n, n) for n in range(20)]
    assert len(writer.sent) - len(writer.settled) <= MAX_ON_THEIR_WAY
    done = [batch for batch in settled if batch] + list(batches.finish())
    assert [batch.origins for batch in done] == [[n] for n in range(20)]
    assert writer.settled == writer.sent
