"""A real endpoint process over HTTP, emulators behind it, and what Google's subscriber reads."""

import asyncio
import gzip
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import orjson
import pytest

from schemas import limits
from tests.fixtures.endpoint import KEY, assert_problem, example, until
from tests.fixtures.endpoint_process import PROJECT, EndpointProcess, StartEndpoint
from tests.fixtures.pubsub import PubSub

PATH = "/v1/patients"
NDJSON = {"content-type": "application/x-ndjson"}
SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/patients-pipeline"


@pytest.fixture
def record():
    return example("patients", "minimal")


@pytest.fixture
def endpoint(start_endpoint: StartEndpoint) -> EndpointProcess:
    return start_endpoint()


@pytest.fixture
def client(endpoint: EndpointProcess) -> Iterator[httpx.Client]:
    with connect(endpoint) as connected:
        yield connected


def connect(endpoint: EndpointProcess) -> httpx.Client:
    return httpx.Client(base_url=endpoint.url, headers={"x-api-key": KEY}, timeout=30)


def received(services: PubSub, wanted: int, subscription: str = SUBSCRIPTION) -> list:
    """Return the messages that a subscriber gets."""
    items = services.pull(subscription, wanted)
    services.acknowledge(subscription, *items)
    return [item.message for item in items]


def event_ids(messages: list) -> list[str]:
    return [
        orjson.loads(line)["event_id"] for message in messages for line in message.data.split(b"\n")
    ]


def test_every_form_of_a_request_reaches_a_subscriber(client, endpoint_services, record):
    lines = b"\n".join([orjson.dumps(record)] * 3)
    answers = [
        client.post(PATH, json=record),
        client.post(PATH, json=[record, {}, record]),
        client.post(PATH, content=lines, headers=NDJSON),
        client.post(
            PATH, content=gzip.compress(lines), headers=NDJSON | {"content-encoding": "gzip"}
        ),
        client.delete(f"{PATH}/p-1"),
    ]
    expected = {}
    for answer in answers:
        assert answer.status_code == 202, answer.text
        document = answer.json()
        ids = [entry["event_id"] for entry in document["records"] if "event_id" in entry]
        expected[document["request_id"]] = ids
    messages = received(endpoint_services, 5)
    assert {m.attributes["request_id"]: event_ids([m]) for m in messages} == expected
    assert [m.attributes["op"] for m in messages].count("delete") == 1
    for message in messages:
        assert message.attributes["resource"] == "patients"
        assert message.attributes["schema_version"] == "1"
        assert message.attributes["key_id"] == "v1"


