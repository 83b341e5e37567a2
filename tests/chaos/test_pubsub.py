"""Pub/Sub fails: what is answered 202 arrives all the same, and the rest was not accepted."""

import time

import grpc
import pytest
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from emulators.provision import provision_pubsub


@pytest.mark.parametrize(
    ("name", "rule", "answer"),
    [
        ("Pub/Sub unavailable", {"status": "UNAVAILABLE"}, "503 publish_timeout"),
        ("Pub/Sub slow beyond the deadline", {"latency_ms": 4000}, "503 publish_timeout"),
        ("Pub/Sub refuses", {"status": "PERMISSION_DENIED"}, "500 publish_refused"),
    ],
    ids=["unavailable", "slow", "refusing"],
)
def test_outage(trial, name, rule, answer):
    run = trial(name)
    with run.sending() as traffic, run.fault("pubsub", method="Publish", **rule):
        traffic.wait_for(answer)
        time.sleep(1)
    run.check(answer)


@pytest.mark.parametrize(
    "rule",
    [{"drop_connection": True}, {"status": "UNAVAILABLE"}],
    ids=["connection", "status"],
)
def test_answer_is_cut_after_the_publish(trial, rule):
    """The publisher repeats what it cannot know to be published; copies share the event id."""
    run = trial("Publish done, answer cut")
    with run.sending(), run.fault("pubsub", method="Publish", after_effect=True, **rule) as fault:
        run.wait_for_strikes("pubsub", fault, 10)
    verdict = run.check()
    assert verdict.copies > 0


def test_duplicate_and_reordered_delivery(trial):
    run = trial("Duplicate and reordered delivery")
    with (
        run.sending() as traffic,
        run.fault("pubsub", method="Pull", duplicate=True, reorder=True) as fault,
    ):
        run.wait_for_strikes("pubsub", fault, 2)
        traffic.wait_for_records(1200)
    assert run.check().copies > 0


def test_topic_is_deleted_and_made_again(trial, system):
    """While its subscription is not there, a new topic would take messages for nobody.

    So the way back that docs/operators.md gives is the one under test: publishing stays denied
    until both are there.
    """
    run = trial("Topic deleted, then made again", resources=("plans",))
    project = system.info["project"]
    topic = f"projects/{project}/topics/plans"
    subscription = f"projects/{project}/subscriptions/plans-pipeline"
    with grpc.insecure_channel(system.info["pubsub"]) as channel, run.sending() as traffic:
        publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        publisher.delete_topic(topic=topic)
        traffic.wait_for("500 publish_refused")
        # What the subscription holds outlives its topic: it is worked off first.
        traffic.wait_until(lambda: None if run.verdict().missing else 1.0, "backlog")
        with run.fault("pubsub", method="Publish", status="PERMISSION_DENIED"):
            subscriber.delete_subscription(subscription=subscription)
            provision_pubsub(system.info["pubsub"], project, ["plans"])
            traffic.wait_for("500 publish_refused")
    run.check("500 publish_refused")
