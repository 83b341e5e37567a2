"""What became of one event, asked of BigQuery's tables."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from functions.audit import UuidV7, repeatable_ids
from functions.event_status import UNAVAILABLE, EventStatus
from tests.fixtures.bigquery import PROJECT
from tests.fixtures.ops import DATASET, OPS_DATASET, dead_letter, patient

KEY = "hospital-a"


def text(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


NOW = datetime.now(UTC)
SYSTEM = {
    "created_ts": text(NOW), "updated_ts": text(NOW), "created_by": KEY, "is_active": True,
    "request_id": "r-1", "schema_version": 1, "publish_ts": text(NOW + timedelta(seconds=1)),
}  # fmt: skip


@pytest.fixture
def ids():
    return UuidV7()


@pytest.fixture
def status(connection):
    def make(timeout=10.0):
        datasets = (f"{PROJECT}.{DATASET}", f"{PROJECT}.{OPS_DATASET}")
        return EventStatus(connection.bigquery, *datasets, timeout, timedelta(days=30))

    return make


@pytest.fixture
def find(status):
    return lambda event_id, key=KEY, resource="patients": status().find(resource, key, event_id)


def load(warehouse, event_id, **changes):
    row = {"patient_id": "p-1", "event_id": event_id} | SYSTEM
    warehouse.insert("patients", row | changes)


def die(warehouse, event_id, **columns):
    columns = {"failed_ts": text(NOW), "key_id": KEY, "error_code": "row_refused"} | columns
    errors = [{"path": "$.birth_date", "rule": "format", "message": "must be a valid date"}]
    warehouse.insert(
        "dead_letters", dead_letter(patient("x"), event_id=event_id, errors=errors, **columns)
    )


def accept(warehouse, first_event_ids, accepted, **changes):
    row = SYSTEM | {
        "writer_id": str(uuid.uuid4()), "sequence": 0, "event_id": str(uuid.uuid4()),
        "action": "upsert", "status": 202, "requests": 1, "accepted": accepted, "rejected": 0,
        "resource": "patients", "repeat_id": "r-1", "first_event_ids": first_event_ids,
    }  # fmt: skip
    warehouse.insert("audit_log", row | changes)


UNKNOWN = {"state": "unknown", "may_be_in_flight": True}


def test_loaded(warehouse, find, ids):
    event_id = ids.one()
    load(warehouse, event_id)
    load(warehouse, event_id, publish_ts=text(NOW + timedelta(seconds=9)))

    assert find(event_id) == {
        "state": "loaded",
        "accepted_ts": text(NOW),
        "published_ts": text(NOW + timedelta(seconds=1)),
    }


def test_dead_lettered_tells_where_and_why(warehouse, find, ids):
    event_id = ids.one()
    die(warehouse, event_id)

    assert find(event_id) == {
        "state": "dead_lettered",
        "failed_ts": text(NOW),
        "stage": "validate",
        "code": "row_refused",
        "errors": [
            {"path": "$.birth_date", "rule": "format", "message": "must be a valid date"},
        ],
    }


def test_replayed_dead_letter_is_loaded(warehouse, find, ids):
    event_id = ids.one()
    die(warehouse, event_id)
    load(warehouse, event_id)

    assert find(event_id)["state"] == "loaded"


def test_audit_event_proves_the_acceptance_of_every_id_of_its_request(warehouse, find, ids):
    before, *event_ids, after = ids.take(1_102)
    accept(warehouse, [event_ids[0], event_ids[500], event_ids[1_000]], 1_100)
    accept(warehouse, [after], 1, created_by="hospital-b")

    for event_id in (event_ids[0], event_ids[777], event_ids[-1]):
        assert find(event_id) == {"state": "accepted", "accepted_ts": text(NOW)}
    for event_id in (before, after):
        assert find(event_id) == UNKNOWN


def test_ids_of_an_idempotency_key_are_known_where_they_begin_a_message(warehouse, find):
    first, second = repeatable_ids("patients", KEY, "again", positions=(0, 1))
    accept(warehouse, [first], 2)

    assert find(first)["state"] == "accepted"
    assert find(second) == UNKNOWN
    load(warehouse, second)
    assert find(second)["state"] == "loaded"


def test_what_was_refused_is_not_accepted(warehouse, find, ids):
    event_id = ids.one()
    accept(warehouse, [event_id], 0, status=503, code="publish_timeout")

    assert find(event_id) == UNKNOWN


@pytest.mark.parametrize("put", [load, die, lambda warehouse, i: accept(warehouse, [i], 1)])
def test_records_of_another_producer_or_resource_are_unknown(warehouse, find, ids, put):
    event_id = ids.one()
    put(warehouse, event_id)

    assert find(event_id)["state"] != "unknown"
    assert find(event_id, key="hospital-b") == UNKNOWN
    assert find(event_id, resource="plans") == UNKNOWN


@pytest.mark.parametrize(
    ("milliseconds", "may_be_in_flight"),
    [(-14 * 60_000, True), (-16 * 60_000, False), (120 * 60_000, False)],
)
def test_id_that_is_nowhere_may_be_in_flight_while_it_is_young(
    find, milliseconds, may_be_in_flight
):
    time = int(datetime.now(UTC).timestamp() * 1_000) + milliseconds
    event_id = f"{time >> 16:08x}-{time & 0xFFFF:04x}-7abc-8abc-0123456789ab"

    assert find(event_id) == {"state": "unknown", "may_be_in_flight": may_be_in_flight}


@pytest.mark.parametrize(
    "event_id", ["ffffffff-ffff-7fff-bfff-ffffffffffff", str(uuid.UUID(int=7))]
)
def test_any_id_of_the_right_form_is_answered(find, event_id):
    assert find(event_id)["state"] == "unknown"


@pytest.mark.parametrize(
    "rule",
    [{"status": "UNAVAILABLE"}, {"status": "RESOURCE_EXHAUSTED"}, {"latency_ms": 3_000}],
    ids=lambda rule: next(iter(map(str, rule.values()))),
)
def test_bigquery_that_does_not_answer_is_asked_once(provisioned_bigquery, status, ids, rule):
    provisioned_bigquery.faults.add(
        {"service": "bigquery", "method": "jobs.query", "calls": 1} | rule
    )

    with pytest.raises(UNAVAILABLE):
        status(timeout=0.5).find("patients", KEY, ids.one())
