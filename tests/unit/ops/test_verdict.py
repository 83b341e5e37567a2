"""What `validate` says is what the endpoint and the pipeline do."""

import json
import uuid

import apache_beam as beam
import orjson
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_pipeline.dead_letters import dead_letter_encoder
from beam_pipeline.options import VitalflowOptions
from beam_pipeline.pipeline import build_pipeline
from beam_pipeline.row_message import row_class
from beam_pipeline.transforms.encode import record_encoder
from ops.verdict import Judge
from schemas import limits
from schemas.registry import SCHEMAS_DIR, load_registry
from tests.fixtures.pipeline import AUDIT, MemorySink, message

REGISTRY = load_registry()
EXAMPLES = sorted((SCHEMAS_DIR / "examples").glob("*/*.json"))
examples = pytest.mark.parametrize(
    "path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
SECRET = "SSN 078-05-1120"


def record_of(path):
    document = json.loads(path.read_bytes())
    return document["record"] if path.name.endswith(".fail.json") else document


def message_of(path):
    """The example as its message would hold it."""
    return AUDIT | record_of(path) | {"event_id": f"{path.parent.name}/{path.stem}"}


@pytest.fixture(scope="module")
def outcomes():
    """What the job does with every example: None for a row, else stage, code and errors."""
    sink = MemorySink(uuid.uuid4().hex)

    def source(name):
        paths = [path for path in EXAMPLES if path.parent.name == name]
        return beam.Create([message(message_of(path)) for path in paths], reshuffle=False)

    pipeline = beam.Pipeline(runner=FnApiRunner())
    options = VitalflowOptions(["--project=demo-project"])
    build_pipeline(pipeline, options, REGISTRY, source=source, sink=sink)
    pipeline.run().wait_until_finish()
    found = {}
    for name, resource in REGISTRY.items():
        row = row_class(record_encoder(resource).descriptor)
        found |= {row.FromString(data).event_id: None for data in sink.tables[name]}
    letter = row_class(dead_letter_encoder().descriptor)
    for dead in map(letter.FromString, sink.tables["dead_letters"]):
        errors = [(error.path, error.rule, error.message) for error in dead.errors]
        found[dead.event_id] = (dead.stage, dead.error_code, errors)
    return found


@pytest.fixture(scope="module")
def judges():
    return {name: Judge(resource) for name, resource in REGISTRY.items()}


@examples
def test_message_fares_as_in_the_pipeline(path, outcomes, judges):
    sent = message_of(path)

    verdict = judges[path.parent.name].record(orjson.dumps(sent))

    errors = [(error.path, error.rule, error.message) for error in verdict.errors]
    said = None if verdict.loads else (verdict.stage, verdict.code, errors)
    assert said == outcomes[sent["event_id"]]


@examples
def test_record_meets_the_endpoint_first(path, judges):
    document = json.loads(path.read_bytes())
    verdict = judges[path.parent.name].record(orjson.dumps(record_of(path)))

    if path.name.endswith(".pass.json"):
        assert verdict.loads
        assert {"event_id", "created_ts"} < {name for name, _ in verdict.columns}
    else:
        assert (verdict.stage, verdict.code) == ("endpoint", "invalid_record")
        broken = [{"path": error.path, "rule": error.rule} for error in verdict.errors]
        assert broken == document["breaks"]


@pytest.fixture
def judge(judges):
    return judges["patients"]


PATIENT = {"patient_id": "p-1", "name": {"family": SECRET}}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", "invalid_json"),
        (b"{" + SECRET.encode(), "invalid_json"),
        (b'{"patient_id": NaN}', "invalid_json"),
        (b'{"patient_id": "a\nb"}', "invalid_json"),
        (b'"text"', "invalid_record"),
        (b"[]", "invalid_record"),
        (b'{"x":' * 300 + b"1" + b"}" * 300, "invalid_record"),
        (b'{"x":\n' * 300 + b"1" + b"}" * 300, "invalid_record"),
        (b'{"patient_id":"%b"}' % (b"x" * limits.MAX_RECORD_BYTES), "invalid_record"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_the_endpoint_refuses(judge, line, code):
    verdict = judge.record(line)

    assert (verdict.stage, verdict.code) == ("endpoint", code)
    assert SECRET not in str(verdict)


def test_record_on_several_lines(judge):
    assert judge.record(json.dumps(PATIENT, indent=2).encode()).loads


def test_tombstone(judge):
    tombstone = AUDIT | {"patient_id": "p-1", "is_active": False}

    assert judge.record(orjson.dumps(tombstone)).loads
    assert judge.record(orjson.dumps(tombstone | {"patient_id": 5})).stage == "validate"


def test_columns_say_their_type_and_no_value(judge):
    verdict = judge.record(orjson.dumps(PATIENT | {"address": [{}], SECRET: 1}))

    assert verdict.columns[:3] == (
        ("patient_id", "STRING"),
        ("name", "RECORD"),
        ("address", "ARRAY<RECORD>"),
    )
    assert ("additional_fields", "JSON") in verdict.columns
    assert SECRET not in str(verdict)


def test_packed_message_has_a_verdict_for_each_record(judge):
    verdicts = judge.message(message(PATIENT, b"{", {"patient_id": 5}, packed=True))

    assert sorted(verdict.stage for verdict in verdicts) == ["", "decode", "validate"]
