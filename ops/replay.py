"""`python -m ops replay`: publishes dead letters, or messages of the raw archive, once more.

Nothing is published without --publish: what would be is counted by resource, code and day.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError

from ops import connection, dead_letters
from ops.archive import ArchiveError, ArchiveFile, ArchiveRange, archive_files, read_messages
from ops.connection import Connection, ConnectionNotFoundError
from ops.dead_letters import DeadLetterRow, DeadLetters
from ops.pace import Pace
from ops.replay_plan import ReplayPlan
from ops.replayable import Replayable, replay_attributes
from ops.replayer import Replayer, ReplayStoppedError
from ops.resume_file import ResumeFile, ResumeFileError
from ops.terminal import console, progress
from ops.times import FORM, point_in_time
from schemas.registry import load_registry, load_system_registry

INTERRUPTED: Final = 130  # as a shell has it after Ctrl-C
USAGE: Final = 2
# So many marks of messages that were left are shown.
_MARKS_SHOWN: Final = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 when all was published or counted, 1 when it stopped, 2 for a wrong call."""
    options = _parser().parse_args(argv)
    try:
        with connection.connect(options) as system:
            replay = _Replay(options, system)
            return replay.dead_letters() if options.source == "dead-letters" else replay.archive()
    except (ConnectionNotFoundError, ResumeFileError, ArchiveError, OSError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return USAGE
    except (GoogleAPICallError, GoogleAuthError) as error:
        # Its kind alone: the text may quote a query.
        print(f"replay: Google Cloud: {type(error).__name__}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    resources = [*load_registry(), *load_system_registry()]
    parser = argparse.ArgumentParser(prog="python -m ops replay", description=__doc__)
    sources = parser.add_subparsers(dest="source", required=True)
    letters = sources.add_parser("dead-letters", help="what could not be loaded")
    dead_letters.add_arguments(letters, resources)
    letters.add_argument("--limit", type=_positive, metavar="N", help="at most so many")
    archive = sources.add_parser("archive", help="messages as they were first published")
    archive.add_argument("root", help="gs://bucket/prefix, or a folder or file with .avro files")
    archive.add_argument("--resource", action="append", choices=resources, metavar="R", default=[])
    archive.add_argument("--since", type=point_in_time, metavar="T", help=f"published then: {FORM}")
    archive.add_argument("--until", type=point_in_time, metavar="T", help="published before then")
    for source in (letters, archive):
        group = source.add_argument_group("how")
        group.add_argument("--publish", action="store_true", help="do it; else it is only counted")
        group.add_argument("--rate", type=_positive_float, metavar="N", help="records a second")
        group.add_argument(
            "--resume", type=Path, metavar="FILE",
            help="remember there what was acknowledged; leave out what it remembers",
        )  # fmt: skip
        connection.add_arguments(source)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _positive_float(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


class _Replay:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, system: Connection) -> None:
        self._options, self._system = options, system
        self._out = console()
        self._plan = ReplayPlan()
        self._resume: ResumeFile | None = None

    def dead_letters(self) -> int:
        options, system = self._options, self._system
        done = self._open_resume(f"dead letters of {system.project}.{system.ops_dataset}")
        store = DeadLetters(system)
        found = store.chosen(dead_letters.selection(options))
        chosen = [letter for letter in found if letter.id not in done]
        if options.limit:
            # What the resume file remembers counts: a replay that goes on is the same replay.
            chosen = chosen[: max(0, options.limit - len(done))]
        for letter in chosen:
            self._plan.add(letter.resource, letter.code, letter.day, 1, letter.size)
        return self._go(replay_of_dead_letter(row) for row in store.read(chosen))

    def archive(self) -> int:
        options, system = self._options, self._system
        done = self._open_resume(f"archive {options.root} into {system.project}")
        chosen = ArchiveRange(options.since, options.until, tuple(options.resource))
        files = [f for f in archive_files(options.root, system.project) if chosen.may_hold(f.name)]

        def left(file: ArchiveFile) -> Iterator[Replayable]:
            return (item for item in read_messages(file, chosen) if item.mark not in done)

        # Counted first: the files are read twice, but nothing goes out unseen, nor before every
        # file has proved to be readable.
        with progress() as bar:
            for file in bar.track(files, description="reading files"):
                for item in left(file):
                    size = len(item.data)
                    self._plan.add(item.resource, item.code, item.day, item.records, size)
        return self._go(item for file in files for item in left(file))

    def _open_resume(self, replay: str) -> set[str]:
        """Return the marks of what was acknowledged before."""
        if not self._options.resume:
            return set()
        self._resume = ResumeFile(self._options.resume, replay)
        return self._resume.marks

    def _go(self, items: Iterable[Replayable]) -> int:
        """Show the plan, and carry it out if that is asked for."""
        if not self._plan.records:
            self._out.print("Nothing to replay.")
            return 0
        self._out.print(self._plan.table())
        if not self._options.publish:
            self._out.print("Nothing was published: this is what --publish would do.")
            return 0
        pace = Pace(self._options.rate)
        replayer = Replayer(self._system.publisher, self._system.topic_path, pace, self._resume)
        stopped, code = self._publish(replayer, items)
        sent = replayer.sent
        self._out.print(f"Published {sent.records:,} record(s) in {sent.messages:,} message(s).")
        if sent.misfits:
            shown = ", ".join(sent.misfits[:_MARKS_SHOWN])
            self._out.print(
                f"Left {len(sent.misfits):,} message(s) without room for a replay's attributes: "
                f"{shown}"
            )
            code = code or 1
        if stopped:
            advice = "Run it again; with --resume FILE it would go on where it was."
            if self._resume:
                advice = f"Go on with --resume {self._resume.path}: the acknowledged are left out."
            print(f"replay: {stopped} {advice}", file=sys.stderr)
        return code

    def _publish(self, replayer: Replayer, items: Iterable[Replayable]) -> tuple[str, int]:
        """Publish; return why it stopped early, and the exit code."""
        with self._resume or nullcontext(), progress() as bar:
            task = bar.add_task("publishing", total=self._plan.records)
            try:
                replayer.run(items, lambda count: bar.advance(task, count))
            except (ReplayStoppedError, ArchiveError) as error:
                return f"Stopped: {error}.", 1
            except (GoogleAPICallError, GoogleAuthError) as error:
                # Its kind alone: the text may quote a query.
                return f"Stopped: Google Cloud: {type(error).__name__}.", 1
            except KeyboardInterrupt:
                return "Interrupted.", INTERRUPTED
        return "", 0


def replay_of_dead_letter(row: DeadLetterRow) -> Replayable:
    """Return the message that replays a dead letter: its payload and attributes as they were."""
    return Replayable(
        resource=row.resource,
        code=row.code,
        day=row.day,
        data=row.payload,
        attributes=replay_attributes(row.attributes, row.id, "dead_letter"),
        mark=row.id,
    )
