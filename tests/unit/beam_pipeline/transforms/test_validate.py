"""Records that keep their contract go on; each of the others is told of, wherever it came from."""

from apache_beam.pvalue import TaggedOutput

from beam_pipeline.records import Envelope, Record
from beam_pipeline.transforms.validate import Validate


def record(message_id, fields):
    envelope = Envelope({}, message_id, publish_us=0, op="upsert", schema_version=1)
    return Record(envelope, b"{}", 0, "0190-event", fields, {})


def test_records_of_several_messages_are_told_apart(make_resource):
    step = Validate(make_resource({}))
    step.setup()
    step.start_bundle()
    good, bad = record("m-1", {"id": "a"}), record("m-2", {"id": 1.5})
    dead, valid = step.process([good, bad])
    assert valid == [good]
    assert isinstance(dead, TaggedOutput)
    assert (dead.value.envelope.message_id, dead.value.code) == ("m-2", "invalid_record")
