"""Builds our pipeline for a benchmark's job."""

import apache_beam as beam

from beam_pipeline.options import VitalflowOptions
from beam_pipeline.pipeline import build_pipeline
from beam_pipeline.storage_write import StorageWriteSink
from benchmarks.jobs import Job
from benchmarks.messages import Replay
from schemas.registry import load_registry


def build(pipeline: beam.Pipeline, job: Job, source: Replay) -> None:
    """Add the whole pipeline, for one resource."""
    resource = load_registry()[job.resource]
    options = pipeline.options.view_as(VitalflowOptions)
    build_pipeline(
        pipeline,
        options,
        {resource.name: resource},
        lambda _: source,
        StorageWriteSink(job.endpoint),
    )
