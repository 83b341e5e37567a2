"""Each way to tamper with the audit events, and what their chain says of it."""

import json
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from functions.hash_chain import Chain, event_hash
from ops.audit_chain import (
    CHANGED,
    CUT,
    MISSING,
    PENDING,
    REORDERED,
    Head,
    as_hashed,
    check_chain,
    read_heads,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTLED = NOW - timedelta(minutes=15)


def event(number: int, at: datetime) -> dict:
    text = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "created_ts": text,
        "updated_ts": text,
        "created_by": "hospital-a",
        "is_active": True,
        "event_id": f"e-{number}",
        "request_id": f"r-{number}",
        "action": "upsert",
        "status": 202,
        "requests": 1,
        "accepted": number,
        "rejected": 2,
        "rejected_rules": [{"rule": "type", "records": 2}],
        "first_event_ids": ["e"],
    }


def as_row(line: bytes) -> dict:
    """Return an event as BigQuery's client does: times as such, nothing as NULL or []."""
    row = orjson.loads(line)
    for name in ("created_ts", "updated_ts"):
        row[name] = datetime.fromisoformat(row[name])
    extra = {"schema_version": 1, "publish_ts": NOW, "additional_fields": None, "code": None}
    return {"resource": None} | row | extra


@pytest.fixture
def chain():
    return Chain()


@pytest.fixture
def rows(chain):
    old = NOW - timedelta(hours=1, microseconds=1)
    return [as_row(chain.seal(event(number, old))) for number in range(5)]


def check(chain, rows, **options):
    options = {"settled_before": SETTLED} | options
    found = check_chain(chain.writer_id, rows, **options)
    return [(finding.kind, finding.sequence, finding.rows) for finding in found]


def rehash(row):
    row["hash"] = event_hash(as_hashed(row))


def test_whole_chain(chain, rows):
    assert check(chain, rows) == []


def test_order_and_repeats_of_rows_are_no_fault(chain, rows):
    again = rows[2] | {"publish_ts": NOW + timedelta(seconds=9)}

    assert check(chain, [again, *reversed(rows)]) == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("accepted", 7),
        ("created_by", "hospital-b"),
        ("created_ts", NOW - timedelta(hours=1)),
        ("resource", "patients"),
        ("status", None),
        ("rejected_rules", [{"rule": "type", "records": 1}]),
        ("rejected_rules", []),
        ("first_event_ids", ["f"]),
        ("additional_fields", '{"note": 1}'),
        ("previous_hash", "0" * 64),
        ("hash", "f" * 64),
    ],
)
def test_changed_row(chain, rows, column, value):
    rows[2][column] = value

    assert check(chain, rows) == [(CHANGED, 2, 1)]


def test_changed_row_with_a_hash_that_fits_it(chain, rows):
    rows[2]["accepted"] = 7
    rehash(rows[2])

    assert check(chain, rows) == [(REORDERED, 3, 1)]


def test_forged_copy_beside_the_row(chain, rows):
    forged = rows[2] | {"accepted": 7}
    rehash(forged)

    assert check(chain, [*rows, forged]) == [(CHANGED, 2, 1)]
    assert (CHANGED, 2, 1) in check(chain, [forged, *rows])


def test_removed_rows(chain, rows):
    assert check(chain, [rows[0], rows[3], rows[4]]) == [(MISSING, 1, 2)]


def test_removed_beginning(chain, rows):
    assert check(chain, rows[2:]) == [(MISSING, 0, 2)]


def test_rows_that_changed_places(chain, rows):
    rows[1]["sequence"], rows[2]["sequence"] = 2, 1

    assert check(chain, rows) == [(CHANGED, 2, 1), (CHANGED, 1, 1)]


def test_rows_that_changed_places_with_hashes_that_fit(chain, rows):
    first, second = rows[1], rows[2]
    first["sequence"], second["sequence"] = 2, 1
    rehash(first)
    rehash(second)

    assert {kind for kind, *_ in check(chain, rows)} == {REORDERED}


def test_gap_before_a_young_row_may_still_fill(chain, rows):
    young = [as_row(chain.seal(event(number, NOW))) for number in range(5, 8)]

    assert check(chain, [*rows, *young[1:]]) == [(PENDING, 5, 1)]


def test_reading_begins_in_the_middle(chain, rows):
    assert check(chain, rows[2:], previous=rows[1]) == []
    assert check(chain, rows[3:], previous=rows[1]) == [(MISSING, 2, 1)]
    assert check(chain, rows[2:], previous=rows[1] | {"hash": "f" * 64}) == [(REORDERED, 2, 1)]


def head(chain, row, **changes):
    return Head(
        **{"writer_id": chain.writer_id, "sequence": row["sequence"], "hash": row["hash"]} | changes
    )


def test_cut_end_shows_by_a_logged_head_alone(chain, rows):
    heads = [head(chain, rows[1]), head(chain, rows[4], at=NOW - timedelta(hours=1))]

    assert check(chain, rows, heads=heads) == []
    assert check(chain, rows[:3]) == []
    assert check(chain, rows[:3], heads=heads) == [(CUT, 3, 2)]
    assert check(chain, [], heads=heads) == [(CUT, 0, 5)]


def test_head_that_was_just_logged_may_be_on_its_way(chain, rows):
    assert check(chain, rows[:3], heads=[head(chain, rows[4], at=NOW)]) == [(PENDING, 3, 2)]


def test_chain_that_was_written_anew_shows_by_a_logged_head(chain, rows):
    other = Chain()
    other.writer_id = chain.writer_id
    forged = [as_row(other.seal(event(n + 9, NOW - timedelta(hours=1)))) for n in range(5)]

    assert check(chain, forged) == []
    assert check(chain, forged, heads=[head(chain, rows[1])]) == [(CHANGED, 1, 1)]


@pytest.mark.parametrize("as_text", [
    lambda logged: "not JSON\n" + json.dumps({"message": "other"}) + "\n[1]\n" + json.dumps(logged),
    lambda logged: json.dumps([{"jsonPayload": logged | {"sequence": 3.0}, "timestamp": "x"}, 7]),
    json.dumps,
], ids=["lines", "gcloud", "one"])  # fmt: skip
def test_heads_are_found_in_logs(as_text):
    logged = {
        "message": "audit chain head", "writer_id": "w", "sequence": 3, "hash": "h",
        "at": "2026-03-01T12:00:00.000000Z",
    }  # fmt: skip

    assert read_heads(as_text(logged)) == [Head("w", 3, "h", NOW)]
