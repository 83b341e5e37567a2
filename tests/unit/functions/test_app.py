import asyncio
import gzip
import logging
import uuid
from itertools import pairwise

import grpc
import httpx
import orjson
import pytest

from functions.audit import EVENT_NAMESPACE
from functions.body import Bodies
from functions.endpoint import Endpoint
from functions.logging import JsonFormatter
from schemas import limits
from tests.fixtures.endpoint import KEY, OTHER_KEY, PROJECT, assert_problem, example

PATH = "/v1/patients"
NDJSON = {"content-type": "application/x-ndjson"}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def record():
    return example("patients", "minimal")


def sent(google, topic="patients") -> list[dict]:
    """Return the records that were published, with their audit columns."""
    lines = [line for message in google.published[topic] for line in message.data.split(b"\n")]
    return [orjson.loads(line) for line in lines]


def assert_accepted(response: httpx.Response, accepted: int, rejected: int = 0) -> list[dict]:
    assert response.status_code == 202, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    document = response.json()
    assert response.headers["x-request-id"] == document["request_id"]
    assert (document["accepted"], document["rejected"]) == (accepted, rejected)
    records = document["records"]
    assert [entry["index"] for entry in records] == list(range(accepted + rejected))
    assert sum("event_id" in entry for entry in records) == accepted
    return records


async def test_one_record_is_published_with_its_audit_columns(producer, google, record):
    response = await producer.post(PATH, json=record)
    (entry,) = assert_accepted(response, 1)
    (published,) = sent(google)
    assert published == {
        **record,
        "created_ts": published["created_ts"],
        "updated_ts": published["created_ts"],
        "created_by": "v1",
        "is_active": True,
        "request_id": response.json()["request_id"],
        "event_id": entry["event_id"],
    }
    assert uuid.UUID(entry["event_id"]).version == 7
    (message,) = google.published["patients"]
    assert message.attributes["op"] == "upsert"
    assert message.attributes["dedup_id"] == entry["event_id"]


@pytest.mark.parametrize("is_gzip", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("form", ["array", "ndjson"])
async def test_many_records_are_accepted_in_part(producer, google, record, form, is_gzip):
    mixed = [record, {}, {**record, "patient_id": "p-2"}]
    if form == "array":
        body, headers = orjson.dumps(mixed), {"content-type": "application/json"}
    else:
        body, headers = b"\n".join(orjson.dumps(r) for r in mixed), dict(NDJSON)
    if is_gzip:
        body, headers["content-encoding"] = gzip.compress(body), "gzip"
    entries = assert_accepted(await producer.post(PATH, content=body, headers=headers), 2, 1)
    assert {error["rule"] for error in entries[1]["errors"]} == {"required"}
    assert [r["event_id"] for r in sent(google)] == [entries[i]["event_id"] for i in (0, 2)]
    (message,) = google.published["patients"]
    assert message.attributes["content_type"] == "application/x-ndjson"


async def test_of_many_a_single_valid_one_is_sent_as_one(producer, google, record):
    await producer.post(PATH, json=[{}, record])
    (message,) = google.published["patients"]
    assert message.attributes["content_type"] == "application/json"


async def test_every_resource_has_its_endpoint(producer, google, real_registry):
    for name in real_registry:
        response = await producer.post(f"/v1/{name}", json=example(name, "minimal"))
        assert_accepted(response, 1)
        assert len(sent(google, name)) == 1


async def test_event_ids_grow_within_and_across_requests(producer, record):
    ids = []
    for _ in range(3):
        response = await producer.post(PATH, json=[record] * 3)
        ids += [entry["event_id"] for entry in response.json()["records"]]
    assert ids == sorted(set(ids))


async def test_a_tombstone_holds_the_key_alone(producer, google):
    response = await producer.delete(f"{PATH}/p%2D1")
    (entry,) = assert_accepted(response, 1)
    (published,) = sent(google)
    assert published["patient_id"] == "p-1"
    assert published["is_active"] is False
    assert published["event_id"] == entry["event_id"]
    (message,) = google.published["patients"]
    assert (message.attributes["op"], message.attributes["content_type"]) == (
        "delete",
        "application/json",
    )


@pytest.mark.parametrize("key", ["p/1", "p%2F1", "%00", "x" * 65])
async def test_a_key_that_the_contract_refuses(producer, google, key):
    document = assert_problem(await producer.delete(f"{PATH}/{key}"), 422, "invalid_records")
    assert document["errors"][0]["index"] == 0
    assert key not in str(document)
    assert not sent(google)


@pytest.mark.parametrize("path", [f"{PATH}/%FF", f"{PATH}/", f"{PATH}//", f"{PATH}/a/"])
async def test_a_key_that_is_no_path(producer, path):
    assert_problem(await producer.delete(path), 404, "not_found")


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/nothing", "/v1/nothing/1", "/v2/patients", "/v1%2Fpatients"]
)
async def test_an_unknown_path(producer, path, record):
    assert_problem(await producer.post(path, json=record), 404, "not_found")
    assert_problem(await producer.delete(path), 404, "not_found")


