"""The job against the embedded services: every example to a strict BigQuery, and the process."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import orjson
import pytest
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from google.cloud import bigquery

from beam_pipeline.metrics import counter_values
from beam_pipeline.options import VitalflowOptions
from beam_pipeline.pipeline import build_pipeline
from beam_pipeline.storage_write import close_shared_streams
from emulators.bigquery import BigQueryEmulator
from emulators.faults import FaultRule
from emulators.provision import provision_bigquery, provision_pubsub
from emulators.pubsub import PubSubEmulator
from schemas.registry import AUDIT_LOG, load_registry
from tests.fixtures.pipeline import AUDIT, message
from tests.fixtures.pubsub import PubSub

ROOT = Path(__file__).parents[2]
PROJECT = "demo-project"
REGISTRY = load_registry()
EXAMPLES = ROOT / "schemas" / "examples"
PLAN = {"objectType": "plan", "planType": "inNetwork", "_org": "example.com"}


@pytest.fixture
def datasets(bigquery_emulator: BigQueryEmulator) -> tuple[str, str]:
    """The test's own datasets, with every table and view."""
    name = f"pipeline_{uuid.uuid4().hex[:8]}"
    provision_bigquery(bigquery_emulator.rest_url, PROJECT, name, f"{name}_ops")
    return name, f"{name}_ops"


Run = Callable[..., dict[tuple[str, str], int]]


@pytest.fixture
def run(bigquery_emulator: BigQueryEmulator, datasets: tuple[str, str]) -> Iterator[Run]:
    """Run the job over messages by resource, to the emulator; return its counters."""

    def run_job(**messages: list[PubsubMessage]) -> dict[tuple[str, str], int]:
        options = VitalflowOptions(
            [f"--project={PROJECT}", f"--dataset={datasets[0]}", f"--ops_dataset={datasets[1]}",
             f"--bigquery_storage_endpoint={bigquery_emulator.grpc_host}",
             "--append_deadline_seconds=20"]
        )  # fmt: skip
        pipeline = beam.Pipeline(runner=FnApiRunner())
        registry = {name: REGISTRY[name] for name in messages}
        build_pipeline(
            pipeline, options, registry,
            source=lambda name: beam.Create(messages[name], reshuffle=False),
        )  # fmt: skip
        result = pipeline.run()
        result.wait_until_finish()
        return counter_values(result.metrics())

    yield run_job
    close_shared_streams()


@pytest.fixture
def query(bigquery_client: bigquery.Client, datasets: tuple[str, str]) -> Callable[..., Any]:
    def ask(sql: str) -> list[dict[str, Any]]:
        text = sql.replace("OPS", datasets[1]).replace("DATA", datasets[0])
        return [dict(row) for row in bigquery_client.query_and_wait(text)]

    return ask


def passing(resource: str) -> list[dict[str, Any]]:
    return [orjson.loads(p.read_bytes()) for p in sorted((EXAMPLES / resource).glob("*.pass.json"))]


@pytest.mark.parametrize("resource", REGISTRY)
def test_every_example_is_loaded(run, query, resource):
    records = [record | {"event_id": f"event-{n}"} for n, record in enumerate(passing(resource))]
    counters = run(**{resource: [message(*records, packed=True)]})
    assert query("SELECT stage, error_code, message FROM OPS.dead_letters") == []
    assert counters[resource, "loaded"] == len(records)
    rows = query(f"SELECT event_id, schema_version, publish_ts FROM DATA.{resource}")
    assert {row["event_id"] for row in rows} == {record["event_id"] for record in records}
    assert {row["schema_version"] for row in rows} == {1}
    assert {row["publish_ts"].isoformat() for row in rows} == {"2026-01-02T03:04:06+00:00"}


