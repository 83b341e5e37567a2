"""The process of Pub/Sub and Secret Manager, as `make up` starts it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import grpc
import httpx
import pytest
from google.api_core import exceptions
from google.pubsub_v1 import StreamingPullRequest

from emulators.pubsub import PubSubEmulator
from tests.fixtures.pubsub import PROJECT, PubSub
from tests.fixtures.secret_manager import secret_manager_client

ROOT = Path(__file__).parents[2]


@contextmanager
def served(ready: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    ready.unlink(missing_ok=True)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "emulators", "serve", "pubsub"),
            *("--ready-file", str(ready), *options),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 30
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        yield process, json.loads(ready.read_text())
    finally:
        process.kill()
        process.wait()


@contextmanager
def clients(host: str) -> Iterator[PubSub]:
    pubsub = PubSub(host)
    yield pubsub
    pubsub.close()


def test_state_survives_a_clean_end_even_with_a_stream_open(tmp_path):
    ready, data = tmp_path / "ready.json", ("--data-dir", str(tmp_path / "data"))
    with (
        served(ready, *data) as (process, hosts),
        clients(hosts["pubsub"]) as pubsub,
        grpc.insecure_channel(hosts["secret_manager"]) as channel,
    ):
        assert set(hosts) == {"pubsub", "secret_manager", "admin"}
        topic = pubsub.topic()
        name = pubsub.subscription(topic)
        pubsub.publish(topic, {"data": b"acked"}, {"data": b"out"}, {"data": b"waits"})
        received = pubsub.pull(name, 2, at_most=2)
        pubsub.acknowledge(name, received[0])
        secret = secret_manager_client(channel).create_secret(
            parent=f"projects/{PROJECT}",
            secret_id="patients-api-key",
            secret={"replication": {"automatic": {}}},
        )
        requests: SimpleQueue[StreamingPullRequest | None] = SimpleQueue()
        requests.put(
            StreamingPullRequest(
                subscription=pubsub.subscription(topic), stream_ack_deadline_seconds=10
            )
        )
        stream = pubsub.subscriber.streaming_pull(requests=iter(requests.get, None))
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        with pytest.raises(exceptions.ServiceUnavailable, match="shutting down"):
            next(stream)
        requests.put(None)
        assert process.wait(15) == 0
        assert time.monotonic() - began < 5
    with (
        served(ready, *data) as (process, hosts),
        clients(hosts["pubsub"]) as pubsub,
        grpc.insecure_channel(hosts["secret_manager"]) as channel,
    ):
        assert {item.message.data for item in pubsub.pull(name, 2)} == {b"out", b"waits"}
        assert secret_manager_client(channel).get_secret(name=secret.name).name == secret.name
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def test_faults_are_controlled_over_http(tmp_path):
    with (
        served(tmp_path / "ready.json") as (_, hosts),
        clients(hosts["pubsub"]) as pubsub,
        httpx.Client(base_url=hosts["admin"]) as admin,
    ):
        topic = pubsub.topic()
        rule = {"service": "pubsub", "method": "Publish", "status": "RESOURCE_EXHAUSTED"}
        rule_id = admin.post("/faults", json=rule).json()["id"]
        with pytest.raises(exceptions.ResourceExhausted):
            pubsub.publish(topic, {"data": b"x"})
        [listed] = admin.get("/faults").json()["faults"]
        assert (listed["id"], listed["fired"]) == (rule_id, 1)
        assert admin.post("/faults", json={**rule, "method": "Push"}).status_code == 400
        admin.delete("/faults")
        assert pubsub.publish(topic, {"data": b"x"})


def test_taken_port_is_an_error_and_not_shared(pubsub_emulator):
    second = PubSubEmulator(pubsub_emulator.host)
    with pytest.raises(RuntimeError, match=pubsub_emulator.host), second:
        pass
