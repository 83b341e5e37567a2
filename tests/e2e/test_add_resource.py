"""The README's worked example, step by step: one new file, and everything else follows."""

import re

import grpc
import httpx
import pytest
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from tests.e2e.conftest import README


@pytest.fixture
def channel(system):
    with grpc.insecure_channel(system.info["pubsub"]) as channel:
        yield channel


def test_topic_and_subscription_are_there(system, channel):
    publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
    project = system.info["project"]

    publisher.get_topic(topic=f"projects/{project}/topics/vitals")
    name = f"projects/{project}/subscriptions/vitals-pipeline"
    subscription = subscriber.get_subscription(subscription=name)

    assert subscription.topic == f"projects/{project}/topics/vitals"


def test_api_description_has_it(system):
    document = system.http.get("/openapi.json").json()

    assert "/v1/vitals" in document["paths"]
    assert "heart_rate" in document["components"]["schemas"]["vitals"]["properties"]


def test_what_the_readme_sends_is_in_the_view_that_it_names(system):
    text = README.read_text()
    [body] = re.findall(r"-d '(\{\"vitals_id\".*?\})'", text)
    [sql] = re.findall(r"`(SELECT \* FROM healthcare\.vitals_current)`", text)

    answer = system.send("vitals", body.encode())

    assert answer.status_code == 202
    [row] = system.wait_for(sql, bool)
    assert (row["vitals_id"], row["patient_id"], row["heart_rate"]) == ("v1", "p1", 72)
    assert row["taken_ts"].isoformat() == "2026-01-02T03:04:05+00:00"


def test_its_contract_is_enforced(system):
    answer = system.send("vitals", {"vitals_id": "v2", "patient_id": "p1", "taken_at": "noon"})

    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["errors"]] == ["$.taken_at"]


def test_documentation_page_needs_no_network(system):
    page = system.http.get("/docs")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert links
    for link in links:
        assert not httpx.URL(link).is_absolute_url
        assert system.http.get(httpx.URL(str(page.url)).join(link)).status_code == 200
