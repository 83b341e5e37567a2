"""What passes between the steps is written whole, and its size told without writing it."""

import apache_beam as beam
import pytest
from apache_beam.coders.typecoders import registry
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import PipelineVisitor

from beam_pipeline.coders import RecordCoder
from beam_pipeline.options import VitalflowOptions
from beam_pipeline.pipeline import build_pipeline
from beam_pipeline.records import UPSERT, Envelope, Record, Row
from tests.fixtures.pipeline import MemorySink

ENVELOPE = Envelope({"op": UPSERT}, "7", 1, UPSERT, 1)
LINE = b'{"id":"a"}'
RECORD = Record(ENVELOPE, LINE, 0, "e", {"id": "a"}, {"is_active": True})
ROW = Row(b"row", ENVELOPE, LINE, 0, "e", 2)


CODER = beam.coders.ListCoder(RecordCoder())


@pytest.mark.parametrize("value", [RECORD, ROW])
class TestChunks:
    def test_are_written_whole(self, value):
        assert CODER.decode(CODER.encode([value, value])) == [value, value]

    def test_tell_their_size_without_being_written(self, value, monkeypatch):
        monkeypatch.setattr("beam_pipeline.coders.pickle", None)
        assert 3 * len(LINE) <= CODER.estimate_size([value] * 3) <= 3 * len(LINE) + 10


def test_every_step_uses_it(make_resource):
    """Beam takes the coder of what a step says that it yields."""
    outputs = {}

    class Outputs(PipelineVisitor):
        def visit_value(self, value, producer):
            outputs[producer.full_label, value.tag] = value.element_type

    pipeline = beam.Pipeline(options=PipelineOptions(["--project=demo-project"]))
    build_pipeline(
        pipeline,
        pipeline.options.view_as(VitalflowOptions),
        {"widgets": make_resource({"note": {"type": "string", "description": "Note."}})},
        source=lambda _: beam.Create([]),
        sink=MemorySink("coders"),
    )
    pipeline.visit(Outputs())
    for step in ("Decode", "Validate", "Encode"):
        kind = outputs[f"widgets/{step}/ParDo({step})", None]
        assert registry.get_coder(kind) == CODER
