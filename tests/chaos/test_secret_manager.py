"""Secret Manager fails: known keys serve for a bounded time, and then nobody gets in."""

import time
from contextlib import ExitStack

import grpc
import pytest

from tests.fixtures.secret_manager import secret_manager_client

STALE_SECONDS = 4


@pytest.fixture
def endpoint(system):
    """Start the endpoint anew for the test, with keys that grow stale soon; put the usual back."""
    started = []

    def start(**settings):
        system.stop("endpoint")
        started.append(True)
        system.start_endpoint(**settings)

    yield start
    if started:
        system.stop("endpoint")
        system.start_endpoint()


def test_down_at_start(trial, system, endpoint):
    run = trial("Secret Manager down at start")
    with ExitStack() as outage:
        outage.enter_context(run.fault("secret_manager", status="UNAVAILABLE"))
        endpoint(path="/livez")
        with run.sending(first="503 keys_unavailable"):
            assert run.account.accepted == 0
            outage.close()
    run.check("503 keys_unavailable")


def test_down_later(trial, endpoint):
    run = trial(f"Secret Manager down, keys stale after {STALE_SECONDS} s")
    endpoint(KEY_MAX_STALE_SECONDS=str(STALE_SECONDS))
    with run.sending() as traffic, run.fault("secret_manager", status="UNAVAILABLE"):
        began = time.monotonic()
        traffic.wait_for("202", began + 2)  # refreshes fail, and the known keys serve
        closed = traffic.wait_for("503 keys_unavailable")
        assert closed - began >= STALE_SECONDS - 1.5
        traffic.wait_for("503 keys_unavailable")
        assert all(s.answer != "202" for s in traffic.samples if s.at > closed)
    run.check("503 keys_unavailable")


def test_garbage_beside_a_good_version_harms_nobody(trial, system):
    run = trial("Secret Manager has a garbage version beside the good")
    with grpc.insecure_channel(system.info["secret_manager"]) as channel:
        client = secret_manager_client(channel)
        garbage = [_add(client, system, name, b"\xff{{garbage\x00") for name in run.resources]
        with run.sending():
            time.sleep(2.5)  # beyond two refreshes
        for version in garbage:
            client.disable_secret_version(name=version)
    assert set(run.account.answers) <= {"202", "503 publish_timeout"}
    run.check()


def test_garbage_alone_lets_nobody_in(trial, system):
    """Keys that were disabled must not work on, so garbage in their place means no keys."""
    run = trial("Secret Manager has garbage alone", resources=("plans",))
    with grpc.insecure_channel(system.info["secret_manager"]) as channel:
        client = secret_manager_client(channel)
        good = f"projects/{system.info['project']}/secrets/plans-api-key/versions/1"
        with run.sending() as traffic:
            garbage = _add(client, system, "plans", b'{"local": 5}')
            client.disable_secret_version(name=good)
            traffic.wait_for("401 unauthorized")
            client.enable_secret_version(name=good)
            run.over()
        client.disable_secret_version(name=garbage)
    # So many wrong keys are throttled: that is not about the records of the right ones.
    run.check("401 unauthorized", may={"429 too_many_requests"})


def _add(client, system, resource, payload):
    parent = f"projects/{system.info['project']}/secrets/{resource}-api-key"
    return client.add_secret_version(parent=parent, payload={"data": payload}).name
