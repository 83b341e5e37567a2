"""The whole job on Beam's in-memory runner, and its graph for Dataflow."""

import subprocess
import sys
import uuid
from pathlib import Path

import apache_beam as beam
import orjson
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_pipeline.dead_letters import dead_letter_encoder
from beam_pipeline.metrics import counter_values
from beam_pipeline.options import VitalflowOptions
from beam_pipeline.pipeline import build_pipeline
from beam_pipeline.row_message import row_class
from beam_pipeline.transforms import encode
from beam_pipeline.transforms.encode import record_encoder
from beam_pipeline.transforms.write_dead_letters import DeadLetterRefusedError
from schemas.registry import load_registry
from tests.fixtures.pipeline import AUDIT, MemorySink, message

ROOT = Path(__file__).parents[3]
PROPERTIES = {
    "price": {"type": "number", "x-bigquery": {"type": "NUMERIC"}, "description": "Price."},
    "note": {"type": "string", "description": "Note."},
}


@pytest.fixture
def widgets(make_resource):
    return make_resource(PROPERTIES)


@pytest.fixture
def sink():
    return MemorySink(uuid.uuid4().hex, widgets=b"POISON", dead_letters=b"BURIED")


@pytest.fixture
def run(widgets, sink):
    """Run the job over these messages; return its rows, its dead letters and its counters."""

    def run_job(*messages):
        options = VitalflowOptions(["--project=demo-project", "--pipeline_version=v9"])
        pipeline = beam.Pipeline(runner=FnApiRunner())
        build_pipeline(
            pipeline, options, {"widgets": widgets},
            source=lambda _: beam.Create(messages, reshuffle=False), sink=sink,
        )  # fmt: skip
        result = pipeline.run()
        result.wait_until_finish()
        row = row_class(record_encoder(widgets).descriptor)
        letter = row_class(dead_letter_encoder().descriptor)
        rows = [row.FromString(data) for data in sink.tables.get("widgets", [])]
        letters = [letter.FromString(data) for data in sink.tables.get("dead_letters", [])]
        counters = {name: value for (_, name), value in counter_values(result.metrics()).items()}
        distributions = {
            d.key.metric.name: d.committed for d in result.metrics().query()["distributions"]
        }
        return rows, letters, counters, distributions

    return run_job


def test_good_and_bad_of_every_stage(run):
    rows, letters, counters, distributions = run(
        message({"id": "a", "price": 1.5, "foo": 1}),
        message({"id": "b"}, b"{", {"id": "c", "note": 5}, {"note": "no key"}, packed=True),
        message({"id": "d", "note": "POISON"}, {"id": "e"}, packed=True, attempt="2"),
        message({"id": "f", "is_active": False}, op="delete"),
        message({"is_active": False}, op="delete"),
        message({"id": "h"}, resource="gadgets"),
    )
    assert sorted((row.id, row.is_active) for row in rows) == [
        ("a", True), ("b", True), ("e", True), ("f", False),
    ]  # fmt: skip
    assert sorted((d.stage, d.error_code, d.position) for d in letters) == [
        ("append", "row_refused", 0),
        ("decode", "invalid_json", 1),
        ("decode", "resource_mismatch", 0),
        ("validate", "invalid_record", 0),
        ("validate", "invalid_record", 2),
        ("validate", "invalid_record", 3),
    ]
    assert counters == {
        "read": 10, "valid": 5, "loaded": 4, "append_retries": 1, "dead_row_refused": 1,
        "dead_invalid_json": 1, "dead_resource_mismatch": 1, "dead_invalid_record": 3,
    }  # fmt: skip
    assert distributions["end_to_end_latency_ms"].count == 4
    assert distributions["append_request_rows"].sum == 5
    assert distributions["append_latency_ms"].count >= 1
    first = next(row for row in rows if row.id == "a")
    assert first.price == "1.5"
    assert orjson.loads(first.additional_fields) == {"foo": 1}


def test_a_dead_letter_is_whole(run):
    line = orjson.dumps(AUDIT | {"id": "a", "note": "POISON"})
    sent = message(line, attempt="2", request_id="0190-request", traceparent="00-x", dedup_id="y")
    _, (letter,), _, _ = run(sent)
    assert letter.payload == line
    assert orjson.loads(letter.attributes) == sent.attributes
    assert (letter.resource, letter.stage, letter.error_code) == (
        "widgets",
        "append",
        "row_refused",
    )
    assert letter.message == "BigQuery refused the row. (FIELDS_ERROR)"
    assert (letter.event_id, letter.request_id, letter.key_id) == (
        "0190-event",
        "0190-request",
        "k",
    )
    assert (letter.message_id, letter.position, letter.attempt) == ("m-1", 0, 2)
    assert (letter.schema_version, letter.pipeline_version) == (1, "v9")
    assert letter.publish_ts == 1_767_323_046_000_000
    assert letter.failed_ts > letter.publish_ts


