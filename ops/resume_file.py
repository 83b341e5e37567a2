"""Remembers what Pub/Sub has acknowledged, so that an interrupted replay goes on where it was."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

VERSION: Final = 1


class ResumeFileError(Exception):
    """The file is of another replay, or none at all."""


class ResumeFile:
    """A file of marks, one a line, written through to the disk after every acknowledged batch.

    Its first line says which replay it is of. A kill leaves at most half of a last line, which
    is cut off: that mark counts as not written, so its message is sent once more.

    Args:
        path: Made if it is not there.
        replay: What is replayed where; a file of another is refused.

    Raises:
        ResumeFileError: The file is not one of this replay.
    """

    def __init__(self, path: Path, replay: str) -> None:
        self.path = path
        self._head = json.dumps({"vitalflow_replay": VERSION, "of": replay}).encode() + b"\n"
        self.marks: set[str] = set()
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            text = b""
        whole, newline, _ = text.rpartition(b"\n")
        kept = whole + newline
        # A head that a kill cut short is written anew.
        if kept:
            if not kept.startswith(self._head):
                raise ResumeFileError(f"{path} is not the resume file of this replay")
            self.marks.update(kept[len(self._head) :].decode().split("\n"))
            self.marks.discard("")
        elif text and not self._head.startswith(text):
            raise ResumeFileError(f"{path} is no resume file")
        self._length = len(kept)
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._file = self.path.open("ab")
        self._file.truncate(self._length)
        if not self._length:
            self._write(self._head)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()

    def add(self, marks: Iterable[str]) -> None:
        """Remember marks; they are on the disk when this returns."""
        self._write("".join(f"{mark}\n" for mark in marks).encode())

    def _write(self, text: bytes) -> None:
        if self._file is None:
            raise RuntimeError("the file is open within `with` alone")
        self._file.write(text)
        self._file.flush()
        os.fsync(self._file.fileno())
