"""What goes wrong behind the endpoint, as producers, operators and analysts see it."""

import base64
import threading
import time

import grpc
import pytest
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from tests.e2e.test_records import patient, unique

DEAD_LETTERS = "SELECT * FROM healthcare_ops.dead_letters WHERE request_id = @request"


@pytest.fixture
def publish(system):
    """Publish to a topic as another system would."""
    with grpc.insecure_channel(system.info["pubsub"]) as channel:
        client = PublisherClient(transport=PublisherGrpcTransport(channel=channel))

        def send(topic, data, attributes):
            path = client.topic_path(system.info["project"], topic)
            message = {"data": data, "attributes": attributes}
            client.publish(topic=path, messages=[message])

        yield send


def test_row_that_bigquery_refuses_leaves_its_neighbours_alone(system, publish):
    records = [patient() for _ in range(500)]
    refused = records[250]["patient_id"]
    refusal = {"table": "patients", "column": "patient_id", "value": refused}
    system.fault("bigquery_write", refuse_rows=refusal)

    request = system.send_gzip("patients", records).json()["request_id"]

    loaded = system.wait_for(
        "SELECT patient_id FROM healthcare.patients WHERE request_id = @request",
        lambda rows: len(rows) == 499,
        request=request,
    )
    assert {row["patient_id"] for row in loaded} == {r["patient_id"] for r in records} - {refused}
    [letter] = system.wait_for(DEAD_LETTERS, bool, request=request)
    assert (letter["stage"], letter["error_code"]) == ("append", "row_refused")
    assert letter["position"] == 250
    assert refused not in f"{letter['message']} {letter['errors']} {letter['attributes']}"

    # Whole: published again as it is, it takes the same way and arrives.
    system.http.delete(f"{system.info['faults']['bigquery']}/faults")
    publish("patients", letter["payload"], letter["attributes"])
    rows = system.wait_for(
        "SELECT event_id FROM healthcare.patients WHERE patient_id = @id", bool, id=refused
    )
    assert rows == [{"event_id": letter["event_id"]}]


@pytest.mark.parametrize(
    ("data", "stage", "code"),
    [
        (b"\xff\xfe not UTF-8", "decode", "invalid_json"),
        (b"[" * 10_000, "decode", "invalid_json"),
        (b'"text"', "decode", "invalid_record"),
        (b'{"patient_id": "x"}', "decode", "invalid_audit"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_foreign_message_becomes_a_dead_letter_byte_for_byte(system, publish, data, stage, code):
    request = unique()

    publish("patients", data, {"request_id": request, "source": "elsewhere"})

    [letter] = system.wait_for(DEAD_LETTERS, bool, request=request)
    payload = letter["payload"]
    assert (payload if isinstance(payload, bytes) else base64.b64decode(payload)) == data
    assert letter["attributes"] == {"request_id": request, "source": "elsewhere"}
    assert (letter["stage"], letter["error_code"]) == (stage, code)


def test_outage_of_pubsub_loses_nothing_that_was_accepted(system):
    """Nothing accepted is lost, and what is refused is refused as something to repeat."""
    accepted, statuses, stop = set(), set(), threading.Event()

    def produce():
        while not stop.is_set():
            answer = system.send("patients", patient())
            statuses.add(answer.status_code)
            if answer.status_code == 202:
                accepted.add(answer.json()["records"][0]["event_id"])
            else:
                assert answer.json()["code"] == "publish_timeout"
                assert int(answer.headers["retry-after"]) >= 1
            stop.wait(0.04)

    producers = [threading.Thread(target=produce) for _ in range(4)]
    for producer in producers:
        producer.start()
    time.sleep(0.5)
    system.fault("pubsub", method="Publish", status="UNAVAILABLE", seconds=7)
    time.sleep(8)
    stop.set()
    for producer in producers:
        producer.join()

    assert statuses == {202, 503}
    rows = system.wait_for(
        "SELECT DISTINCT event_id FROM healthcare.patients WHERE event_id IN UNNEST(@ids)",
        lambda rows: len(rows) == len(accepted),
        ids=sorted(accepted),
    )
    assert {row["event_id"] for row in rows} == accepted


@pytest.mark.parametrize("after_effect", [False, True], ids=["lost", "answer_cut"])
def test_outage_of_bigquery_delays_and_fills_no_dead_letters(system, after_effect):
    system.fault(
        "bigquery_write",
        method="AppendRows",
        status="UNAVAILABLE",
        calls=5,
        after_effect=after_effect,
    )

    answer = system.send("patients", [patient() for _ in range(20)]).json()

    rows = system.wait_for(
        "SELECT event_id FROM healthcare.patients_events WHERE request_id = @request",
        lambda rows: len(rows) == 20,
        request=answer["request_id"],
    )
    assert {row["event_id"] for row in rows} == {r["event_id"] for r in answer["records"]}
    assert system.query(DEAD_LETTERS, request=answer["request_id"]) == []


def test_missing_topic_is_an_error_of_the_service_not_of_the_producer(system):
    system.fault("pubsub", method="Publish", status="NOT_FOUND", calls=1)

    refused = system.send("patients", patient())

    assert (refused.status_code, refused.json()["code"]) == (500, "publish_refused")
    assert system.send("patients", patient()).status_code == 202