@pytest.mark.parametrize("resource", REGISTRY)
def test_every_counterexample_is_told_of(run, query, resource):
    paths = sorted((EXAMPLES / resource).glob("*.fail.json"))
    # The audit fields that the endpoint adds hide what a producer may not send of that name.
    lines = [
        line for path in paths
        if not set(orjson.loads(line := path.read_bytes())) & set(AUDIT)
    ]  # fmt: skip
    records = [orjson.dumps(orjson.loads(line) | AUDIT) for line in lines]
    run(**{resource: [message(*records, packed=True)]})
    letters = query("SELECT * FROM OPS.dead_letters ORDER BY position")
    assert [bytes(letter["payload"]) for letter in letters] == records
    assert all(letter["errors"] for letter in letters)
    assert query(f"SELECT event_id FROM DATA.{resource}") == []


def plan(number: int, **more: Any) -> dict[str, Any]:
    return PLAN | {"objectId": f"plan-{number}", "event_id": f"event-{number}"} | more


def test_refused_rows_leave_their_neighbours_alone(run, query, bigquery_emulator):
    for number in (3, 250):
        poison = {"table": "plans", "column": "object_id", "value": f"plan-{number}"}
        rule = {"service": "bigquery_write", "refuse_rows": poison}
        bigquery_emulator.faults.add(FaultRule.parse(rule))
    sent = message(*(plan(n) for n in range(500)), packed=True, request_id="r-1")
    counters = run(plans=[sent])
    assert counters["plans", "loaded"] == 498
    assert counters["plans", "dead_row_refused"] == 2
    loaded = query("SELECT object_id FROM DATA.plans")
    assert {row["object_id"] for row in loaded} == {
        f"plan-{n}" for n in range(500) if n not in (3, 250)
    }
    letters = query("SELECT * FROM OPS.dead_letters ORDER BY position")
    assert [letter["position"] for letter in letters] == [3, 250]
    for letter in letters:
        assert bytes(letter["payload"]) == sent.data.split(b"\n")[letter["position"]]
        attributes = letter["attributes"]
        assert (orjson.loads(attributes) if isinstance(attributes, str) else attributes) == (
            sent.attributes
        )
        assert (letter["stage"], letter["error_code"]) == ("append", "row_refused")
        assert "plan-" not in letter["message"]


@pytest.mark.parametrize(
    "fault",
    [
        {"method": "AppendRows", "status": "UNAVAILABLE", "calls": 2},
        {"method": "AppendRows", "status": "RESOURCE_EXHAUSTED", "calls": 2},
        {"method": "AppendRows", "status": "NOT_FOUND", "calls": 2},
        {"method": "AppendRows.response", "status": "INTERNAL", "calls": 2},
        {"method": "AppendRows", "drop_connection": True, "calls": 1},
        {"method": "AppendRows", "status": "ABORTED", "after_effect": True, "calls": 1},
    ],
    ids=lambda fault: (
        f"{fault.get('status', 'drop')}-{fault['method'].rpartition('.')[2]}"
        f"{'-after' if fault.get('after_effect') else ''}"
    ),
)
def test_an_outage_makes_no_dead_letters_and_loses_nothing(run, query, bigquery_emulator, fault):
    bigquery_emulator.faults.add(FaultRule.parse({"service": "bigquery_write", **fault}))
    run(plans=[message(plan(n)) for n in range(50)])
    assert query("SELECT * FROM OPS.dead_letters") == []
    rows = query("SELECT COUNT(DISTINCT event_id) AS n FROM DATA.plans")
    assert rows == [{"n": 50}]


def test_unknown_fields_arrive_as_json(run, query):
    shares = {"objectId": "s-1", "objectType": "membercostshare", "_org": "example.com"}
    run(plans=[message(plan(1, colour="red", planCostShares=shares | {"tax": 1.5}))])
    rows = query(
        "SELECT JSON_VALUE(additional_fields, '$.colour') AS colour,"
        " JSON_VALUE(additional_fields, '$.planCostShares.tax') AS tax FROM DATA.plans"
    )
    dead = query("SELECT message, errors FROM OPS.dead_letters")
    assert (rows, dead) == ([{"colour": "red", "tax": "1.5"}], [])


