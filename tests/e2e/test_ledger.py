"""The ledger of the whole system: counts that add up, a chain that is whole, states of events."""

import json
import time

import httpx
import pytest

from ops.__main__ import main
from tests.e2e.test_records import patient, unique

COUNTS = ("accepted", "loaded", "dead_lettered", "in_flight", "missing", "surplus")


@pytest.fixture
def stack_file(system, tmp_path):
    path = tmp_path / "stack.json"
    path.write_text(json.dumps(system.info))
    return str(path)


@pytest.fixture
def sums(system):
    """The view's sums, and how they change."""

    def read():
        columns = ", ".join(f"IFNULL(SUM({name}), 0) AS {name}" for name in COUNTS)
        [row] = system.query(f"SELECT {columns} FROM healthcare_ops.reconciliation")
        return {name: int(row[name]) for name in COUNTS}

    before = settled(read)

    def since():
        return {name: value - before[name] for name, value in read().items()}

    return since


def settled(read, seconds=60):
    """Read until the numbers stand still and nothing is in flight."""
    deadline, last = time.monotonic() + seconds, None
    while (now := read()) != last or now["in_flight"]:
        if time.monotonic() > deadline:
            break
        last = now
        time.sleep(1)
    return now


@pytest.fixture
def state(system):
    def ask(event_id, resource="patients", key=None):
        key = key or system.info["api_keys"][resource]
        url = f"{system.info['status']}/v1/{resource}/events/{event_id}"
        answer = httpx.get(url, headers={"x-api-key": key}, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


def test_counts_add_up_after_mixed_traffic(system, sums, stack_file):
    refused = [patient() for _ in range(2)]
    for record in refused:
        rule = {"table": "patients", "column": "patient_id", "value": record["patient_id"]}
        system.fault("bigquery_write", refuse_rows=rule)
    bulk = [patient() for _ in range(600)]
    again = unique()

    for _ in range(20):  # singles
        assert system.send("patients", patient()).status_code == 202
    assert system.send("patients", [patient(), {}, *refused]).json()["accepted"] == 3
    assert system.send("patients", {}).status_code == 422
    for _ in range(3):  # repeats
        assert system.send("patients", bulk, idempotency_key=again).status_code == 202
    assert system.delete("patients", bulk[0]["patient_id"]).status_code == 202
    system.fault("pubsub", method="Publish", status="UNAVAILABLE", calls=1, after_effect=True)
    assert system.send("patients", patient()).status_code == 202  # published twice

    expected = {"accepted": 20 + 3 + 600 + 1 + 1, "dead_lettered": 2, "in_flight": 0}
    expected |= {"loaded": expected["accepted"] - 2, "missing": 0, "surplus": 0}
    assert settled(sums) == expected
    assert main(["reconcile", "--stack", stack_file]) == 0

    system.http.delete(f"{system.info['faults']['bigquery']}/faults")
    replay = ["replay", "dead-letters", "--stack", stack_file, "--code", "row_refused", "--publish"]
    assert main(replay) == 0
    expected |= {"loaded": expected["accepted"], "dead_lettered": 0}
    found = settled(sums)
    # The dead letters of tests before this one were replayed too.
    assert found["accepted"] == expected["accepted"]
    assert found["loaded"] >= expected["loaded"]
    assert found["missing"] == found["surplus"] == 0
    assert system.query("SELECT * FROM healthcare_ops.reconciliation_mismatches") == []


def test_chain_of_the_running_system_is_whole(system, stack_file):
    assert system.send("patients", patient()).status_code == 202

    assert main(["audit", "verify", "--stack", stack_file]) == 0


def test_every_request_has_its_event(system):
    answers = [
        system.send("patients", patient()),
        system.send("patients", {}),
        system.send("patients", patient(), x_api_key="a-guess"),
        system.send("plans", b"{"),
    ]

    ids = [answer.headers["x-request-id"] for answer in answers]
    rows = system.wait_for(
        "SELECT request_id, status, code, resource FROM healthcare_ops.audit_log_events"
        " WHERE request_id IN UNNEST(@ids)",
        lambda rows: len(rows) == len(ids),
        ids=ids,
    )
    assert {(row["request_id"], row["status"], row["resource"]) for row in rows} == {
        (answer.headers["x-request-id"], answer.status_code, answer.request.url.path[4:])
        for answer in answers
    }


def test_states_of_events(system, state):
    refused = patient()
    rule = {"table": "patients", "column": "patient_id", "value": refused["patient_id"]}
    system.fault("bigquery_write", refuse_rows=rule)

    records = system.send("patients", [patient(), refused]).json()["records"]
    good, bad = (record["event_id"] for record in records)

    deadline = time.monotonic() + 60
    while {state(good)["state"], state(bad)["state"]} & {"accepted", "unknown"}:
        assert time.monotonic() < deadline
        time.sleep(2)
    assert state(good)["state"] == "loaded"
    dead = state(bad)
    assert (dead["state"], dead["stage"], dead["code"]) == (
        "dead_lettered",
        "append",
        "row_refused",
    )
    assert refused["patient_id"] not in json.dumps(dead)
    # By another resource's key it is no event of that resource.
    assert state(good, "plans")["state"] == "unknown"


def test_record_is_not_loaded_while_bigquery_takes_nothing(system, state):
    system.fault("bigquery_write", method="AppendRows", status="UNAVAILABLE", seconds=8)
    answer = system.send("patients", patient()).json()
    event_id = answer["records"][0]["event_id"]

    assert state(event_id)["state"] in ("unknown", "accepted")

    loaded = "SELECT event_id FROM healthcare.patients WHERE request_id = @request"
    system.wait_for(loaded, bool, request=answer["request_id"])
    assert state(event_id)["state"] == "loaded"
