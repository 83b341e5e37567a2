"""Wires the job: subscriptions to tables, and whatever fails on the way to the dead letters."""

from collections.abc import Mapping
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PBegin
from apache_beam.transforms.ptransform import PTransform

from beam_pipeline import dead_letters
from beam_pipeline.coders import register_coders
from beam_pipeline.delivery import AppendTimeouts
from beam_pipeline.options import VitalflowOptions
from beam_pipeline.storage_write import Sink, StorageWriteSink
from beam_pipeline.transforms import DEAD, GOOD
from beam_pipeline.transforms.append import Append
from beam_pipeline.transforms.decode import Decode
from beam_pipeline.transforms.encode import Encode
from beam_pipeline.transforms.read import Source, pubsub_source
from beam_pipeline.transforms.validate import Validate
from beam_pipeline.transforms.write_dead_letters import WriteDeadLetters
from schemas.registry import OPS, Resource


def build_pipeline(
    pipeline: beam.Pipeline,
    options: VitalflowOptions,
    registry: Mapping[str, Resource],
    source: Source | None = None,
    sink: Sink | None = None,
) -> None:
    """Add the whole job to an empty pipeline.

    Args:
        pipeline: Where to add it.
        options: Checked settings.
        registry: The resources, and the records that the system writes itself; each gets a branch
            of its own, so that the console shows its numbers, and an outage of its table leaves
            the others alone.
        source: Yields a resource's messages; its Pub/Sub subscription unless given.
        sink: Where rows go; BigQuery unless given.
    """
    source = source or pubsub_source(options)
    sink = sink or StorageWriteSink(options.bigquery_storage_endpoint)
    timeouts = options.append_timeouts
    register_coders()
    dead = [
        letters
        for name, resource in registry.items()
        for letters in pipeline
        | name >> Ingest(resource, source, _table_path(options, resource), sink, timeouts)
    ]
    dead_letters_table = options.ops_table_path(dead_letters.TABLE)
    (
        dead
        | "Dead letters" >> beam.Flatten()
        | "Write dead letters"
        >> beam.ParDo(
            WriteDeadLetters(dead_letters_table, options.pipeline_version, sink, timeouts)
        )
    )


def _table_path(options: VitalflowOptions, resource: Resource) -> str:
    path = options.ops_table_path if resource.dataset == OPS else options.table_path
    return path(resource.name)


class Ingest(PTransform[PBegin, Any]):
    """One resource's way from subscription to table; yields the dead letters of its steps."""

    def __init__(
        self, resource: Resource, source: Source, table: str, sink: Sink, timeouts: AppendTimeouts
    ) -> None:
        super().__init__()
        self._resource, self._source = resource, source
        self._append = Append(resource, table, sink, timeouts)

    def expand(self, begin: PBegin) -> Any:  # of a tuple, Beam would log that it checks none
        """Read, decode, validate, encode, append."""
        resource = self._resource
        messages = begin | "Read" >> self._source(resource.name)
        decoded = messages | "Decode" >> fallible(Decode(resource.name, resource.version))
        valid = decoded[GOOD] | "Validate" >> fallible(Validate(resource))
        rows = valid[GOOD] | "Encode" >> fallible(Encode(resource))
        refused = rows[GOOD] | "Append" >> beam.ParDo(self._append)
        return decoded[DEAD], valid[DEAD], rows[DEAD], refused


def fallible(step: beam.DoFn) -> PTransform[Any, Any]:
    """Return a step with a good and a dead output."""
    transform: PTransform[Any, Any] = beam.ParDo(step).with_outputs(DEAD, main=GOOD)
    return transform