@pytest.fixture
def process(
    bigquery_emulator: BigQueryEmulator,
    pubsub_emulator: PubSubEmulator,
    datasets: tuple[str, str],
    tmp_path: Path,
) -> Iterator[subprocess.Popen[bytes]]:
    """The job as a process of its own, once it reads."""
    names = [*REGISTRY, AUDIT_LOG]
    clients = PubSub(pubsub_emulator.host)
    for name in names:
        clients.delete_subscription(f"{name}-pipeline")
    clients.close()
    provision_pubsub(pubsub_emulator.host, PROJECT, names)
    ready = tmp_path / "ready"
    with (tmp_path / "log").open("wb") as log:
        job = subprocess.Popen(
            [sys.executable, "-m", "beam_pipeline", "--runner=DirectRunner",
             f"--project={PROJECT}", f"--dataset={datasets[0]}", f"--ops_dataset={datasets[1]}",
             f"--bigquery_storage_endpoint={bigquery_emulator.grpc_host}",
             f"--ready_file={ready}"],
            cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
            env=os.environ | {"PUBSUB_EMULATOR_HOST": pubsub_emulator.host, "NO_GCE_CHECK": "true"},
        )  # fmt: skip
    try:
        _wait(lambda: ready.exists() or job.poll() is not None, 60)
        assert ready.exists(), (tmp_path / "log").read_text()[-3000:]
        yield job
    finally:
        if job.poll() is None:
            job.kill()
        job.wait(10)


def _wait(condition: Callable[[], Any], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def publish(pubsub_emulator: PubSubEmulator) -> Iterator[Callable[..., None]]:
    import grpc  # noqa: PLC0415 - for this fixture alone
    from google.pubsub_v1 import PublisherClient  # noqa: PLC0415 - as above
    from google.pubsub_v1.services.publisher.transports import (  # noqa: PLC0415 - as above
        PublisherGrpcTransport,
    )

    with grpc.insecure_channel(pubsub_emulator.host) as channel:
        client = PublisherClient(transport=PublisherGrpcTransport(channel=channel))

        def send(resource: str, *messages: PubsubMessage) -> None:
            client.publish(
                topic=f"projects/{PROJECT}/topics/{resource}",
                messages=[{"data": m.data, "attributes": m.attributes} for m in messages],
            )

        yield send


def test_the_whole_job_reads_loads_and_ends(process, publish, query, tmp_path):
    publish("plans", message(plan(1)), message(plan(2), b"{broken", packed=True))
    publish("patients", message(passing("patients")[0] | {"event_id": "p-1"}, resource="patients"))

    def arrived() -> bool:
        sql = (
            "SELECT (SELECT COUNT(*) FROM DATA.plans) AS plans,"
            " (SELECT COUNT(*) FROM DATA.patients) AS patients,"
            " (SELECT COUNT(*) FROM OPS.dead_letters) AS dead"
        )
        return query(sql) == [{"plans": 2, "patients": 1, "dead": 1}]

    log = tmp_path / "log"
    assert _wait(arrived, 60), log.read_text()[-3000:]
    # What was read before the signal is worked off after it.
    publish("plans", *(message(plan(100 + n)) for n in range(10)))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, log.read_text()[-3000:]
    text = log.read_text()
    assert "The job was ended by a signal" in text
    assert "broken" not in text
    assert "hospital-a" not in text


def test_a_signal_ends_the_job_while_pubsub_is_away(tmp_path):
    ready = tmp_path / "ready"
    job = subprocess.Popen(
        [sys.executable, "-m", "beam_pipeline", f"--project={PROJECT}", f"--ready_file={ready}",
         "--bigquery_storage_endpoint=127.0.0.1:1"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"PUBSUB_EMULATOR_HOST": "127.0.0.1:1", "NO_GCE_CHECK": "true"},
    )  # fmt: skip
    try:
        assert _wait(ready.exists, 60)
        time.sleep(1)  # it tries to read
        job.send_signal(signal.SIGINT)
        assert job.wait(30) == 0
    finally:
        if job.poll() is None:
            job.kill()
        job.wait(10)
