"""Builds our pipeline for a benchmark's job, with or without gRPC behind it."""

from typing import Any

import apache_beam as beam
from google.protobuf.descriptor_pb2 import DescriptorProto

from beam_pipeline.options import VitalflowOptions
from beam_pipeline.pipeline import build_pipeline
from beam_pipeline.storage_write import StorageWriteSink
from benchmarks.jobs import Job
from benchmarks.messages import Replay
from schemas.registry import load_registry


class _InstantAppend:
    def wait(self, timeout: float) -> float:  # noqa: ARG002 (as an append of the real stream)
        return 0.0


class _InstantStream:
    """Acknowledges before anything is sent: what is left is the pipeline's own cost."""

    has_accepted = True

    def append(self, rows: Any) -> Any:  # noqa: ARG002 (as above)
        return _InstantAppend()

    def close(self) -> None:
        pass


class InstantSink:
    """A sink of such streams."""

    def shared_stream(self, table: str, descriptor: DescriptorProto) -> Any:  # noqa: ARG002 (a Sink)
        """Return a stream that acknowledges at once."""
        return _InstantStream()

    private_stream = shared_stream


def build(pipeline: beam.Pipeline, job: Job, source: Replay) -> None:
    """Add the whole pipeline, for one resource."""
    resource = load_registry()[job.resource]
    options = pipeline.options.view_as(VitalflowOptions)
    sink = StorageWriteSink(job.endpoint) if job.endpoint else InstantSink()
    build_pipeline(pipeline, options, {resource.name: resource}, lambda _: source, sink)
