"""The view that says whether what was accepted has arrived, and the command that prints it."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from google.api_core.exceptions import GoogleAPICallError

from ops.__main__ import main
from tests.fixtures.bigquery import PROJECT
from tests.fixtures.images import ROOT
from tests.fixtures.ops import OPS_DATASET, dead_letter, patient

COUNTS = ("accepted", "loaded", "dead_lettered", "in_flight", "missing", "surplus", "unconfirmed")


def ago(**duration):
    return (datetime.now(UTC) - timedelta(**duration)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


OLD = {"hours": 2}


class Ledger:
    """Fills the tables as endpoint and pipeline would, and reads the view."""

    def __init__(self, warehouse):
        self._warehouse = warehouse

    def request(self, request_id, accepted, *, repeat_id=None, first=(), when=OLD, **changes):
        """An audit event of a request."""
        now = ago(**when)
        row = {
            "writer_id": str(uuid.uuid4()), "sequence": 0, "action": "upsert", "requests": 1,
            "status": 202, "accepted": accepted, "rejected": 0, "resource": "patients",
            "created_ts": now, "updated_ts": now, "created_by": "hospital-a", "is_active": True,
            "event_id": str(uuid.uuid4()), "request_id": request_id, "schema_version": 1,
            "publish_ts": now, "repeat_id": repeat_id or request_id, "first_event_ids": list(first),
        }  # fmt: skip
        self._warehouse.insert("audit_log", row | changes)

    def load(self, request_id, *event_ids, when=OLD, table="patients", key="patient_id"):
        now = ago(**when)
        system = {
            "created_ts": now, "updated_ts": now, "created_by": "hospital-a", "is_active": True,
            "request_id": request_id, "schema_version": 1, "publish_ts": now,
        }  # fmt: skip
        rows = ({key: f"p-{event_id}", "event_id": event_id} | system for event_id in event_ids)
        self._warehouse.insert(table, *rows)

    def die(self, request_id, *event_ids, when=OLD, **columns):
        columns = {"key_id": "hospital-a", "request_id": request_id} | columns
        for event_id in event_ids:
            letter = dead_letter(
                patient("x"),
                event_id=event_id,
                failed_ts=ago(**when),
                publish_ts=ago(**when),
                **columns,
            )
            self._warehouse.insert("dead_letters", letter)

    def counts(self):
        rows = self._warehouse.query(f"SELECT * FROM {OPS_DATASET}.reconciliation")
        sums = {name: sum(row[name] for row in rows) for name in COUNTS}
        return {name: value for name, value in sums.items() if value}

    def mismatches(self):
        return self._warehouse.query(f"SELECT * FROM {OPS_DATASET}.reconciliation_mismatches")


@pytest.fixture
def ledger(warehouse):
    return Ledger(warehouse)


def test_what_was_accepted_is_loaded_or_dead(ledger):
    ledger.request("r-1", 3)
    ledger.load("r-1", "e-1", "e-2")
    ledger.die("r-1", "e-3")

    assert ledger.counts() == {"accepted": 3, "loaded": 2, "dead_lettered": 1}
    assert ledger.mismatches() == []


def test_rows_are_by_resource_key_and_minute(ledger, warehouse):
    ledger.request("r-1", 1)
    ledger.request("r-2", 1, created_by="hospital-b")
    ledger.request("r-3", 1, resource="plans")
    ledger.request("r-4", 1, when={"hours": 3})

    rows = warehouse.query(f"SELECT resource, key_id, minute FROM {OPS_DATASET}.reconciliation")

    assert len(rows) == 4
    assert {(row["resource"], row["key_id"]) for row in rows} == {
        ("patients", "hospital-a"),
        ("patients", "hospital-b"),
        ("plans", "hospital-a"),
    }
    assert all(row["minute"].second == 0 for row in rows)


@pytest.mark.parametrize(
    ("minutes", "expected", "mismatches"), [(14, "in_flight", 0), (16, "missing", 1)]
)
def test_what_has_not_arrived_is_in_flight_and_later_missing(ledger, minutes, expected, mismatches):
    ledger.request("r-1", 2, when={"minutes": minutes})
    ledger.load("r-1", "e-1", when={"minutes": minutes})

    assert ledger.counts() == {"accepted": 2, "loaded": 1, expected: 1}
    assert len(ledger.mismatches()) == mismatches


def test_rows_and_events_that_stand_there_twice_count_once(ledger):
    ledger.request("r-1", 1)
    ledger.request("r-1", 1)
    ledger.load("r-1", "e-1", "e-1")

    assert ledger.counts() == {"accepted": 1, "loaded": 1}


def test_replayed_dead_letter_counts_as_loaded(ledger):
    ledger.request("r-1", 1)
    ledger.die("r-1", "e-1")
    ledger.die("r-1", "e-1", attempt=2)
    assert ledger.counts() == {"accepted": 1, "dead_lettered": 1}

    ledger.load("r-1", "e-1")

    assert ledger.counts() == {"accepted": 1, "loaded": 1}


def test_repeats_of_a_request_count_once_even_if_dataflow_drops_one(ledger):
    for request, loaded in (("r-1", ["e-1"]), ("r-2", ["e-2"]), ("r-3", [])):
        ledger.request(request, 2, repeat_id="again", first=["e-1"])
        ledger.load(request, *loaded)

    assert ledger.counts() == {"accepted": 2, "loaded": 2}


def test_request_answered_503_and_repeated_with_success(ledger):
    ledger.request("r-1", 0, repeat_id="again", status=503, code="publish_timeout", first=["e-1"])
    ledger.load("r-1", "e-1")  # it was published in part
    ledger.request("r-2", 2, repeat_id="again", first=["e-1"])
    ledger.load("r-2", "e-2")

    assert ledger.counts() == {"accepted": 2, "loaded": 2}


def test_repeat_of_a_request_whose_endpoint_died_before_its_audit_event(ledger):
    ledger.load("r-dead", "e-1", "e-2")
    ledger.request("r-2", 3, repeat_id="again", first=["e-1", "e-3"])
    ledger.load("r-2", "e-3")

    assert ledger.counts() == {"accepted": 3, "loaded": 3}
    assert ledger.mismatches() == []


def test_what_was_published_but_never_answered_202_is_unconfirmed(ledger):
    ledger.request("r-1", 0, status=503, code="publish_timeout")
    ledger.load("r-1", "e-1")
    ledger.load("r-past-the-endpoint", "e-2")
    ledger.die(None, None, key_id=None)

    assert ledger.counts() == {"unconfirmed": 3}
    assert ledger.mismatches() == []


def test_more_than_was_accepted_is_a_mismatch(ledger):
    ledger.request("r-1", 1)
    ledger.load("r-1", "e-1", "e-2")

    assert ledger.counts() == {"accepted": 1, "loaded": 2, "surplus": 1}
    assert len(ledger.mismatches()) == 1


def test_event_that_is_late_counts_its_records_once(ledger):
    """The event of a 202 and then that of a 503, since the first was not held in time."""
    ledger.request("r-1", 2)
    ledger.request("r-1", 2, status=503, code="publish_timeout")
    ledger.load("r-1", "e-1", "e-2")

    assert ledger.counts() == {"accepted": 2, "loaded": 2}


def test_refused_requests_do_not_show(ledger):
    ledger.request("r-1", 0, repeat_id=None, status=422, rejected=3)

    assert ledger.counts() == {}


def test_last_seven_days_are_shown_and_what_belongs_to_them(ledger):
    ledger.request("r-old", 1, when={"days": 7, "hours": 1})
    ledger.request("r-1", 1, repeat_id="again", when={"days": 6, "hours": 23})
    ledger.load("r-1", "e-1", when={"days": 6, "hours": 23})

    assert ledger.counts() == {"accepted": 1, "loaded": 1}


def test_audit_events_that_died_are_no_records_of_a_resource(ledger):
    ledger.die("r-1", "e-1", resource="audit_log")

    assert ledger.counts() == {}


@pytest.fixture
def scheduled(warehouse):
    """Run the query that is scheduled in a project; its BEGIN and END are not the emulator's."""
    script = (ROOT / "terraform/reconciliation.sql").read_text()
    view = f"{PROJECT}.{OPS_DATASET}.reconciliation_mismatches"
    statement = script.partition("BEGIN\n")[2].partition(";\nEND\n")[0]
    return lambda: warehouse.query(statement.replace("${view}", view))


