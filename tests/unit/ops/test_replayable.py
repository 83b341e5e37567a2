from datetime import date

import pytest

from ops.replayable import Replayable, count_records, replay_attributes
from schemas import limits

ORIGINAL = {"op": "delete", "content_type": "application/x-ndjson", "dedup_id": "d-1"}


def make(data=b"{}", attributes=None):
    return Replayable("patients", "row_refused", date(2026, 1, 2), data, attributes or {}, "mark")


def test_original_attributes_stay_and_the_replay_is_told():
    attributes = replay_attributes(ORIGINAL, "letter-1", "dead_letter")

    assert attributes == ORIGINAL | {
        "replay_of": "letter-1",
        "attempt": "2",
        "dedup_id": attributes["dedup_id"],
    }
    assert attributes["dedup_id"] != ORIGINAL["dedup_id"]


@pytest.mark.parametrize(
    ("before", "after"), [({}, "2"), ({"attempt": "2"}, "3"), ({"attempt": "soon"}, "2")]
)
def test_attempts_are_counted(before, after):
    assert replay_attributes(before, "letter-1", "dead_letter")["attempt"] == after


def dedup_id(replay_of="letter-1", origin="dead_letter", **attributes):
    return replay_attributes(attributes, replay_of, origin)["dedup_id"]


def test_dedup_id_is_of_the_dead_letter_and_the_attempt():
    assert dedup_id() == dedup_id()
    different = [dedup_id(), dedup_id("letter-2"), dedup_id(attempt="2"), dedup_id(origin="a")]
    assert len(set(different)) == 4


@pytest.mark.parametrize(
    ("data", "content_type", "records"),
    [
        (b"{}", "application/json", 1),
        (b"{}\n{}", "application/json", 1),
        (b"{}", "application/x-ndjson", 1),
        (b"{}\n{}\n \n{}\n", "application/x-ndjson", 3),
        (b"", "application/x-ndjson", 1),
        (b"\xff", "", 1),
    ],
)
def test_records_of_a_message(data, content_type, records):
    assert count_records(data, {"content_type": content_type}) == records


def attributes(count):
    return {f"a{number}": "x" for number in range(count)}


@pytest.mark.parametrize(
    ("data", "attributes", "fits"),
    [
        pytest.param(b"{}", attributes(limits.PUBSUB_MAX_ATTRIBUTES), True, id="most attributes"),
        pytest.param(b"{}", attributes(limits.PUBSUB_MAX_ATTRIBUTES + 1), False, id="one too many"),
        pytest.param(bytes(limits.PUBSUB_MAX_MESSAGE_BYTES - 1_000), {}, True, id="most bytes"),
        pytest.param(bytes(limits.PUBSUB_MAX_MESSAGE_BYTES - 999), {}, False, id="too many bytes"),
    ],
)
def test_what_pubsub_takes(data, attributes, fits):
    assert make(data, attributes).fits is fits
