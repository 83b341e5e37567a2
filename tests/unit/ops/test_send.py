import json
import stat

import httpx
import pytest

from ops import send
from ops.record_file import read_records
from ops.send import TRIES, Sender, SendError, Total
from tests.fixtures.ops import PHI

ACCEPTED = 202


class FakeEndpoint:
    """Accepts records but for those that are marked bad; answers the script's statuses first."""

    def __init__(self, *script):
        self.script = list(script)
        self.bodies, self.keys = [], []

    def __call__(self, request):
        status, headers = self.script.pop(0) if self.script else (ACCEPTED, {})
        if status == 0:
            raise httpx.ConnectError("no connection")
        if status != ACCEPTED:
            problem = {"code": "some_code", "detail": PHI}
            return httpx.Response(status, json=problem, headers=headers)
        self.keys.append(request.headers["idempotency-key"])
        lines = request.content.split(b"\n")
        self.bodies.append(lines)
        error = {"path": "$.x", "rule": "type", "message": "must be a string"}
        bad = [n for n, line in enumerate(lines) if b"bad" in line]
        if len(bad) == len(lines):
            return httpx.Response(422, json={"errors": [error | {"index": n} for n in bad]})
        records = [
            {"index": n} | ({"errors": [error]} if n in bad else {"event_id": f"e-{n}"})
            for n in range(len(lines))
        ]
        counts = {"accepted": len(lines) - len(bad), "rejected": len(bad)}
        return httpx.Response(ACCEPTED, json={**counts, "records": records})


def run(endpoint, records):
    total, pauses = Total(), []
    transport = httpx.MockTransport(endpoint)
    with httpx.Client(transport=transport, base_url="http://test") as http:
        sender = Sender(http, "patients", total, pauses.append)
        counts = list(sender.send(records))
    return total, counts, pauses


def test_records_go_in_bulk_and_in_order():
    endpoint = FakeEndpoint()
    records = [b'{"n":%d}' % number for number in range(1_201)]

    total, counts, _ = run(endpoint, records)

    assert counts == [500, 500, 201]
    assert [line for body in endpoint.bodies for line in body] == records
    assert (total.accepted, total.rejected) == (1_201, 0)


def test_requests_are_bounded_in_bytes():
    endpoint = FakeEndpoint()

    run(endpoint, [b'{"a":"%b"}' % (b"x" * 400_000)] * 5)

    assert [len(body) for body in endpoint.bodies] == [2, 2, 1]


def test_same_file_has_the_same_idempotency_keys():
    endpoint = FakeEndpoint()
    for _ in range(2):
        run(endpoint, [b"{}"] * 600)
    run(endpoint, [b"{}"] * 700)

    first, second, third, fourth, _, other = endpoint.keys
    assert (first, second) == (third, fourth)
    assert len({first, second, other}) == 3
    assert max(map(len, endpoint.keys)) <= 255


def test_rejected_records_are_told_by_their_place_in_the_file(capsys):
    records = [b"{}"] * 501 + [b'{"bad":1}']

    total, _, _ = run(FakeEndpoint(), records)

    assert (total.accepted, total.rejected) == (501, 1)
    assert capsys.readouterr().out == "502: $.x: must be a string (type)\n"


def test_request_without_a_valid_record(capsys):
    total, _, _ = run(FakeEndpoint(), [b'{"bad":1}'] * 2)

    assert (total.accepted, total.rejected) == (0, 2)
    assert capsys.readouterr().out.count("must be a string") == 2


def test_record_on_several_lines_becomes_one():
    endpoint = FakeEndpoint()

    run(endpoint, [b'{\n"a": 1}', b'{\n"a": }', b""])

    assert endpoint.bodies == [[b'{"a":1}', b"{", b"{"]]


@pytest.mark.parametrize(
    "trouble", [(503, {}), (500, {}), (408, {}), (429, {}), (0, {})], ids=lambda value: value[0]
)
def test_trouble_is_ridden_out(trouble):
    endpoint = FakeEndpoint(trouble, trouble)

    total, _, pauses = run(endpoint, [b"{}"])

    assert total.accepted == 1
    assert 0.5 <= pauses[0] <= 1 <= pauses[1] <= 2
    assert len(endpoint.keys) == 1


