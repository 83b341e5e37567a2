import asyncio
import time
from datetime import timedelta
from types import SimpleNamespace

import flask
import grpc
import orjson
import pytest
import requests.exceptions

from functions.auth import KeyRing
from functions.background_loop import BackgroundLoop
from functions.event_status import EventStatus
from functions.google_rpc import RpcError
from functions.secret_store import SecretVersion
from functions.settings import SettingError
from functions.status import StatusService
from functions.status_settings import StatusSettings
from functions.throttle import Guard

KEY = "a-key-of-an-integration-partner-0001"
MARK = "Wilhelmina-078-05-1120"
EVENT_ID = "01a1fcd2-218b-7596-a6b8-5abfb904ceb2"
FOUND = {"state": "loaded", "accepted_ts": "2026-01-02T03:04:05.678901Z"}


class Store:
    error = None

    async def enabled_versions(self, _):
        if self.error:
            raise self.error
        return [SecretVersion("1", KEY.encode())]


class Events(EventStatus):
    def __init__(self):
        self.asked = []
        self.error = None

    def check(self):
        if self.error:
            raise self.error

    def find(self, resource, key_id, event_id):
        self.check()
        self.asked.append((resource, key_id, event_id))
        return FOUND


@pytest.fixture(scope="module")
def background():
    return BackgroundLoop()


@pytest.fixture
def parts(background, real_registry):
    store, events, notes = Store(), Events(), []

    async def keys():
        return {name: KeyRing(f"{name}-api-key", store, 60, 900) for name in real_registry}

    def note(exchange, facts, status, code):
        notes.append((facts.resource, facts.action, facts.key_id, status, code))

    service = StatusService(
        resources=real_registry,
        keys=background.call(keys(), 5),
        background=background,
        ledger=SimpleNamespace(note=note),
        events=events,
        guard=Guard(20, 60),
        forwarded_for_position=1,
    )
    return SimpleNamespace(service=service, store=store, events=events, notes=notes)


@pytest.fixture
def ask(parts):
    app = flask.Flask(__name__)

    def send(path=f"/v1/patients/events/{EVENT_ID}", method="GET", key=KEY, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            headers["x-api-key"] = key
        with app.test_request_context(path, method=method, headers=headers):
            return parts.service(flask.request)

    return send


def problem(answer):
    assert answer.content_type == "application/problem+json"
    document = orjson.loads(answer.data)
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["status"] == answer.status_code
    if answer.status_code in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1
    return answer.status_code, document["code"]


def noted(parts):
    deadline = time.monotonic() + 5
    while not parts.notes and time.monotonic() < deadline:
        time.sleep(0.002)
    return parts.notes


def test_answer_names_the_event_and_the_request(ask, parts):
    answer = ask()

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    document = orjson.loads(answer.data)
    request_id = answer.headers["x-request-id"]
    assert document == {"event_id": EVENT_ID, **FOUND, "request_id": request_id}
    assert parts.events.asked == [("patients", "v1", EVENT_ID)]
    assert noted(parts) == [("patients", "status", "v1", 200, None)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/patients/events/nothing", (404, "not_found")),
        (f"/v1/patients/events/{EVENT_ID.upper()}", (404, "not_found")),
        (f"/v1/patients/events/{EVENT_ID}/more", (404, "not_found")),
        ("/v1/patients", (404, "not_found")),
        (f"/v1/nothing/events/{EVENT_ID}", (404, "not_found")),
        (f"/v1/audit_log/events/{EVENT_ID}", (404, "not_found")),
        ("/", (404, "not_found")),
    ],
)
def test_what_is_not_there(ask, parts, path, expected):
    assert problem(ask(path)) == expected
    assert parts.events.asked == []


def test_other_methods_are_not_allowed(ask):
    answer = ask(method="POST")

    assert problem(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("key", [None, "another", "", "x" * 600])
def test_key_is_needed(ask, parts, key):
    answer = ask(key=key)

    assert problem(answer) == (401, "unauthorized")
    assert "ApiKey" in answer.headers["www-authenticate"]
    assert parts.events.asked == []
    assert noted(parts) == [("patients", "status", "unknown", 401, "unauthorized")]


def test_keys_that_cannot_be_read(ask, parts):
    parts.store.error = RpcError(grpc.StatusCode.UNAVAILABLE)

    assert problem(ask()) == (503, "keys_unavailable")


def test_guesses_are_slowed_down(ask):
    codes = [problem(ask(key="a-guess"))[1] for _ in range(25)]

    assert codes == ["unauthorized"] * 20 + ["too_many_requests"] * 5


def test_questions_of_a_key_are_bounded(ask, parts):
    statuses = [ask().status_code for _ in range(65)]

    assert statuses.count(200) in (60, 61)
    assert problem(ask()) == (429, "too_many_requests")
    assert len(parts.events.asked) == statuses.count(200)


def test_bigquery_that_cannot_be_asked(ask, parts):
    parts.events.error = requests.exceptions.ConnectionError(MARK)

    answer = ask()

    assert problem(answer) == (503, "status_unavailable")
    assert MARK not in answer.get_data(as_text=True)


def test_failure_of_ours_is_answered_without_its_text(ask, parts):
    parts.events.error = RuntimeError(MARK)

    answer = ask()

    assert problem(answer) == (500, "internal_error")
    assert MARK not in answer.get_data(as_text=True)
    assert noted(parts)[0][3:] == (500, "internal_error")


def test_health(ask, parts):
    assert ask("/livez", key=None).status_code == 200
    parts.events.error = requests.exceptions.ConnectionError()
    answer = ask("/readyz", key=None)
    assert problem(answer) == (503, "not_ready")
    assert orjson.loads(answer.data)["failed"] == ["BigQuery"]
    parts.events.error = None
    assert ask("/readyz", key=None).status_code == 200
    assert parts.notes == []


def test_background_work_is_awaited_for_a_bounded_time(background):
    with pytest.raises(TimeoutError):
        background.call(asyncio.sleep(60), 0.01)


def test_settings():
    env = {"PROJECT_ID": "demo-project", "DATASET": "other", "STATUS_LOOKBACK_DAYS": "7"}
    settings = StatusSettings.from_env(env)

    assert (settings.dataset, settings.ops_dataset) == ("other", "healthcare_ops")
    assert timedelta(days=settings.status_lookback_days) == timedelta(days=7)
    assert settings.endpoint.project_id == "demo-project"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATASET", "a-b"),
        ("BIGQUERY_EMULATOR_HOST", "127.0.0.1:9050"),
        ("STATUS_TIMEOUT_SECONDS", "0"),
        ("STATUS_REQUESTS_PER_MINUTE", "many"),
    ],
)
def test_wrong_setting_is_named(variable, value):
    with pytest.raises(SettingError, match=f"^{variable} must be"):
        StatusSettings.from_env({"PROJECT_ID": "demo-project", variable: value})
