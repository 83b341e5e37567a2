"""Reads a resource's Pub/Sub subscription."""

from collections.abc import Callable
from typing import Any

from apache_beam.io.gcp.pubsub import ReadFromPubSub
from apache_beam.transforms.ptransform import PTransform

from beam_pipeline.options import VitalflowOptions

# Given a resource's name, returns the transform that yields its PubsubMessages.
Source = Callable[[str], PTransform[Any, Any]]


def pubsub_source(options: VitalflowOptions) -> Source:
    """Return the source that pulls each resource's own subscription.

    On Dataflow, messages with the same `dedup_id` within ten minutes count as one. The DirectRunner
    knows no such label (and acknowledges before it processes).
    """
    id_label = "dedup_id" if options.is_dataflow else None

    def source(resource: str) -> PTransform[Any, Any]:
        return ReadFromPubSub(
            subscription=options.subscription_path(resource),
            id_label=id_label,
            with_attributes=True,
        )

    return source
