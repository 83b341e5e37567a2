"""Runs the job so that Pub/Sub keeps each message until its rows are safe, as Dataflow does.

`python -m emulators.chaos.redelivering` with the job's own options. Beam's local runners cannot
show what becomes of a record when a worker dies: the DirectRunner acknowledges before it processes,
and the FnApiRunner does not read Pub/Sub. So messages are pulled here, each batch of them runs
through the whole job on the FnApiRunner, and only then are they acknowledged. Leases are short and
renewed, so that what a killed process held comes again within seconds.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import grpc
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from google.api_core.exceptions import GoogleAPICallError
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from beam_pipeline.options import VitalflowOptions
from beam_pipeline.pipeline import build_pipeline
from schemas.registry import Resource, load_registry, load_system_registry

LEASE_SECONDS: Final = 10  # the least that Pub/Sub grants
RENEW_SECONDS: Final = 3.0
BATCH_MESSAGES: Final = 1000
IDLE_SECONDS: Final = 0.1
CALL_SECONDS: Final = 20.0
BATCH_FAILED: Final = "a batch failed"
_UNLIMITED: Final = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]

_log = logging.getLogger("redelivering")

# Received messages by resource.
Batch = Mapping[str, Sequence[Any]]


class Subscriptions:
    """Every resource's subscription."""

    def __init__(self, host: str, names: Mapping[str, str]) -> None:
        channel = grpc.insecure_channel(host, options=_UNLIMITED)
        self._client = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        self._names = names

    def shorten_leases(self) -> None:
        """Let what is pulled by a process that dies at once come again as soon as the rest."""
        for name in self._names.values():
            subscription = {"name": name, "ack_deadline_seconds": LEASE_SECONDS}
            mask = {"paths": ["ack_deadline_seconds"]}
            request = {"subscription": subscription, "update_mask": mask}
            try:
                self._client.update_subscription(request, timeout=CALL_SECONDS)
            except GoogleAPICallError as error:
                _log.warning("%s stays as it is: %s", name, type(error).__name__)

    def pull(self) -> dict[str, Sequence[Any]]:
        """Return what waits, of the resources of which anything does."""
        batch: dict[str, Sequence[Any]] = {}
        for resource, name in self._names.items():
            try:
                answer = self._client.pull(
                    subscription=name, max_messages=BATCH_MESSAGES,
                    return_immediately=True, timeout=CALL_SECONDS, retry=None,
                )  # fmt: skip
            except GoogleAPICallError as error:
                _log.warning("%s cannot be pulled: %s", resource, type(error).__name__)
                continue
            if answer.received_messages:
                batch[resource] = list(answer.received_messages)
        self.lease(batch, LEASE_SECONDS)
        return batch

    def acknowledge(self, batch: Batch) -> None:
        """Tell Pub/Sub that these messages are safe."""
        self._each(batch, self._client.acknowledge)

    def lease(self, batch: Batch, seconds: int) -> None:
        """Keep the messages for so long; 0 gives them back."""
        call = partial(self._client.modify_ack_deadline, ack_deadline_seconds=seconds)
        self._each(batch, call)

    def _each(self, batch: Batch, call: Callable[..., None]) -> None:
        for resource, received in batch.items():
            ids = [item.ack_id for item in received]
            try:
                call(
                    subscription=self._names[resource], ack_ids=ids,
                    timeout=CALL_SECONDS, retry=None,
                )  # fmt: skip
            except GoogleAPICallError as error:  # they come again, which the views bear
                _log.warning("leases of %s: %s", resource, type(error).__name__)


class Lease:
    """Renews a batch's leases within `with`."""

    def __init__(self, subscriptions: Subscriptions, batch: Batch) -> None:
        self._subscriptions, self._batch = subscriptions, batch
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_SECONDS):
            self._subscriptions.lease(self._batch, LEASE_SECONDS)


def run_batch(options: VitalflowOptions, registry: Mapping[str, Resource], batch: Batch) -> None:
    """Run the whole job over these messages; any exception means that none of them is done."""
    messages = {
        resource: [
            PubsubMessage(
                item.message.data,
                dict(item.message.attributes),
                item.message.message_id,
                item.message.publish_time,
            )
            for item in received
        ]
        for resource, received in batch.items()
    }
    pipeline = beam.Pipeline(runner=FnApiRunner())
    build_pipeline(
        pipeline,
        options,
        {resource: registry[resource] for resource in batch},
        source=lambda resource: beam.Create(messages[resource], reshuffle=False),
    )
    pipeline.run().wait_until_finish()


def main(argv: Sequence[str] | None = None) -> int:
    """Run batch after batch until the process is ended, by whatever signal."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("redelivering").setLevel(logging.INFO)
    host, *rest = sys.argv[1:] if argv is None else argv
    # Created here, as the options' own parser would take the process's arguments.
    options = PipelineOptions(rest).view_as(VitalflowOptions)
    options.check()
    registry = {**load_registry(), **load_system_registry()}
    names = {resource: options.subscription_path(resource) for resource in registry}
    subscriptions = Subscriptions(host, names)
    subscriptions.shorten_leases()
    if options.ready_file:
        Path(options.ready_file).write_text("ready\n")
    while True:
        batch = subscriptions.pull()
        if not batch:
            time.sleep(IDLE_SECONDS)
            continue
        started = time.monotonic()
        try:
            with Lease(subscriptions, batch):
                run_batch(options, registry, batch)
        except Exception as error:  # noqa: BLE001  (whatever it is, the messages come again)
            _log.warning("%s: %s", BATCH_FAILED, type(error).__name__)
            subscriptions.lease(batch, 0)
            continue
        subscriptions.acknowledge(batch)
        count = sum(map(len, batch.values()))
        _log.info("%d messages in %.1f s", count, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
