"""Gets rows into a table: retries what is transient, sorts out rows that BigQuery refuses.

Three outcomes, no fourth. A row is in the table. A row was refused by BigQuery itself while its
table takes others: its sender makes it a dead letter. Or neither came to be within the deadline:
TableUnavailableError fails the bundle, so that Pub/Sub keeps the messages. An outage therefore
never fills the dead letters with good records.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.descriptor_pb2 import DescriptorProto

from beam_pipeline.append_errors import (
    AppendUnavailableError,
    RequestRefusedError,
    RowsRefusedError,
)
from beam_pipeline.log_limit import LimitedLogger
from beam_pipeline.storage_write import Append, Sink

Sleep = Callable[[float], None]

_log = LimitedLogger(__name__)

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
# Where every part of a refused request is refused too, its rows are not what is wrong.
_TRIES_WITHOUT_PROOF: Final = 64
# The code of a row that was refused without a word on it.
_NO_ROW_NAMED: Final = "INVALID_ARGUMENT"


@dataclass(frozen=True, slots=True)
class AppendTimeouts:
    """How long appends may take, in seconds.

    Attributes:
        answer: One request's answer; then its connection counts as broken.
        deadline: From a request's first failure on; no try starts later, and the bundle fails.
    """

    answer: float
    deadline: float


class TableUnavailableError(RuntimeError):
    """The table did not take its rows within the deadline; the bundle fails and is tried again."""

    def __init__(self, table: str, code: str, seconds: float) -> None:
        super().__init__(f"{table} took no rows for {seconds:.0f} s, last answer: {code}")
        self.table, self.code = table, code


@dataclass(slots=True)
class Delivery:
    """One request's rows on their way.

    Attributes:
        refused: BigQuery's code of each refused row, by its index in `rows`.
        retries: How many more requests than one it took.
        seconds: From the last request's start to its acknowledgement.
    """

    rows: Sequence[bytes]
    append: Append
    refused: dict[int, str] = field(default_factory=dict)
    retries: int = 0
    seconds: float = 0.0


class TableWriter:
    """Delivers rows to one table. Not shared between threads; its stream is."""

    def __init__(
        self,
        sink: Sink,
        table: str,
        descriptor: DescriptorProto,
        timeouts: AppendTimeouts,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._sink, self._table, self._descriptor = sink, table, descriptor
        self._stream = sink.shared_stream(table, descriptor)
        self._timeouts = timeouts
        self._sleep = sleep

    def send(self, rows: Sequence[bytes]) -> Delivery:
        """Send one request without waiting for its answer."""
        return Delivery(rows, self._stream.append(rows))

    def settle(self, delivery: Delivery) -> Delivery:
        """Wait until every row is in the table or refused, with as many requests as that takes.

        Raises:
            TableUnavailableError: The deadline passed.
        """
        rows, pending = delivery.rows, list(range(len(delivery.rows)))
        clock = _RetryClock(self._table, delivery, self._timeouts.deadline, self._sleep)
        append = delivery.append
        while True:
            try:
                delivery.seconds = append.wait(self._timeouts.answer)
            except RowsRefusedError as error:
                pending = _without_refused(pending, error, delivery.refused)
                if not pending:
                    return delivery
                delivery.retries += 1
            except RequestRefusedError:
                if self._find_guilty(delivery, pending, clock):
                    return delivery
                clock.pause(_NO_ROW_NAMED)
            except AppendUnavailableError as error:
                clock.pause(error.code)
            else:
                self._stream.has_accepted = True
                return delivery
            append = self._stream.append([rows[index] for index in pending])

    def _find_guilty(self, delivery: Delivery, pending: list[int], clock: "_RetryClock") -> bool:
        """Halve a refused request until the rows stand alone that BigQuery refuses.

        This uses a connection of its own: a refusal that ends the call takes along whatever else
        is on it, and that must not look guilty. A row is refused only if it was twice, alone.

        Returns:
            False if nothing was proved: the table has taken no row at all yet, so that the fault
            may as well be the table's. Its rows are to be tried again.
        """
        rows, tries = delivery.rows, 0
        refused: dict[int, str] = {}
        accepted = self._stream.has_accepted
        suspects = [(pending, False)]
        stream = self._sink.private_stream(self._table, self._descriptor)
        try:
            while suspects and (accepted or tries < _TRIES_WITHOUT_PROOF):
                tries += 1
                part, was_refused_alone = suspects.pop()
                delivery.retries += 1
                try:
                    append = stream.append([rows[index] for index in part])
                    delivery.seconds = append.wait(self._timeouts.answer)
                    accepted = True
                except RowsRefusedError as error:
                    rest = _without_refused(part, error, refused)
                    accepted = True  # it reads rows, and knows good ones from bad
                    if rest:
                        suspects.append((rest, False))
                except RequestRefusedError:
                    middle = len(part) // 2
                    if middle:
                        suspects += [(part[middle:], False), (part[:middle], False)]
                    elif was_refused_alone:
                        refused[part[0]] = _NO_ROW_NAMED
                    else:
                        suspects.append((part, True))
                except AppendUnavailableError as error:
                    clock.pause(error.code)
                    suspects.append((part, was_refused_alone))
        finally:
            stream.close()
        if accepted:
            delivery.refused.update(refused)
        return accepted


class _RetryClock:
    """Bounds the tries of one delivery, and spaces them out."""

    def __init__(self, table: str, delivery: Delivery, deadline: float, sleep: Sleep) -> None:
        self._table, self._delivery, self._deadline = table, delivery, deadline
        self._sleep = sleep
        self._started: float | None = None
        self._pauses = 0

    def pause(self, code: str) -> None:
        """Wait before the next try: longer each time, and not in step with other workers.

        Raises:
            TableUnavailableError: The deadline would pass.
        """
        now = time.monotonic()
        self._started = now if self._started is None else self._started
        longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**self._pauses)
        seconds = longest * random.uniform(0.5, 1)  # noqa: S311  # not for secrecy
        if now + seconds > self._started + self._deadline:
            raise TableUnavailableError(self._table, code, self._deadline) from None
        self._pauses += 1
        self._delivery.retries += 1
        _log.warning("Appending to %s failed with %s; trying again", self._table, code)
        self._sleep(seconds)


def _without_refused(
    part: list[int], error: RowsRefusedError, refused: dict[int, str]
) -> list[int]:
    """Note the refused rows of a request and return the others."""
    refused.update({part[index]: code for index, code in error.codes.items()})
    return [row for index, row in enumerate(part) if index not in error.codes]
