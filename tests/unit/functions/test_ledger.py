import asyncio
import logging
import time

import grpc
import httpx
import orjson
import pytest

from functions.hash_chain import GENESIS, event_hash
from schemas.validation import Validator
from tests.fixtures.endpoint import OTHER_KEY, assert_problem, example, until

MARK = "Wilhelmina-078-05-1120"
PATIENT = example("patients", "minimal")


def without_system(event):
    system = ("created_ts", "updated_ts", "created_by", "is_active", "event_id", "request_id")
    return {name: value for name, value in event.items() if name not in system}


def assert_chain(events):
    """Check that the events are one whole chain."""
    head = GENESIS
    for number, event in enumerate(events):
        assert event["sequence"] == number
        assert event["previous_hash"] == head
        head = event["hash"]
        assert event_hash({name: v for name, v in event.items() if name != "hash"}) == head
    assert len({event["writer_id"] for event in events}) <= 1


async def events_of(google, count):
    await until(lambda: len(google.events) >= count)
    assert len(google.events) == count
    assert_chain(google.events)
    return google.events


async def test_event_of_an_accepted_record_is_held_before_the_answer(producer, google, audit_log):
    answer = await producer.post("/v1/patients", json=PATIENT)

    assert answer.status_code == 202
    [event] = google.events  # not awaited
    [message] = google.published["patients"]
    record = orjson.loads(message.data)
    shared = ("created_ts", "updated_ts", "created_by", "request_id")
    assert {name: event[name] for name in shared} == {name: record[name] for name in shared}
    assert event["is_active"] is True
    assert event["event_id"] != record["event_id"]
    assert event["first_event_ids"] == [record["event_id"]]
    assert event["repeat_id"] == event["request_id"] == answer.json()["request_id"]
    expected = {"resource": "patients", "action": "upsert", "status": 202, "requests": 1}
    expected |= {"accepted": 1, "rejected": 0, "contract_version": 1}
    assert expected.items() <= event.items()
    assert 0 < event["latency_us"] < 60_000_000
    assert "code" not in event
    assert Validator(audit_log).errors(without_system(event)) == []


async def test_message_of_events_is_one_of_records(producer, google):
    await producer.post("/v1/patients", json=PATIENT)

    [message] = google.event_messages
    assert dict(message.attributes) == {
        "resource": "audit_log",
        "schema_version": "1",
        "op": "upsert",
        "content_type": "application/x-ndjson",
        "dedup_id": google.events[0]["event_id"],
    }


async def test_bulk_request_counts_what_it_rejects_by_rule(producer, google):
    bad = PATIENT | {"birth_date": "yesterday", "patient_id": 7}
    records = [PATIENT, bad, PATIENT | {"patient_id": 7}, "text"]

    answer = await producer.post("/v1/patients", json=records)

    assert answer.json()["accepted"] == 1
    [event] = google.events
    assert (event["accepted"], event["rejected"]) == (1, 3)
    rules = {entry["rule"]: entry["records"] for entry in event["rejected_rules"]}
    assert rules == {"format": 1, "notObject": 1, "type": 2}


async def test_each_message_of_a_large_request_is_named_by_its_first_event(producer, google):
    records = [PATIENT | {"patient_id": f"p-{n}"} for n in range(1_100)]

    answer = await producer.post("/v1/patients", json=records)

    ids = [entry["event_id"] for entry in answer.json()["records"]]
    [event] = google.events
    assert event["accepted"] == 1_100
    assert event["first_event_ids"] == [ids[0], ids[500], ids[1_000]]
    first = int(ids[0].rpartition("-")[2], 16)
    assert [int(i.rpartition("-")[2], 16) - first for i in ids] == list(range(1_100))


async def test_repeats_share_their_repeat_id_and_others_do_not(producer, google):
    async def send(key, record=PATIENT, headers=None):
        headers = {"idempotency-key": key} | (headers or {})
        answer = await producer.post("/v1/patients", json=record, headers=headers)
        assert answer.status_code == 202

    await send("a")
    await send("a")
    await send("b")
    google.set_keys("patients-api-key", orjson.dumps({"other": OTHER_KEY}))
    [keys] = [keys for keys in producer.app._keys if keys._secret == "patients-api-key"]
    await keys.refresh()
    await send("a", headers={"x-api-key": OTHER_KEY})
    answer = await producer.delete(
        "/v1/patients/p-1", headers={"x-api-key": OTHER_KEY, "idempotency-key": "a"}
    )
    assert answer.status_code == 202

    ids = [event["repeat_id"] for event in google.events]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert google.events[-1]["action"] == "delete"
    assert not any('"a"' in orjson.dumps(event).decode() for event in google.events)