def test_a_request_with_the_limit_of_bytes_is_published_whole(client, endpoint_services, record):
    line = orjson.dumps({**record, "x_pad": "x" * 1000})
    count = limits.MAX_BODY_BYTES // (len(line) + 1)
    answer = client.post(PATH, content=(line + b"\n") * count, headers=NDJSON)
    assert answer.json()["accepted"] == count
    packs = -(-count // limits.PACK_MAX_RECORDS)
    ids = event_ids(received(endpoint_services, packs))
    assert sorted(ids) == [entry["event_id"] for entry in answer.json()["records"]]


def test_each_resource_is_published_to_its_topic(client, endpoint_services, real_registry):
    for name in real_registry:
        assert client.post(f"/v1/{name}", json=example(name, "minimal")).status_code == 202
        subscription = f"projects/{PROJECT}/subscriptions/{name}-pipeline"
        (message,) = received(endpoint_services, 1, subscription)
        assert message.attributes["resource"] == name


def test_a_refused_body_does_not_keep_the_answer_from_the_client(client):
    too_large = b"x" * (limits.MAX_BODY_BYTES + 1)
    for _ in range(3):
        answer = client.post(PATH, content=too_large, headers=NDJSON)
        assert_problem(answer, 413, "body_too_large")
    wrong_key = {"x-api-key": "wrong"}
    assert_problem(client.post(PATH, content=too_large, headers=wrong_key), 401, "unauthorized")


def test_health_docs_and_methods_over_the_framework(client):
    for path in ("/livez", "/readyz", "/openapi.json", "/docs", "/docs/swagger-ui-bundle.js"):
        assert client.get(path).status_code == 200
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")
    refused = client.head(PATH)
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert_problem(client.get("/"), 404, "not_found")
    assert_problem(client.get("/v1/patients/%2e%2e/docs"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": "UNAVAILABLE", "calls": 2}, None),
        ({"drop_connection": True, "calls": 1}, None),
        ({"drop_connection": True, "after_effect": True, "calls": 1}, None),
        ({"status": "UNAVAILABLE"}, (503, "publish_timeout")),
        ({"latency_ms": 3000}, (503, "publish_timeout")),
        ({"status": "PERMISSION_DENIED"}, (500, "publish_refused")),
    ],
    ids=["blip", "drop", "cut before the answer", "outage", "slow", "refused"],
)
def test_faults_of_pubsub(start_endpoint, endpoint_services, pubsub_emulator, fault, expected):
    record = example("patients", "minimal")
    with connect(start_endpoint(PUBLISH_TIMEOUT_SECONDS="1.5")) as client:
        rule = pubsub_emulator.faults.add({"service": "pubsub", "method": "Publish", **fault})
        started = time.monotonic()
        answer = client.post(PATH, json=record)
        assert time.monotonic() - started < 3
        if expected:
            assert_problem(answer, *expected)
            pubsub_emulator.faults.remove(rule)
            answer = client.post(PATH, json=record)
        assert answer.status_code == 202, answer.text
        messages = received(endpoint_services, 1)
        assert answer.json()["records"][0]["event_id"] in event_ids(messages)


def test_secret_manager_is_ridden_out_and_recovered_from(
    start_endpoint, secret_manager_emulator, record
):
    rule = secret_manager_emulator.faults.add({"status": "UNAVAILABLE"})
    with connect(start_endpoint()) as client:
        assert_problem(client.post(PATH, json=record), 503, "keys_unavailable")
        secret_manager_emulator.faults.remove(rule)
        time.sleep(1)
        assert client.post(PATH, json=record).status_code == 202
        secret_manager_emulator.faults.add({"status": "UNAVAILABLE"})
        assert client.post(PATH, json=record).status_code == 202


def test_a_body_that_never_comes_ends_and_others_are_served(start_endpoint, record):
    endpoint = start_endpoint(BODY_TIMEOUT_SECONDS="1")
    with (
        socket.create_connection(("127.0.0.1", endpoint.port)) as slow,
        connect(endpoint) as client,
    ):
        slow.sendall(head(length=100) + b"{")
        assert client.post(PATH, json=record).status_code == 202
        slow.settimeout(5)
        answer = b"".join(iter(lambda: slow.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_timeout"' in answer


def head(length: int, path: str = PATH) -> bytes:
    """Return the header of a POST with a body of that length."""
    return (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


async def test_several_workers_share_nothing(start_endpoint, endpoint_services, record):
    endpoint = start_endpoint("patients", WORKERS="2")
    await until(lambda: len(endpoint.worker_pids()) == 2)
    ids = []
    for _ in range(20):
        with connect(endpoint) as client:  # connections are what is spread over workers
            ids.append(client.post(PATH, json=record).json()["records"][0]["event_id"])
    assert sorted(event_ids(received(endpoint_services, 20))) == sorted(ids)
    assert endpoint.terminate() < 10


async def test_64_large_bodies_at_once_cost_a_bounded_memory(endpoint, record):
    line = orjson.dumps({**record, "x_codes": [{"a": 1, "b": "two"}] * 30, "x": "y" * 550})
    body = b"[" + b",".join([line] * (limits.MAX_BODY_BYTES // (len(line) + 1))) + b"]"
    wait = httpx.Timeout(100)
    bounds = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(
        base_url=endpoint.url, headers={"x-api-key": KEY}, timeout=wait, limits=bounds
    ) as client:
        headers = {"content-type": "application/json"}
        answers = await asyncio.gather(
            *(client.post(PATH, content=body, headers=headers) for _ in range(64))
        )
        assert (await client.post(PATH, json=record)).status_code == 202
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {202, 503}
    assert statuses.count(202) >= 2
    assert endpoint.peak_memory() < 300_000_000


class Load:
    """Sends singles over many connections until the endpoint ends; counts every answer."""

    def __init__(self, endpoint: EndpointProcess, record: dict) -> None:
        self.accepted: list[str] = []
        self.refused: list[int] = []
        self.cut: list[Exception] = []
        self._endpoint = endpoint
        self._body = orjson.dumps(record)

    async def run(self, connections: int) -> None:
        await asyncio.gather(*(self._producer() for _ in range(connections)))

    async def _producer(self) -> None:
        port = self._endpoint.port
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:  # it no longer listens: the end
                return
            answers = 0
            try:
                while await self._exchange(reader, writer):
                    answers += 1
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                # The kernel takes connections that the process never sees, and resets them when it
                # ends: to a producer these are refused ones.
                if answers or not isinstance(error, ConnectionError):
                    self.cut.append(error)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(head(len(self._body)) + self._body)
        header = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(header.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if header.startswith(b"http/1.1 202 "):
            self.accepted.append(orjson.loads(body)["records"][0]["event_id"])
        else:
            self.refused.append(int(header.split()[1]))
        return b"connection: close" not in header


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_sigterm_under_load_loses_and_cuts_nothing(
    start_endpoint, endpoint_services, record, workers
):
    endpoint = start_endpoint("patients", WORKERS=workers)
    load = Load(endpoint, record)
    running = asyncio.create_task(load.run(connections=32))
    await asyncio.sleep(1.5)
    seconds = await asyncio.to_thread(endpoint.terminate)
    await running
    assert seconds < 10
    assert load.cut == []
    assert load.refused == []
    assert len(load.accepted) > 100
    published = event_ids(await asyncio.to_thread(received, endpoint_services, len(load.accepted)))
    assert set(load.accepted) <= set(published)


async def test_sigterm_does_not_wait_for_slow_senders(start_endpoint):
    endpoint = start_endpoint("patients")
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    writer.write(head(length=100) + b"{")
    idle, idle_writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    await asyncio.sleep(0.3)
    seconds = await asyncio.to_thread(endpoint.terminate)
    assert seconds < 10
    assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
    assert await idle.read() == b""
    for each in (writer, idle_writer):
        each.close()
        await each.wait_closed()


def test_the_log_is_json_and_without_warnings(endpoint, client, record):
    client.post(PATH, json=record)
    client.post(PATH, content=b"SSN 123-45-6789", headers={"content-type": "application/json"})
    client.post(PATH, json=record, headers={"x-api-key": "a-guess"})
    endpoint.terminate()
    lines = [orjson.loads(line) for line in endpoint.log.read_text().splitlines()]
    assert {line["message"] for line in lines} == {
        "a request was refused",
        "API keys were refused",
        "audit chain head",
        "stopping",
    }
    log = endpoint.log.read_text()
    assert not any(secret in log for secret in ("6789", "a-guess", KEY, record["patient_id"]))