async def test_a_target_of_one_resource_serves_that_alone(make_producer, record):
    producer = await make_producer("patients")
    assert_accepted(await producer.post(PATH, json=record), 1)
    plan = example("plans", "minimal")
    assert_problem(await producer.post("/v1/plans", json=plan), 404, "not_found")
    assert next(iter((await producer.get("/openapi.json")).json()["paths"])) == PATH


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        *[(m, PATH, "POST") for m in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS")],
        *[(m, f"{PATH}/p-1", "DELETE") for m in ("GET", "POST", "PUT", "OPTIONS")],
        *[(m, "/livez", "GET, HEAD") for m in ("POST", "DELETE", "OPTIONS")],
    ],
)
async def test_other_methods(producer, method, path, allow):
    response = await producer.request(method, path)
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allow


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": ""},
        {"x-api-key": "wrong"},
        {"x-api-key": KEY + "x"},
        {"x-api-key": f"Bearer {KEY}"},
        {"x-api-key": "k" * 10_000},
        {"x-api-key": b"\xff\xfe"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_wrong_key(producer, google, headers, method, record):
    path = PATH if method == "POST" else f"{PATH}/p-1"
    response = await producer.request(method, path, headers=headers, json=record)
    assert_problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"].startswith("ApiKey ")
    assert not sent(google)


async def test_a_missing_key_and_one_that_is_sent_twice(producer, record):
    del producer.headers["x-api-key"]
    assert_problem(await producer.post(PATH, json=record), 401, "unauthorized")
    twice = [("x-api-key", KEY), ("x-api-key", KEY)]
    assert_problem(await producer.post(PATH, json=record, headers=twice), 401, "unauthorized")


async def test_a_key_is_good_for_one_resource(producer, google, record):
    google.set_keys("plans-api-key", OTHER_KEY.encode())
    headers = {"x-api-key": OTHER_KEY}
    response = await producer.post(PATH, json=record, headers=headers)
    assert_problem(response, 401, "unauthorized")


@pytest.mark.parametrize(("size", "closes"), [(64 * 1024, False), (64 * 1024 + 1, True)])
async def test_the_key_is_checked_before_the_body_is_read(producer, size, closes, monkeypatch):
    monkeypatch.setattr(Bodies, "read", None)
    headers = {"x-api-key": "wrong", "content-type": "application/json"}
    response = await producer.post(PATH, content=b"x" * size, headers=headers)
    assert_problem(response, 401, "unauthorized")
    assert ("connection" in response.headers) == closes


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_guessing_keys_is_slowed_down_by_address(producer, google, record, method):
    path = PATH if method == "POST" else f"{PATH}/p-1"

    async def send(key: str, address: str) -> httpx.Response:
        headers = {"x-api-key": key, "x-forwarded-for": f"203.0.113.9, {address}"}
        return await producer.request(method, path, headers=headers, json=record)

    assert_accepted(await send(KEY, "10.0.0.9"), 1)
    google.set_keys("patients-api-key", KEY.encode(), OTHER_KEY.encode())
    for number in range(20):
        assert_problem(await send(f"guess-{number}", "10.0.0.9"), 401, "unauthorized")
    for key in ("guess", OTHER_KEY):  # which is right
        refused = await send(key, "10.0.0.9")
        assert_problem(refused, 429, "too_many_requests")
        assert int(refused.headers["retry-after"]) == 3
    assert_accepted(await send(KEY, "10.0.0.9"), 1)  # as before
    assert_accepted(await send(KEY, "10.0.0.10"), 1)


async def test_a_key_may_be_held_to_a_rate(make_producer, record):
    producer = await make_producer("patients", rate_limit_per_key=2)
    for _ in range(2):
        assert_accepted(await producer.post(PATH, json=record), 1)
    refused = await producer.post(PATH, json=record)
    assert_problem(refused, 429, "too_many_requests")
    assert 1 <= int(refused.headers["retry-after"]) <= 30


async def test_what_is_no_address_is_not_remembered_as_one(producer, record):
    for number in range(25):  # the peer's own address is what counts
        headers = {"x-api-key": "guess", "x-forwarded-for": f"{number}" + "x" * 70}
        answer = await producer.post(PATH, json=record, headers=headers)
    assert_problem(answer, 429, "too_many_requests")


async def test_keys_rotate_while_requests_run(make_producer, google, record):
    producer = await make_producer("patients", key_refresh_seconds=0.02, refused_keys_per_minute=0)
    stop = False
    statuses: dict[str, list[int]] = {KEY: [], OTHER_KEY: []}

    async def send(key: str) -> None:
        while not stop:
            response = await producer.post(PATH, json=record, headers={"x-api-key": key})
            statuses[key].append(response.status_code)
            await asyncio.sleep(0)  # a refusal waits for nothing by itself

    tasks = [asyncio.create_task(send(key)) for key in statuses]
    await asyncio.sleep(0.15)
    google.set_keys("patients-api-key", KEY.encode(), OTHER_KEY.encode())
    await asyncio.sleep(0.3)
    both = {key: len(seen) for key, seen in statuses.items()}
    google.secrets["patients-api-key"][0] = (KEY.encode(), "DISABLED")
    await asyncio.sleep(0.3)
    stop = True
    await asyncio.gather(*tasks)
    assert set(statuses[KEY][: both[KEY]]) == {202}
    assert (statuses[KEY][-1], statuses[OTHER_KEY][0], statuses[OTHER_KEY][-1]) == (401, 401, 202)
    # Each changes over once, without wavering.
    for seen in statuses.values():
        assert sum(a != b for a, b in pairwise(seen)) == 1


async def test_keys_that_cannot_be_read_are_no_reason_to_let_go_or_in(producer, google, record):
    google.always["List"] = grpc.StatusCode.UNAVAILABLE
    assert_problem(await producer.post(PATH, json=record), 503, "keys_unavailable")


async def test_a_key_id_of_a_json_secret_is_who_created_the_record(producer, google, record):
    google.set_keys("patients-api-key", orjson.dumps({"st. mary": KEY, "other": OTHER_KEY}))
    await producer.post(PATH, json=record)
    assert sent(google)[0]["created_by"] == "st. mary"
    assert google.published["patients"][0].attributes["key_id"] == "st. mary"


@pytest.mark.parametrize(
    ("content", "headers", "expected"),
    [
        (b"{", {}, (400, "invalid_json")),
        (b"\xff\xfe{}", {}, (400, "invalid_json")),
        (b"", {}, (400, "empty_body")),
        (b"x", {"content-encoding": "gzip"}, (400, "invalid_encoding")),
        (b"{}", {"idempotency-key": ""}, (400, "invalid_idempotency_key")),
        (b"{}", {"idempotency-key": "a b"}, (400, "invalid_idempotency_key")),
        (b"{}", {"idempotency-key": "k" * 256}, (400, "invalid_idempotency_key")),
        (b"{}", {"idempotency-key": b"\xc3\xa9"}, (400, "invalid_idempotency_key")),
        (b"x" * (limits.MAX_BODY_BYTES + 1), {}, (413, "body_too_large")),
        (
            gzip.compress(b" " * (limits.MAX_BODY_BYTES + 1)),
            {"content-encoding": "gzip"},
            (413, "body_too_large"),
        ),
        (b"[" + b"1," * 10_000 + b"1]", {}, (413, "too_many_records")),
        (b"{}", {"content-type": "text/plain"}, (415, "unsupported_media_type")),
        (b"{}", {"content-encoding": "br"}, (415, "unsupported_encoding")),
        (b"[]", {}, (422, "no_records")),
        (b"\n", NDJSON, (422, "no_records")),
        (b"1", {}, (422, "invalid_records")),
        (b"{}", {}, (422, "invalid_records")),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else None,
)
async def test_what_is_refused(producer, google, content, headers, expected):
    headers = {"content-type": "application/json", **headers}
    assert_problem(await producer.post(PATH, content=content, headers=headers), *expected)
    assert not sent(google)


async def test_refusals_say_where_and_why_but_never_what(producer, record):
    secret = "123-45-6789"
    wrong = {**record, "birth_date": secret, "event_id": secret, "gender": secret}
    document = assert_problem(await producer.post(PATH, json=[wrong]), 422, "invalid_records")
    assert {(e["index"], e["path"], e["rule"]) for e in document["errors"]} >= {
        (0, "$.birth_date", "format"),
        (0, "$.event_id", "reserved"),
    }
    assert secret not in str(document)


async def test_a_cut_list_of_errors_says_so(producer, record):
    headers = {"content-type": "application/json"}
    content = b"[" + b"1," * 1499 + b"1]"
    response = await producer.post(PATH, content=content, headers=headers)
    document = assert_problem(response, 422, "invalid_records")
    assert len(document["errors"]) == 1000
    assert document["errors_truncated"] is True
    content = content[:-1] + b"," + orjson.dumps(record) + b"]"
    document = (await producer.post(PATH, content=content, headers=headers)).json()
    assert (document["accepted"], document["rejected"]) == (1, 1500)
    assert document["errors_truncated"] is True
    assert document["records"][-2] == {"index": 1499, "errors": []}


@pytest.mark.parametrize("key", ["a", "k" * 255, "!~"])
async def test_a_repeat_gets_the_same_event_ids(producer, google, record, key):
    headers = {"idempotency-key": key}
    answers = [
        (await producer.post(PATH, json=[record, {}, record], headers=headers)).json()
        for _ in range(2)
    ]
    expected = [
        str(uuid.uuid5(EVENT_NAMESPACE, f'["patients","v1","{key}",{position}]'))
        for position in (0, 2)
    ]
    for answer in answers:
        assert [answer["records"][i]["event_id"] for i in (0, 2)] == expected
    assert answers[0]["request_id"] != answers[1]["request_id"]
    first, second = google.published["patients"]
    assert first.attributes["dedup_id"] == second.attributes["dedup_id"]


async def test_an_idempotency_key_is_nobody_elses(producer, google, record):
    google.set_keys("patients-api-key", KEY.encode(), OTHER_KEY.encode())
    google.set_keys("plans-api-key", KEY.encode())

    async def event_id(method: str, path: str, key: str, body: dict | None) -> str:
        headers = {"idempotency-key": "k", "x-api-key": key}
        response = await producer.request(method, path, headers=headers, json=body)
        return response.json()["records"][0]["event_id"]

    ids = {
        await event_id("POST", PATH, KEY, record),
        await event_id("POST", PATH, OTHER_KEY, record),
        await event_id("POST", "/v1/plans", KEY, example("plans", "minimal")),
        await event_id("DELETE", f"{PATH}/p-1", KEY, None),
    }
    assert len(ids) == 4


async def test_two_idempotency_keys_are_none(producer, record):
    headers = [("idempotency-key", "a"), ("idempotency-key", "b")]
    response = await producer.post(PATH, json=record, headers=headers)
    assert_problem(response, 400, "invalid_idempotency_key")


async def test_the_trace_goes_with_the_message(producer, google, record):
    await producer.post(PATH, json=record, headers={"traceparent": TRACEPARENT})
    assert google.published["patients"][0].attributes["traceparent"] == TRACEPARENT


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, (503, "publish_timeout")),
        (grpc.StatusCode.NOT_FOUND, (500, "publish_refused")),
        (grpc.StatusCode.PERMISSION_DENIED, (500, "publish_refused")),
    ],
)
async def test_nothing_is_accepted_that_is_not_published(
    make_producer, google, record, status, expected
):
    producer = await make_producer(publish_timeout_seconds=0.2)
    google.always["Publish"] = status
    assert_problem(await producer.post(PATH, json=record), *expected)
    google.always["Publish"] = None
    assert_accepted(await producer.post(PATH, json=record), 1)


