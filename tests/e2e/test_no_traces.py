"""What is sent stays in its record: marks in every field and header turn up nowhere else."""

import json
import socket
import uuid
from contextlib import closing, suppress

import grpc
import httpx
import pytest
from google.api_core.exceptions import DeadlineExceeded
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from schemas.registry import AUDIT_LOG, SCHEMAS_DIR, load_registry

REGISTRY = load_registry()
# Letters and digits alone, so that nothing escapes it on its way.
MARK = f"Qz7{uuid.uuid4().hex[:8]}"
NDJSON = "application/x-ndjson"


def marked(name):
    return f"{MARK}{name}"


def full(resource):
    """The largest bundled example."""
    paths = (SCHEMAS_DIR / "examples" / resource).glob("*.pass.json")
    return max((json.loads(path.read_bytes()) for path in paths), key=lambda r: len(str(r)))


def spoiled(value):
    """The same shape with a mark for every value and one more unknown name at every level."""
    if isinstance(value, dict):
        return {name: spoiled(child) for name, child in value.items()} | {MARK: MARK}
    return [spoiled(child) for child in value] if isinstance(value, list) else MARK


def every_single_field_spoiled(resource):
    record = full(resource)
    return [record | {name: spoiled(value)} for name, value in record.items()]


HEADERS = {
    "user-agent": marked("agent"),
    "referer": f"https://{MARK}.example/",
    "cookie": f"session={MARK}",
    "traceparent": marked("trace"),
    "tracestate": f"x={MARK}",
    "x-cloud-trace-context": marked("cloud"),
    "x-forwarded-for": f"{MARK}, {MARK}, 10.1.2.3",
    "x-request-id": marked("request"),
    "accept": f"text/{MARK}",
    "origin": f"https://{MARK}.example",
    f"x-{MARK}": MARK,
}


@pytest.fixture
def topics(system):
    """Google's clients, and a subscription of our own to what is published meanwhile."""
    project = system.info["project"]
    with grpc.insecure_channel(system.info["pubsub"]) as channel:
        publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        names = {}
        for topic in ("patients", AUDIT_LOG):
            names[topic] = subscriber.subscription_path(project, f"{topic}-{MARK}")
            path = publisher.topic_path(project, topic)
            subscriber.create_subscription(name=names[topic], topic=path)

        def pull(topic):
            messages = []
            request = {"subscription": names[topic], "max_messages": 1_000}
            with suppress(DeadlineExceeded):  # there are no more
                while received := subscriber.pull(request, retry=None, timeout=3).received_messages:
                    messages += [item.message for item in received]
                    ids = [item.ack_id for item in received]
                    subscriber.acknowledge(subscription=names[topic], ack_ids=ids)
            return messages

        def publish(data, request):
            path = publisher.topic_path(project, "patients")
            message = {"data": data, "attributes": {"request_id": request}}
            publisher.publish(topic=path, messages=[message])

        yield pull, publish
        for name in names.values():
            subscriber.delete_subscription(subscription=name)