@pytest.mark.parametrize(
    ("request_", "options", "expected"),
    [
        (("POST", "/v1/patients"), {"content": b"{"}, ("patients", "upsert", 400, "invalid_json")),
        (("POST", "/v1/patients"), {"json": {}}, ("patients", "upsert", 422, "invalid_records")),
        (("DELETE", "/v1/patients/a/b"), {}, ("patients", "delete", 422, "invalid_records")),
        (("GET", "/v1/patients"), {}, ("patients", "unknown", 405, "method_not_allowed")),
        (("POST", f"/v1/{MARK}"), {"json": {}}, (None, "unknown", 404, "not_found")),
    ],
    ids=["400", "422", "delete", "405", "404"],
)
async def test_refusal_leaves_its_event(producer, google, request_, options, expected):
    headers = {"content-type": "application/json"}
    answer = await producer.request(*request_, headers=headers, **options)

    [event] = await events_of(google, 1)
    assert (event.get("resource"), event["action"], event["status"], event["code"]) == expected
    assert event["request_id"] == answer.headers["x-request-id"]
    assert event["accepted"] == 0
    assert "repeat_id" not in event
    known = "known" if expected[1] != "unknown" else "unknown"
    assert event["created_by"] == {"known": "v1", "unknown": "unknown"}[known]


async def test_pages_and_probes_leave_none(producer, google):
    for path in ("/livez", "/readyz", "/openapi.json", "/docs", "/other"):
        await producer.get(path)

    await producer.post("/v1/patients", json=PATIENT)
    assert len(google.events) == 1


async def test_no_event_holds_what_was_sent(producer, google):
    headers = {
        "idempotency-key": MARK,
        "x-forwarded-for": f"{MARK}, 203.0.113.7",
        "user-agent": MARK,
    }
    named = PATIENT | {"name": {"family": MARK}, MARK: MARK}
    await producer.post("/v1/patients", json=[named, {MARK: MARK}], headers=headers)
    await producer.post("/v1/patients", json={MARK: MARK}, headers=headers)
    await producer.post("/v1/patients", json=named, headers=headers | {"x-api-key": MARK})
    await producer.post(f"/v1/patients/{MARK}", json=named, headers=headers)
    await producer.delete(f"/v1/patients/{MARK}", headers=headers)

    text = orjson.dumps(await events_of(google, 5)).decode()

    assert MARK not in text
    assert "203.0.113.7" not in text


async def test_flood_of_guesses_becomes_few_events(producer, google):
    headers = {"x-api-key": "a-guess"}
    for _ in range(60):
        answer = await producer.post("/v1/patients", json={}, headers=headers)
        assert answer.status_code in (401, 429)  # as guesses are throttled too

    await until(lambda: sum(event["requests"] for event in google.events) == 60)

    assert len(google.events) < 60
    assert_chain(google.events)
    counted = [event for event in google.events if event["requests"] > 1]
    assert counted
    assert {(event["created_by"], event["resource"]) for event in counted} == {
        ("unknown", "patients")
    }
    assert all("client_hash" not in event for event in counted)


async def test_events_that_wait_go_out_together(producer, google):
    google.latency = 0.02
    posts = [producer.post("/v1/patients", json=PATIENT) for _ in range(100)]

    answers = await asyncio.gather(*posts)

    assert {answer.status_code for answer in answers} == {202}
    assert_chain(google.events)
    assert len(google.events) == 100
    assert len(google.event_messages) < 50


