"""Reads the raw archive: Avro files as Pub/Sub's Cloud Storage subscriptions write them.

Their schema, with metadata: `subscription_name` and `message_id` strings, `publish_time` in
microseconds, `attributes` a map of strings, `data` bytes.
https://cloud.google.com/pubsub/docs/create-cloudstorage-subscription#avro
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final

import fastavro

from ops.replayable import Replayable, replay_attributes

BUCKET: Final = "gs://"
SUFFIX: Final = ".avro"
CODE: Final = "archive"
_FIELDS: Final = {"subscription_name", "message_id", "publish_time", "attributes", "data"}
# `<resource>-archive`, as terraform/archive.tf names the subscriptions.
_SUBSCRIPTION = re.compile(r"(?:.*/)?(?P<resource>[a-z][a-z0-9_]*)-archive")
# As terraform/archive.tf has the files named: the day on which one was begun.
_DAY = re.compile(r"(?:^|/)([0-9]{4}-[0-9]{2}-[0-9]{2})/[^/]+$")
# A file stays open for minutes; a day is far more.
_LONGEST_OPEN: Final = timedelta(days=1)


class ArchiveError(Exception):
    """A file that is none of the archive's, or cannot be read; the text names it."""


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file: its name below the archive's root, and how to open it."""

    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]


def archive_files(root: str, project: str) -> list[ArchiveFile]:
    """Return the archive's files by name.

    Args:
        root: `gs://bucket/prefix`, or a folder or file on this machine.
        project: That pays for what is read from a bucket.

    Raises:
        ArchiveError: There are none.
    """
    files = _of_bucket(root, project) if root.startswith(BUCKET) else _of_folder(Path(root))
    if not files:
        raise ArchiveError(f"{root} holds no {SUFFIX} files")
    return sorted(files, key=lambda file: file.name)


def _of_folder(root: Path) -> list[ArchiveFile]:
    if root.is_file():
        return [ArchiveFile(root.name, lambda: root.open("rb"))]

    def opener(path: Path) -> Callable[[], AbstractContextManager[BinaryIO]]:
        return lambda: path.open("rb")

    paths = [path for path in root.rglob(f"*{SUFFIX}") if path.is_file()]
    return [ArchiveFile(path.relative_to(root).as_posix(), opener(path)) for path in paths]


def _of_bucket(root: str, project: str) -> list[ArchiveFile]:
    # Imported here, as its import takes long and local files do without.
    from google.cloud.storage import Client  # noqa: PLC0415  # as above

    bucket, _, prefix = root.removeprefix(BUCKET).partition("/")

    def opener(blob: Any) -> Callable[[], AbstractContextManager[BinaryIO]]:
        return lambda: blob.open("rb")

    blobs = Client(project=project).list_blobs(bucket, prefix=prefix)
    return [ArchiveFile(blob.name, opener(blob)) for blob in blobs if blob.name.endswith(SUFFIX)]


@dataclass(frozen=True, slots=True)
class ArchiveRange:
    """Which messages of the archive are meant: by first publish, and by resource; () means all."""

    since: datetime | None = None
    until: datetime | None = None
    resources: tuple[str, ...] = ()

    def may_hold(self, name: str) -> bool:
        """Whether a file may hold messages of the range, by its name.

        Nothing speaks against a file that was begun after the range: it may hold a backlog.
        """
        day = _DAY.search(name)
        if not day or not self.since:
            return True
        try:
            begun = datetime.combine(date.fromisoformat(day[1]), time(), UTC)
        except ValueError:  # some other name that looks like a day
            return True
        return begun + timedelta(days=1) + _LONGEST_OPEN > self.since

    def holds(self, published: datetime, resource: str) -> bool:
        """Whether a message is within the range."""
        return (
            (self.since is None or published >= self.since)
            and (self.until is None or published < self.until)
            and (not self.resources or resource in self.resources)
        )


def read_messages(file: ArchiveFile, chosen: ArchiveRange) -> Iterator[Replayable]:
    """Yield the file's messages that are chosen, as their replays.

    Raises:
        ArchiveError: It is no Avro file, has no metadata, or ends too early.
    """
    try:
        with file.open() as stream:
            reader = fastavro.reader(stream)
            if not _field_names(reader.writer_schema) >= _FIELDS:
                raise ArchiveError(
                    f"{file.name} has no metadata: its subscription needs write_metadata"
                )
            for number, message in enumerate(reader, 1):
                replayable = _replayable(file, number, message, chosen)
                if replayable:
                    yield replayable
    except (ValueError, EOFError, LookupError, TypeError) as error:
        # Its kind alone: the text may quote what was read.
        raise ArchiveError(f"{file.name} cannot be read: {type(error).__name__}") from None


def _field_names(schema: Any) -> set[str]:
    is_record = isinstance(schema, dict) and schema.get("type") == "record"
    return {field["name"] for field in schema["fields"]} if is_record else set()


def _replayable(
    file: ArchiveFile, number: int, message: Any, chosen: ArchiveRange
) -> Replayable | None:
    published: datetime = message["publish_time"]
    attributes: dict[str, str] = message["attributes"]
    subscription = _SUBSCRIPTION.fullmatch(message["subscription_name"])
    # The subscription's name tells the topic for certain; an attribute is what a sender claims.
    resource = subscription["resource"] if subscription else attributes.get("resource")
    if not resource:
        raise ArchiveError(
            f"{file.name}, message {number}: neither its subscription nor an "
            "attribute tells its resource"
        )
    if not chosen.holds(published, resource):
        return None
    message_id: str = message["message_id"]
    return Replayable(
        resource=resource,
        code=CODE,
        day=published.date(),
        data=message["data"],
        attributes=replay_attributes(attributes, message_id, f"{CODE}/{resource}"),
        mark=f"{resource}/{message_id}",
    )