def send_marks(system):
    """Send marks in whatever a request has; return the answers."""
    key = system.info["api_keys"]["patients"]
    json_type = {"content-type": "application/json"}
    good = json.dumps(full("patients") | {"patient_id": marked("good"), MARK: {MARK: [MARK]}})
    answers = []

    def send(method, path, content=b"", **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        merged = HEADERS | {"x-api-key": key} | json_type | names
        answers.append(system.http.request(method, path, content=content, headers=merged))
        return answers[-1]

    assert send("POST", "/v1/patients", good, idempotency_key=marked("key")).status_code == 202
    assert send("POST", f"/v1/patients?ssn={MARK}", good).status_code == 202
    assert send("DELETE", f"/v1/patients/{marked('gone')}?{MARK}").status_code == 202
    for name in REGISTRY:
        records = [spoiled(full(name)), *every_single_field_spoiled(name), MARK, [MARK]]
        lines = [json.dumps(record) for record in records] + [f'{{"{MARK}": {MARK}']
        own = {"x_api_key": system.info["api_keys"][name]}
        for record in (records[0], records, {MARK: MARK}):
            send("POST", f"/v1/{name}", json.dumps(record), **own)
        send("POST", f"/v1/{name}", "\n".join(lines), content_type=NDJSON, **own)
    refused = {
        "key": {"x_api_key": marked("guess")},
        "type": {"content_type": f"application/{MARK}"},
        "charset": {"content_type": f"application/json; charset={MARK}"},
        "coding": {"content_encoding": MARK},
        "gzip": {"content_encoding": "gzip"},
        "idempotency": {"idempotency_key": f"{MARK} {MARK}"},
    }
    for headers in refused.values():
        assert 400 <= send("POST", "/v1/patients", good, **headers).status_code < 500
    for method, path in [
        ("POST", f"/v1/{MARK}"),
        ("DELETE", f"/v1/patients/%20{MARK}"),
        ("DELETE", f"/v1/patients/{MARK}/{MARK}"),
        ("DELETE", f"/v1/{MARK}/{MARK}"),
        ("GET", f"/v1/patients/{MARK}"),
        ("GET", f"/{MARK}"),
        ("GET", f"/docs/{MARK}"),
        (MARK, "/v1/patients"),
        ("POST", f"/v1/patients?{MARK}"),
    ]:
        assert 400 <= send(method, path, MARK).status_code < 500
    send("GET", f"/readyz?{MARK}")
    send("GET", "/openapi.json")
    return answers


def send_what_is_no_http(system):
    url = httpx.URL(system.info["endpoint"])
    replies = []
    for data in (f"GET /{MARK} HTTP/1.1\r\n{MARK} : {MARK}\r\n\r\n", f"{MARK}\r\n\r\n"):
        with closing(socket.create_connection((url.host, url.port), timeout=5)) as connection:
            connection.sendall(data.encode())
            replies.append(connection.recv(65_536).decode())
    return replies


def as_text(rows):
    return json.dumps(rows, default=str)


@pytest.mark.timeout(400)
def test_marks_turn_up_in_their_record_alone(system, topics):
    pull, publish = topics
    answers = send_marks(system)
    replies = send_what_is_no_http(system)
    # From somebody who publishes to the topic himself, for the pipeline's own refusals.
    audit = {"created_ts": "2026-01-02T03:04:05Z", "updated_ts": "2026-01-02T03:04:05Z"}
    audit |= {"created_by": "else", "is_active": True, "event_id": str(uuid.uuid4())}
    request = str(uuid.uuid4())
    audit |= {"request_id": request}
    publish(json.dumps(audit | {MARK: MARK})[:-1].encode(), request)
    publish(json.dumps(audit | spoiled(full("patients"))).encode(), request)
    publish(
        json.dumps({"created_ts": MARK, "is_active": MARK, "patient_id": MARK}).encode(), request
    )
    requests = [answer.json()["request_id"] for answer in answers[:3]]
    refusal = {"table": "patients", "column": "patient_id", "value": marked("poison")}
    system.fault("bigquery_write", refuse_rows=refusal)
    poisoned = system.send("patients", full("patients") | {"patient_id": marked("poison")})

    # Where a record belongs, it is whole.
    rows = system.wait_for(
        "SELECT request_id, TO_JSON_STRING(t) AS row FROM healthcare.patients t"
        " WHERE request_id IN UNNEST(@requests)",
        lambda rows: len(rows) == 3,
        requests=requests,
    )
    assert len(rows) == 3
    assert all(MARK in row["row"] for row in rows)
    codes = {"invalid_json", "invalid_audit", "invalid_record", "row_refused"}
    letters = system.wait_for(
        "SELECT * FROM healthcare_ops.dead_letters WHERE request_id IN UNNEST(@requests)",
        lambda rows: codes <= {row["error_code"] for row in rows},
        requests=[request, poisoned.json()["request_id"]],
    )
    assert codes == {row["error_code"] for row in letters}
    events = system.wait_for(
        "SELECT * FROM healthcare_ops.audit_log",
        lambda rows: set(requests) <= {row["request_id"] for row in rows},
    )
    published, audited = pull("patients"), pull(AUDIT_LOG)
    assert len(published) >= 4
    assert audited

    columns = "request_id, event_id, created_by, is_active, created_ts, publish_ts, schema_version"
    places = {
        "answers": "".join(f"{a.headers.raw} {a.text}" for a in answers),
        "answers to what is no HTTP": "".join(replies),
        "attributes": "".join(str(dict(message.attributes)) for message in published),
        "audit events": "".join(f"{m.data} {dict(m.attributes)}" for m in audited),
        "audit log": as_text(events),
        "dead letters but their payload": as_text(
            [{name: value for name, value in row.items() if name != "payload"} for row in letters]
        ),
        "columns of the system": as_text(
            system.query(f"SELECT {columns} FROM healthcare.patients")
        ),
        "views of operators": as_text(
            [
                *system.query("SELECT * FROM healthcare_ops.reconciliation"),
                *system.query("SELECT * FROM healthcare_ops.dead_letters_by_code"),
                *system.query("SELECT * FROM healthcare_ops.dead_letters_distinct"),
            ]
        ),
        **{path.name: path.read_text(errors="replace") for path in system.logs.iterdir()},
    }
    assert {"endpoint.log", "pipeline.log", "pubsub.log", "bigquery.log"} <= set(places)
    secrets = [MARK, *system.info["api_keys"].values()]
    for place, text in places.items():
        for secret in secrets:
            at = text.lower().find(secret.lower())
            assert at < 0, f"{place}: …{text[max(at - 200, 0) : at + 100]}"
