"""Appends rows to their BigQuery table; a bundle ends when all of them are acknowledged."""

import time
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from beam_pipeline import dead_letters
from beam_pipeline.dead_letters import DeadLetter, dead_record
from beam_pipeline.delivery import AppendTimeouts, TableWriter
from beam_pipeline.heap import settle_heap
from beam_pipeline.metrics import ResourceMetrics
from beam_pipeline.records import Row
from beam_pipeline.row_batches import RowBatches, Settled
from beam_pipeline.storage_write import Sink
from beam_pipeline.transforms.encode import record_encoder
from schemas.registry import Resource


class Append(beam.DoFn):
    """Rows → nothing once they are in the table; each that BigQuery refuses → DeadLetter.

    Args:
        table: `projects/<project>/datasets/<dataset>/tables/<table>`.
        sink: Where the table is.
        timeouts: After which the bundle fails, so that Pub/Sub keeps its messages.
    """

    def __init__(
        self, resource: Resource, table: str, sink: Sink, timeouts: AppendTimeouts
    ) -> None:
        self._resource = resource
        self._table, self._sink, self._timeouts = table, sink, timeouts
        self._metrics = ResourceMetrics(resource.name)

    def setup(self) -> None:
        """Find the process's connection to the table."""
        settle_heap()
        descriptor = record_encoder(self._resource).descriptor
        self._writer = TableWriter(self._sink, self._table, descriptor, self._timeouts)

    def start_bundle(self) -> None:
        """Begin with empty batches: those of a failed bundle come again."""
        self._batches: RowBatches[Row] = RowBatches(self._writer)
        self._refused: list[DeadLetter] = []

    def process(self, element: list[Row]) -> None:
        """Add the rows to a request."""
        for row in element:
            settled = self._batches.add(row.data, row)
            if settled:
                self._note(settled)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Wait for every acknowledgement; yield what BigQuery refused."""
        for settled in self._batches.finish():
            self._note(settled)
        for letter in self._refused:
            timestamp = Timestamp(micros=letter.envelope.publish_us)
            yield WindowedValue(letter, timestamp, (GlobalWindow(),))

    def _note(self, settled: Settled[Row]) -> None:
        delivery, metrics = settled.delivery, self._metrics
        acknowledged_us = time.time_ns() // 1_000
        metrics.append_request_rows.update(len(settled.origins))
        metrics.append_latency_ms.update(round(delivery.seconds * 1_000))
        metrics.append_retries.inc(delivery.retries)
        metrics.loaded.inc(len(settled.origins) - len(delivery.refused))
        for index, row in enumerate(settled.origins):
            if index in delivery.refused:
                self._refused.append(self._dead(row, delivery.refused[index]))
            else:
                metrics.end_to_end_latency_ms.update((acknowledged_us - row.created_us) // 1_000)

    def _dead(self, row: Row, bigquery_code: str) -> DeadLetter:
        self._metrics.dead(dead_letters.ROW_REFUSED)
        return dead_record(
            self._resource.name,
            dead_letters.APPEND,
            dead_letters.ROW_REFUSED,
            row,
            detail=bigquery_code,
        )
