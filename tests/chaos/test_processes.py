"""Processes die and clocks lie: what was answered 202 is in Pub/Sub, and comes from there."""

import time
import uuid
from pathlib import Path

import httpx

CLOCK = Path(__file__).with_name("clock_set_back.py")


def test_endpoint_is_killed_under_load(trial, system):
    """With the job away, what is found in the end was in Pub/Sub when the endpoint died."""
    run = trial("Endpoint killed under load")
    system.kill("pipeline")
    with run.sending() as traffic:
        for least in (600, 1200):
            traffic.wait_for_records(least)
            system.kill("endpoint")
            traffic.wait_for("no answer")
            run.over_at = time.monotonic()
            system.start_endpoint()
    system.start_pipeline()
    run.check("no answer")


def test_pipeline_is_killed_in_the_middle(trial, system):
    """Pub/Sub delivers again what a dead worker held, whether its rows were stored or not."""
    run = trial("Pipeline killed while it appends")
    with run.sending() as traffic:
        for least in (800, 1600):
            traffic.wait_for_records(least)
            with system.fault("bigquery_write", method="AppendRows", latency_ms=1500) as fault:
                run.wait_for_strikes("bigquery_write", fault)
                system.kill("pipeline")
            run.over_at = time.monotonic()
            system.start_pipeline()
    run.check()


def test_clock_is_set_back(trial, system, tmp_path):
    """Event ids stay unique and in order; created_ts tells what the clock told."""
    run = trial("Clock set back by an hour")
    switch = tmp_path / "set_back"
    system.stop("endpoint")
    system.start_endpoint(source=CLOCK, CLOCK_SWITCH=str(switch))
    ids = []
    try:
        with run.sending() as traffic:
            for step in range(20):
                if step == 10:
                    switch.touch()
                ids.append(_send_one(system))
            run.over()
            traffic.wait_for_records(1200)
        run.check()
        sql = f"SELECT event_id, created_ts FROM {system.info['dataset']}.lab_results_events"
        run.traffic.wait_until(
            lambda: 1.0 if {row[0] for row in system.sql.query_and_wait(sql)} >= set(ids) else None,
            "the probes",
        )
        rows = {row["event_id"]: row["created_ts"] for row in system.sql.query_and_wait(sql)}
        created = [rows[id_] for id_ in ids]
    finally:
        system.stop("endpoint")
        system.start_endpoint()

    assert ids == sorted(set(ids))
    assert uuid.UUID(ids[-1]).version == 7
    assert created[10] < created[9]


def _send_one(system):
    record = {
        "result_id": f"probe-{uuid.uuid4().hex[:12]}", "patient_id": "p-1",
        "loinc_code": "4548-4", "status": "final", "value_number": 6.8,
    }  # fmt: skip
    headers = {"x-api-key": system.info["api_keys"]["lab_results"]}
    url = f"{system.url}/v1/lab_results"
    answer = httpx.post(url, json=record, headers=headers, trust_env=False)
    assert answer.status_code == 202
    return answer.json()["records"][0]["event_id"]
