"""Whatever is sent, the endpoint answers in one of its two forms, never with a fault of its own."""

import asyncio
import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.answer import Answer
from functions.app import App, create_app
from functions.google_rpc import PublishRequest
from functions.secret_store import SecretStore, SecretVersion
from functions.settings import Settings
from functions.topic import Topic
from schemas.registry import AUDIT_LOG, load_system_registry

KEY = b"a-key"
HEADERS = [
    b"x-api-key",
    b"content-type",
    b"content-encoding",
    b"idempotency-key",
    b"traceparent",
    b"x-cloud-trace-context",
]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)
marks = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\x00"]
words = [
    b'"patient_id"',
    b'"p-1"',
    b"1e400",
    b"-0",
    b"NaN",
    b"\\ud800",
    b"\xff",
    b"null",
    b"9" * 30,
]
pieces = st.sampled_from(marks) | st.sampled_from(words)
bodies = (
    st.binary(max_size=200)
    | st.lists(pieces, max_size=30).map(b"".join)
    | json_values.map(orjson.dumps)
    | st.lists(json_values.map(orjson.dumps), max_size=8).map(b"\n".join)
)


def mangled(body: bytes, cut: int, flips: int) -> bytes:
    packed = bytearray(gzip.compress(body))
    if flips < len(packed):
        packed[flips] ^= 0xFF
    return bytes(packed[: len(packed) - cut])


header_bytes = st.binary(max_size=40).filter(lambda v: b"\r" not in v and b"\n" not in v)


class Harness:
    """An app without a network: whatever it publishes is acknowledged and kept."""

    def __init__(self, patch: pytest.MonkeyPatch, resources: Any, validators: Any) -> None:
        self.published: list[bytes] = []

        async def publish(topic: Topic, messages: Any, count: int, timeout: float) -> None:  # noqa: ASYNC109 (Topic's signature)
            if topic.name in resources:
                self.published += messages

        async def enabled_versions(*_: object) -> list[SecretVersion]:
            return [SecretVersion("1", KEY)]

        patch.setattr(Topic, "publish", publish)
        patch.setattr(SecretStore, "enabled_versions", enabled_versions)
        self.runner = asyncio.Runner()
        nowhere = Settings(
            project_id="demo-project",
            pubsub_emulator_host="127.0.0.1:1",
            secret_manager_emulator_host="127.0.0.1:1",
        )

        audit_log = load_system_registry()[AUDIT_LOG]

        async def create() -> App:
            return create_app(nowhere, resources, validators, audit_log, None)

        self.app = self.runner.run(create())

    def send(
        self, method: str, path: bytes, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> Answer:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        scope = {
            "type": "http",
            "method": method,
            "path": path.decode("latin-1"),
            "raw_path": path,
            "headers": headers,
        }
        return self.runner.run(self.app(scope, receive))


@pytest.fixture(scope="module")
def harness(real_registry, validators) -> Iterator[Harness]:
    with pytest.MonkeyPatch.context() as patch:
        made = Harness(patch, real_registry, validators)
        yield made
        made.runner.run(made.app.close())
        made.runner.close()


def check(answer: Answer) -> dict[str, Any]:
    assert answer.status < 500
    document: dict[str, Any] = orjson.loads(answer.body)
    headers = dict(answer.headers)
    assert headers[b"content-length"] == b"%d" % len(answer.body)
    assert headers[b"x-request-id"].decode() == document["request_id"]
    if answer.status == 202:
        entries = document["records"]
        assert [entry["index"] for entry in entries] == list(range(len(entries)))
        assert document["accepted"] + document["rejected"] == len(entries)
    else:
        assert headers[b"content-type"] == b"application/problem+json"
        assert document["status"] == answer.status
    return document


@settings(max_examples=400)
@given(
    body=bodies,
    content_type=st.sampled_from([b"application/json", b"application/x-ndjson"]),
)
def test_any_body(harness, body, content_type):
    before = len(harness.published)
    headers = [(b"x-api-key", KEY), (b"content-type", content_type)]
    answer = harness.send("POST", b"/v1/patients", headers, body)
    document = check(answer)
    assert (len(harness.published) > before) == (answer.status == 202)
    # Good and bad make up the input.
    if answer.status == 202 and content_type == b"application/x-ndjson":
        lines = [line for line in body.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
        assert len(document["records"]) == len(lines)


@settings(max_examples=200)
@given(body=bodies, cut=st.integers(0, 10), flips=st.integers(0, 400))
def test_any_gzip(harness, body, cut, flips):
    headers = [
        (b"x-api-key", KEY),
        (b"content-type", b"application/json"),
        (b"content-encoding", b"gzip"),
    ]
    check(harness.send("POST", b"/v1/patients", headers, mangled(body, cut, flips)))
    check(harness.send("POST", b"/v1/patients", headers, zlib.compress(body)))


@settings(max_examples=300)
@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS"]),
    path=st.binary(max_size=30).map(lambda tail: b"/v1/patients/" + tail)
    | st.binary(max_size=30).map(lambda tail: b"/" + tail),
    names=st.lists(
        st.sampled_from(HEADERS),
        max_size=6,
    ),
    value=header_bytes,
)
def test_any_path_and_header(harness, method, path, names, value):
    headers = [(b"x-api-key", KEY), *((name, value) for name in names)]
    answer = harness.send(method, path, headers, b"{}")
    if not path.startswith((b"/docs", b"/openapi", b"/livez", b"/readyz")):
        check(answer)
    if value:
        assert value not in answer.body or len(value) < 8


@given(record=st.dictionaries(st.text(min_size=1), json_values, max_size=5))
def test_what_is_published_is_what_was_sent_and_its_audit_columns(harness, record):

    sent = record | {"patient_id": "p-1", "name": {"family": "Doe", "given": ["Ann"]}}
    headers = [(b"x-api-key", KEY), (b"content-type", b"application/json")]
    answer = harness.send("POST", b"/v1/patients", headers, orjson.dumps(sent))
    if answer.status == 202:
        (message,) = PublishRequest.FromString(harness.published[-1]).messages
        published = orjson.loads(message.data)
        assert {name: published[name] for name in sent} == sent
        assert set(published) - set(sent) == {
            "created_ts",
            "updated_ts",
            "created_by",
            "is_active",
            "request_id",
            "event_id",
        }
