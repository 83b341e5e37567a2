"""Writes the dead letters of all steps to their table: the last place that a record can go."""

from collections.abc import Iterable

import apache_beam as beam

from beam_pipeline import dead_letters
from beam_pipeline.dead_letters import DeadLetter, dead_letter_encoder
from beam_pipeline.delivery import AppendTimeouts, TableWriter
from beam_pipeline.row_batches import RowBatches, Settled
from beam_pipeline.storage_write import Sink


class DeadLetterRefusedError(RuntimeError):
    """BigQuery refused a dead letter: its table differs from schemas/system/dead_letters.json.

    The bundle fails, as a dead letter must not vanish: Pub/Sub keeps the messages until the table
    is mended.
    """


class WriteDeadLetters(beam.DoFn):
    """DeadLetter → its row; nothing comes out."""

    def __init__(
        self, table: str, pipeline_version: str, sink: Sink, timeouts: AppendTimeouts
    ) -> None:
        self._table, self._sink, self._timeouts = table, sink, timeouts
        self._pipeline_version = pipeline_version

    def setup(self) -> None:
        """Find the process's connection to the table."""
        descriptor = dead_letter_encoder().descriptor
        self._writer = TableWriter(self._sink, self._table, descriptor, self._timeouts)

    def start_bundle(self) -> None:
        """Begin with empty batches: those of a failed bundle come again."""
        self._batches: RowBatches[None] = RowBatches(self._writer)

    def process(self, element: DeadLetter) -> None:
        """Add the dead letter to a request."""
        row = dead_letters.encode(element, self._pipeline_version)
        settled = self._batches.add(row, None)
        if settled:
            self._check([settled])

    def finish_bundle(self) -> None:
        """Wait for every acknowledgement."""
        self._check(self._batches.finish())

    def _check(self, batches: Iterable[Settled[None]]) -> None:
        for settled in batches:
            if settled.delivery.refused:
                codes = ", ".join(sorted(set(settled.delivery.refused.values())))
                raise DeadLetterRefusedError(
                    f"{self._table} refused {len(settled.delivery.refused)} dead letter(s): {codes}"
                )