def test_retry_after_is_kept_to():
    _, _, pauses = run(FakeEndpoint((503, {"retry-after": "7"})), [b"{}"])

    assert pauses == [7]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([(401, {})], "stopped at record 1: 401 some_code"),
        ([(503, {})] * TRIES, f"stopped at record 1: 503 some_code, {TRIES} times"),
        ([(0, {})] * TRIES, f"stopped at record 1: ConnectError, {TRIES} times"),
    ],
    ids=["key", "outage", "connection"],
)
def test_end_of_patience(script, reason):
    endpoint = FakeEndpoint(*script)

    with pytest.raises(SendError) as caught:
        run(endpoint, [b"{}"])

    assert str(caught.value) == reason


@pytest.fixture
def sent(monkeypatch):
    """Requests that the command makes, instead of making them."""
    requests = []

    def answer(request):
        requests.append(request)
        return FakeEndpoint()(request)

    def client(url, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        transport = httpx.MockTransport(answer)
        return httpx.Client(transport=transport, base_url=url, headers=names)

    monkeypatch.setattr(send, "endpoint_client", client)
    for name in ("ENDPOINT", "PROJECT_ID", "GOOGLE_CLOUD_PROJECT", send.KEY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return requests


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "records.json"
    path.write_text(json.dumps([{"a": PHI}, {"a": "bad"}]))
    return path


def test_key_of_a_file(sent, file, tmp_path, capsys):
    key = tmp_path / "key"
    key.write_text("the-key\n")
    key.chmod(stat.S_IRUSR)

    code = send.main(
        [str(file), "--resource=patients", f"--key-file={key}", "--endpoint=https://api.test"]
    )

    assert code == 1
    [request] = sent
    assert request.url == "https://api.test/v1/patients"
    assert request.headers["x-api-key"] == "the-key"
    assert request.headers["content-type"] == "application/x-ndjson"
    printed = capsys.readouterr()
    assert printed.out == "2: $.x: must be a string (type)\n1 accepted, 1 rejected\n"
    assert PHI not in printed.out + printed.err


def test_all_from_the_stack_of_this_machine(sent, file, tmp_path):
    stack = tmp_path / "stack.json"
    names = {"project": "p", "dataset": "d", "ops_dataset": "o", "bigquery_rest": "", "pubsub": ""}
    where = {"endpoint": "http://127.0.0.1:1", "api_keys": {"patients": "local-key"}}
    stack.write_text(json.dumps(names | where))

    send.main([str(file), "--resource=patients", f"--stack={stack}"])

    assert sent[0].headers["x-api-key"] == "local-key"


def test_keys_of_this_machine_are_for_its_own_endpoint(sent, file, tmp_path, capsys):
    stack = tmp_path / "stack.json"
    names = {"project": "p", "dataset": "d", "ops_dataset": "o", "bigquery_rest": "", "pubsub": ""}
    where = {"endpoint": "http://127.0.0.1:1", "api_keys": {"patients": "local-key"}}
    stack.write_text(json.dumps(names | where))

    code = send.main(
        [str(file), "--resource=patients", f"--stack={stack}", "--endpoint=https://api.test"]
    )

    assert (code, sent) == (2, [])
    assert "no key" in capsys.readouterr().err


def test_file_of_another_kind(sent, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(send.KEY_VARIABLE, "the-key")
    path = tmp_path / "x.json"
    path.write_text("[{}")

    code = send.main([str(path), "--resource=patients", "--endpoint=https://api.test"])

    assert (code, sent) == (2, [])
    assert "ends within record 1" in capsys.readouterr().err


def test_records_are_read_as_they_are_sent(tmp_path):
    path = tmp_path / "x.ndjson"
    path.write_bytes(b'{"a":1}\n\n{"a":2}\n')
    endpoint = FakeEndpoint()

    with path.open("rb") as stream:
        run(endpoint, read_records(stream, path.name))

    assert endpoint.bodies == [[b'{"a":1}', b'{"a":2}']]