async def test_topic_that_is_down_ends_requests_and_later_spares_their_publishing(
    make_producer, google
):
    producer = await make_producer("patients", publish_timeout_seconds=1.2)
    google.always["PublishEvents"] = grpc.StatusCode.UNAVAILABLE

    first = await producer.post("/v1/patients", json=PATIENT)
    assert_problem(first, 503, "publish_timeout")
    assert len(google.published["patients"]) == 1
    second = await producer.post("/v1/patients", json=PATIENT)
    assert_problem(second, 503, "publish_timeout")
    assert len(google.published["patients"]) == 1

    google.always["PublishEvents"] = None
    await until(lambda: len(google.events) == 3)
    assert (await producer.post("/v1/patients", json=PATIENT)).status_code == 202
    events = await events_of(google, 4)
    of_first = [e for e in events if e["request_id"] == first.headers["x-request-id"]]
    assert [(e["status"], e["accepted"]) for e in of_first] == [(202, 1), (503, 1)]
    [of_second] = [e for e in events if e["request_id"] == second.headers["x-request-id"]]
    assert (of_second["status"], of_second["accepted"]) == (503, 0)


async def test_missing_topic_is_told_by_readyz_and_publishes_nothing_more(make_producer, google):
    producer = await make_producer("patients")
    google.has_audit_log = False

    assert_problem(await producer.post("/v1/patients", json=PATIENT), 500, "publish_refused")
    assert_problem(await producer.post("/v1/patients", json=PATIENT), 500, "publish_refused")
    assert len(google.published["patients"]) == 1
    document = assert_problem(await producer.get("/readyz"), 503, "not_ready")
    assert document["failed"] == ["topic audit_log"]

    google.has_audit_log = True
    await until(lambda: len(google.events) == 3)
    assert (await producer.post("/v1/patients", json=PATIENT)).status_code == 202
    assert_chain(google.events)


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND])
async def test_chain_has_no_gap_after_a_failure(producer, google, status):
    google.failures["PublishEvents"] += [status] * 2

    answers = [await producer.post("/v1/patients", json=PATIENT) for _ in range(3)]

    statuses = [answer.status_code for answer in answers]
    await until(lambda: len(google.events) >= 3)
    assert_chain(google.events)
    assert statuses == [202] * 3 or statuses[0] == 500


async def test_full_queue_counts_refusals_and_accepts_nothing(make_producer, google, monkeypatch):
    producer = await make_producer("patients", publish_timeout_seconds=0.3)
    monkeypatch.setattr(producer.app._ledger, "_max_waiting", 2)
    google.always["PublishEvents"] = grpc.StatusCode.UNAVAILABLE

    for _ in range(6):
        assert (await producer.post("/v1/patients", json={})).status_code == 422
    assert_problem(await producer.post("/v1/patients", json=PATIENT), 503, "overloaded")
    assert google.published["patients"] == []

    google.always["PublishEvents"] = None
    await until(lambda: sum(event["requests"] for event in google.events) == 7)
    assert_chain(google.events)
    [counted] = [event for event in google.events if event["requests"] > 1]
    assert (counted["code"], counted["created_by"]) == ("invalid_records", "v1")


async def test_head_is_logged_when_the_process_ends(producer, google, caplog):
    caplog.set_level(logging.INFO, logger="vitalflow.ledger")
    await producer.post("/v1/patients", json={})

    producer.app.stopping.on_begin()
    await until(lambda: any(r.message == "audit chain head" for r in caplog.records))

    [record] = [r for r in caplog.records if r.message == "audit chain head"]
    [event] = google.events
    names = ("writer_id", "sequence", "hash")
    assert {name: record.fields[name] for name in names} == {name: event[name] for name in names}


async def test_every_answer_of_an_ending_process_waits_for_its_event(producer, google):
    producer.app.stopping.has_begun = True

    await producer.post("/v1/patients", json={})

    assert len(google.events) == 1


async def test_ending_process_waits_no_longer_than_it_may(producer, google, monkeypatch):
    google.always["PublishEvents"] = grpc.StatusCode.UNAVAILABLE
    monkeypatch.setattr("functions.app._SETTLE_SECONDS", 0.2)
    producer.app.stopping.has_begun = True
    started = time.monotonic()

    await producer.post("/v1/patients", json={})

    assert 0.1 < time.monotonic() - started < 5


async def test_exception_of_ours_leaves_an_event(producer, google, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError(MARK)

    monkeypatch.setattr("functions.endpoint.body_format", fail)
    answer: httpx.Response = await producer.post("/v1/patients", json=PATIENT)

    assert_problem(answer, 500, "internal_error")
    [event] = await events_of(google, 1)
    assert (event["status"], event["code"]) == (500, "internal_error")
