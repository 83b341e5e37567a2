"""Publishes messages again in bounded batches, and remembers each that Pub/Sub acknowledged."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.pubsub_v1 import PublisherClient

from ops.pace import Pace
from ops.replayable import Replayable
from ops.resume_file import ResumeFile

# One Publish call at a time, within these bounds (Pub/Sub's own are 1,000 and 10 MB): they are what
# waits in memory, and what a kill may leave to be published twice.
BATCH_MESSAGES: Final = 500
BATCH_BYTES: Final = 4_000_000
CALL_SECONDS: Final = 20.0
RETRY_SECONDS: Final = 60.0

_TRANSIENT: Final = (
    exceptions.Aborted,  # a conflict inside Pub/Sub
    exceptions.DeadlineExceeded,  # the answer was late: it may be published twice, counted once
    exceptions.InternalServerError,  # a fault of Pub/Sub's
    exceptions.ResourceExhausted,  # quota: it fills again
    exceptions.ServiceUnavailable,  # an outage, or a connection that was cut
    exceptions.Unknown,  # a broken connection may end so
)


class ReplayStoppedError(Exception):
    """Pub/Sub did not take a batch; what was acknowledged before is remembered."""


@dataclass(slots=True)
class Sent:
    """What became of the messages so far.

    Attributes:
        messages, records: What Pub/Sub acknowledged.
        misfits: Marks of messages that have no room for the attributes of a replay.
    """

    messages: int = 0
    records: int = 0
    misfits: list[str] = field(default_factory=list)


class Replayer:
    """Publishes one batch after the other.

    Args:
        publisher: Google's client, which sends when it is told to.
        topic_path: Returns a topic's full name.
        pace: Bounds the rate.
        resume: Where acknowledged messages are remembered, if anywhere.
        retry_seconds: How long a batch is tried.
    """

    def __init__(
        self,
        publisher: PublisherClient,
        topic_path: Callable[[str], str],
        pace: Pace,
        resume: ResumeFile | None = None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._publisher, self._topic_path = publisher, topic_path
        self._pace, self._resume = pace, resume
        self._retry = Retry(
            predicate=if_exception_type(*_TRANSIENT),
            initial=0.1,
            maximum=5.0,
            timeout=retry_seconds,
        )
        self.sent = Sent()

    def run(self, items: Iterable[Replayable], on_batch: Callable[[int], None]) -> Sent:
        """Publish all of it.

        Args:
            items: What to publish; read no faster than it goes out.
            on_batch: Told the number of records of each acknowledged batch.

        Raises:
            ReplayStoppedError: A batch was refused, or not acknowledged in time.
        """
        # At a low rate a batch is what a second lets through, so that records flow evenly.
        rate = self._pace.rate
        most = min(BATCH_MESSAGES, max(1, int(rate))) if rate else BATCH_MESSAGES
        for batch in _batches(self._fitting(items), most):
            records = sum(item.records for item in batch)
            self._pace.wait(records)
            self._publish(batch)
            if self._resume:
                self._resume.add(item.mark for item in batch)
            self.sent.messages += len(batch)
            self.sent.records += records
            on_batch(records)
        return self.sent

    def _fitting(self, items: Iterable[Replayable]) -> Iterator[Replayable]:
        for item in items:
            if item.fits:
                yield item
            else:
                self.sent.misfits.append(item.mark)

    def _publish(self, batch: list[Replayable]) -> None:
        topic = batch[0].resource
        messages = [{"data": item.data, "attributes": item.attributes} for item in batch]
        request = {"topic": self._topic_path(topic), "messages": messages}
        try:
            self._publisher.publish(request, retry=self._retry, timeout=CALL_SECONDS)
        except exceptions.RetryError as error:
            reason = type(error.cause).__name__ if error.cause else "no answer"
            raise ReplayStoppedError(f"topic {topic}: {reason}, for too long") from None
        except exceptions.GoogleAPICallError as error:
            # Its kind alone: an error's text may quote the request.
            raise ReplayStoppedError(f"topic {topic}: {type(error).__name__}") from None


def _batches(items: Iterable[Replayable], most: int) -> Iterator[list[Replayable]]:
    """Yield messages of one topic together, in the order in which they come."""
    batch: list[Replayable] = []
    size = 0
    for item in items:
        is_full = len(batch) == most or size + item.size > BATCH_BYTES
        if batch and (is_full or item.resource != batch[0].resource):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.size
    if batch:
        yield batch
