"""The view that says of each dead letter whether anything is left to do about it."""

import pytest

from tests.fixtures.ops import OPS_DATASET, dead_letter, patient


@pytest.fixture
def states(warehouse):
    """Insert dead letters; return the state of each by its message id."""

    def insert(*letters):
        warehouse.insert("dead_letters", *letters)
        sql = f"SELECT message_id, state FROM {OPS_DATASET}.dead_letters_state"
        rows = warehouse.query(sql)
        assert len({row["message_id"] for row in rows}) == len(rows)
        return {row["message_id"]: row["state"] for row in rows}

    return insert


def letter(message_id, event_id=None, **columns):
    return dead_letter(b"{", message_id=message_id, event_id=event_id, **columns)


def test_open_until_its_event_is_in_its_table(states, warehouse):
    warehouse.load("e-1", "e-1")
    warehouse.load("e-2", table="plans", key="object_id")

    assert states(letter("m-1", "e-1"), letter("m-2", "e-2"), letter("m-3")) == {
        "m-1": "replayed",
        "m-2": "open",  # another resource's event
        "m-3": "open",
    }


def test_redelivered_message_counts_once(states):
    row = letter("m-1", "e-1")

    assert states(row, row) == {"m-1": "open"}


def test_later_attempt_stands_for_the_earlier(states):
    first = letter("m-1", "e-1")
    again = {"attributes": {"replay_of": first["dead_letter_id"]}, "attempt": 2}

    assert states(first, letter("m-2", "e-1", **again)) == {"m-1": "superseded", "m-2": "open"}


def test_without_event_id_the_replay_names_what_it_replays(states):
    first, other = letter("m-1"), letter("m-9")
    again = {"attributes": {"replay_of": first["dead_letter_id"]}, "attempt": 2}

    assert states(first, other, letter("m-2", **again)) == {
        "m-1": "superseded",
        "m-2": "open",
        "m-9": "open",
    }


def test_replay_of_the_archive_names_the_message_and_the_position(states):
    again = {"attributes": {"replay_of": "m-1"}, "attempt": 2, "position": 1}

    assert states(letter("m-1", position=1), letter("m-2", **again), letter("m-3", position=1)) == {
        "m-1": "superseded",
        "m-2": "open",
        "m-3": "open",
    }


def test_repeat_by_the_producer_is_no_later_attempt(states):
    assert states(letter("m-1", "e-1"), letter("m-2", "e-1")) == {"m-1": "open", "m-2": "open"}


def test_payload_is_left_out(warehouse):
    warehouse.insert("dead_letters", dead_letter(patient("e-1"), event_id="e-1"))

    [row] = warehouse.query(f"SELECT * FROM {OPS_DATASET}.dead_letters_state")

    assert "payload" not in row