async def test_no_answer_comes_before_the_acknowledgement(producer, google, record):
    google.latency = 0.3
    request = asyncio.create_task(producer.post(PATH, json=record))
    await asyncio.sleep(0.15)
    assert not request.done()
    assert_accepted(await request, 1)


async def test_a_full_queue_is_an_honest_refusal(make_producer, google, record):
    producer = await make_producer(publish_queue_messages=2)
    google.latency = 0.2
    responses = await asyncio.gather(*(producer.post(PATH, json=record) for _ in range(5)))
    assert sorted(r.status_code for r in responses) == [202, 202, 503, 503, 503]
    for response in responses:
        if response.status_code == 503:
            assert_problem(response, 503, "overloaded")


async def test_a_fault_is_a_problem_and_its_words_stay_inside(
    make_producer, record, monkeypatch, caplog
):
    async def post(*_: object) -> None:
        raise ValueError("SSN 123-45-6789")

    monkeypatch.setattr(Endpoint, "post", post)
    producer = await make_producer()
    response = await producer.post(PATH, json=record)
    document = assert_problem(response, 500, "internal_error")
    (line,) = [r for r in caplog.records if r.name == "vitalflow.app"]
    assert line.fields["request_id"] == document["request_id"]
    assert "6789" not in response.text + JsonFormatter().format(line)


async def test_refusals_are_logged_by_request_id_and_code(producer, caplog):
    with caplog.at_level(logging.INFO):
        response = await producer.post(
            PATH,
            content=b"123-45-6789",
            headers={"content-type": "text/plain", "traceparent": TRACEPARENT},
        )
    (line,) = [r for r in caplog.records if r.name == "vitalflow.app"]
    assert line.fields == {
        "request_id": response.json()["request_id"],
        "logging.googleapis.com/trace": (
            f"projects/{PROJECT}/traces/4bf92f3577b34da6a3ce929d0e0e4736"
        ),
        "logging.googleapis.com/spanId": "00f067aa0ba902b7",
        "logging.googleapis.com/trace_sampled": True,
        "code": "unsupported_media_type",
        "status": 415,
    }


async def test_a_flood_of_wrong_keys_is_one_line(producer, caplog):
    for _ in range(20):
        await producer.post(PATH, headers={"x-api-key": "guess"})
    (line,) = [r for r in caplog.records if r.name == "vitalflow.app"]
    assert line.levelno == logging.WARNING
    assert "guess" not in caplog.text