def test_a_redelivery_gives_the_same_dead_letter_ids(run):
    bad = message(b"{", b"[", packed=True)
    _, letters, _, _ = run(bad, bad)
    assert len(letters) == 4
    assert len({letter.dead_letter_id for letter in letters}) == 2


def test_errors_are_told_by_path(run):
    _, (letter,), _, _ = run(message({"id": "a", "note": 5, "price": "SECRET"}))
    assert [(e.path, e.rule) for e in letter.errors] == [("$.note", "type"), ("$.price", "type")]
    assert "SECRET" not in letter.message + str(letter.errors)


def test_what_a_tombstone_holds_besides_its_key_is_kept(run):
    rows, letters, _, _ = run(message({"id": "a", "is_active": False, "note": 5}, op="delete"))
    assert letters == []
    assert (rows[0].id, rows[0].HasField("note")) == ("a", False)
    assert orjson.loads(rows[0].additional_fields) == {"note": 5}


def test_a_row_that_is_too_large(run, monkeypatch):
    monkeypatch.setattr(encode, "MAX_ROW_BYTES", 300)
    rows, (letter,), _, _ = run(message({"id": "a"}), message({"id": "b", "note": "x" * 300}))
    assert [row.id for row in rows] == ["a"]
    assert (letter.stage, letter.error_code) == ("encode", "row_too_large")


def test_what_validation_lets_through_and_no_column_holds(run, monkeypatch):
    monkeypatch.setattr("beam_pipeline.transforms.validate._shared_validator", _Credulous)
    rows, (letter,), _, _ = run(message({"id": "a"}), message({"id": "b", "price": "SECRET"}))
    assert [row.id for row in rows] == ["a"]
    assert (letter.stage, letter.error_code) == ("encode", "encode_failed")
    assert letter.errors[0].path == "$.price"
    assert "SECRET" not in str(letter.errors)


class _Credulous:
    def __init__(self, _):
        self.is_valid = lambda _: True


def test_a_refused_dead_letter_fails_the_bundle(run):
    with pytest.raises(DeadLetterRefusedError, match="dead_letters refused 1 dead letter"):
        run(message(b"{BURIED"))


class _NoBuckets:
    """Beam asks Cloud Storage about its bucket as soon as a pipeline for Dataflow is made."""

    def is_soft_delete_enabled(self, _):
        return False


@pytest.fixture
def dataflow_pipeline(monkeypatch):
    monkeypatch.setattr("apache_beam.io.gcp.gcsio.GcsIO", _NoBuckets)
    options = PipelineOptions(
        ["--runner=DataflowRunner", "--project=demo-project", "--region=europe-west1",
         "--temp_location=gs://bucket/temp"]
    )  # fmt: skip
    options.view_as(StandardOptions).streaming = True
    pipeline = beam.Pipeline(options=options)
    build_pipeline(pipeline, options.view_as(VitalflowOptions), load_registry())
    return pipeline


def test_the_graph_for_dataflow(dataflow_pipeline):
    proto = dataflow_pipeline.to_runner_api()
    names = {transform.unique_name for transform in proto.components.transforms.values()}
    for resource in load_registry():
        steps = {
            f"{resource}/{step}" for step in ("Read", "Decode", "Validate", "Encode", "Append")
        }
        assert steps <= names
    assert {"Dead letters", "Write dead letters"} <= names
    reads = [
        transform.transform._source
        for transform in _applied(dataflow_pipeline)
        if type(transform.transform).__name__ == "ReadFromPubSub"
    ]
    assert {source.id_label for source in reads} == {"dedup_id"}
    assert {source.full_subscription for source in reads} == {
        f"projects/demo-project/subscriptions/{name}-pipeline" for name in load_registry()
    }


def _applied(pipeline):
    found = []

    class Visitor(beam.pipeline.PipelineVisitor):
        def enter_composite_transform(self, node):
            found.append(node)

    pipeline.visit(Visitor())
    return found


def test_the_steps_run_in_a_process_that_built_nothing(dataflow_pipeline, tmp_path):
    proto = dataflow_pipeline.to_runner_api()
    payloads = [
        transform.spec.payload
        for transform in proto.components.transforms.values()
        if transform.spec.urn == "beam:transform:pardo:v1"
    ]
    path = tmp_path / "payloads"
    path.write_bytes(b"".join(len(p).to_bytes(4) + p for p in payloads))
    program = """
import sys
from apache_beam.internal import pickler
from apache_beam.portability.api import beam_runner_api_pb2
names = set()
data = open(sys.argv[1], "rb").read()
while data:
    size = int.from_bytes(data[:4])
    payload, data = data[4:4 + size], data[4 + size:]
    pardo = beam_runner_api_pb2.ParDoPayload.FromString(payload)
    dofn = pickler.loads(pardo.do_fn.payload)[0]
    if type(dofn).__module__.startswith("beam_pipeline"):
        if type(dofn).__name__ in ("Validate", "Encode"):
            dofn.setup()
        names.add(type(dofn).__name__)
print(*sorted(names))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["Append", "Decode", "Encode", "Validate", "WriteDeadLetters"], (
        done.stderr
    )
