"""What is published again: a message as it was, marked as the replay that it is."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import orjson

from beam_pipeline.dead_letters import attempt
from schemas import limits

REPLAY_OF: Final = "replay_of"
ATTEMPT: Final = "attempt"
DEDUP_ID: Final = "dedup_id"
_NDJSON: Final = "application/x-ndjson"
_DEDUP_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:vitalflow:replay")
# What a message takes besides data and attributes: ids, lengths, tags.
_FRAME_BYTES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Replayable:
    """One message to publish again.

    Attributes:
        resource: Its topic.
        code: Why it is replayed: a dead letter's error code, or `archive`.
        day: Of the failure; of the archive, of the first publish.
        data: As it was published; of a dead letter, the record's own line.
        attributes: The original's, and those of the replay.
        mark: What a resume file remembers it by.
    """

    resource: str
    code: str
    day: date
    data: bytes
    attributes: dict[str, str]
    mark: str

    @property
    def records(self) -> int:
        """How many records it holds."""
        return count_records(self.data, self.attributes)

    @property
    def size(self) -> int:
        """About how many bytes it takes in a request."""
        return len(self.data) + sum(len(k) + len(v) + 10 for k, v in self.attributes.items())

    @property
    def fits(self) -> bool:
        """Whether Pub/Sub takes it: a foreign message may leave a replay's attributes no room."""
        return (
            len(self.attributes) <= limits.PUBSUB_MAX_ATTRIBUTES
            and self.size + _FRAME_BYTES <= limits.PUBSUB_MAX_MESSAGE_BYTES
        )


def replay_attributes(original: Mapping[str, str], replay_of: str, origin: str) -> dict[str, str]:
    """Return the original's attributes with what makes the message a replay.

    `dedup_id` has to be another one. Dataflow drops a message whose `dedup_id` it saw within ten
    minutes: the replay of a fresh failure would vanish without a word, and so would all but one
    of the records that failed in the same packed message, as they share its attributes. It is the
    same whenever the same attempt is published again, as after an interruption: then a repeat may
    be dropped.

    Args:
        original: Of the message that failed.
        replay_of: Id of what is replayed: a dead letter's, or a message's.
        origin: What makes that id unique among all that may ever be replayed.
    """
    number = str(attempt(dict(original)) + 1)
    name = orjson.dumps([origin, replay_of, number]).decode()
    return {
        **original,
        REPLAY_OF: replay_of,
        ATTEMPT: number,
        DEDUP_ID: str(uuid.uuid5(_DEDUP_NAMESPACE, name)),
    }


def count_records(data: bytes, attributes: Mapping[str, str]) -> int:
    """Return how many records a message holds, at least 1."""
    if not attributes.get("content_type", "").startswith(_NDJSON):
        return 1
    return max(1, sum(1 for line in data.split(b"\n") if line and not line.isspace()))