def test_scheduled_query_ends_well_while_nothing_is_missing(ledger, scheduled):
    assert scheduled() == [{"result": "nothing is missing"}]

    ledger.request("r-1", 1)
    ledger.load("r-1", "e-1")

    assert scheduled() == [{"result": "nothing is missing"}]


def test_scheduled_query_fails_and_says_what_is_missing(ledger, scheduled):
    ledger.request("r-1", 3)
    ledger.load("r-1", "e-1")
    ledger.request("r-2", 1, resource="plans")

    with pytest.raises(GoogleAPICallError, match="reconciliation_mismatch: 3 missing and 0 in"):
        scheduled()


@pytest.mark.parametrize(
    "options", [[], ["--minutes"], ["--since", "1d", "--resource", "patients"]]
)
def test_command_prints_and_returns_zero(ledger, stack_file, capsys, options):
    ledger.request("r-1", 2)
    ledger.load("r-1", "e-1")
    ledger.die("r-1", "e-2")

    assert main(["reconcile", "--stack", str(stack_file), *options]) == 0

    printed = capsys.readouterr().out
    assert "Adds up: 2 accepted = 1 loaded + 1 dead-lettered + 0 in flight" in printed


def test_command_returns_one_on_a_mismatch(ledger, stack_file, capsys):
    ledger.request("r-1", 2)
    stack = ["--stack", str(stack_file)]

    assert main(["reconcile", *stack]) == 1
    assert "DOES NOT ADD UP" in capsys.readouterr().out
    assert main(["reconcile", *stack, "--since", "1h"]) == 0
    assert main(["reconcile", *stack, "--resource", "plans"]) == 0


def test_command_without_a_system_says_so(tmp_path, capsys):
    assert main(["reconcile", "--stack", str(tmp_path / "none.json")]) == 2
    assert "is not there" in capsys.readouterr().err
