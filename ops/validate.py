"""`python -m ops validate`: tells what endpoint and pipeline would do with the records of a file.

Or, with --against-dead-letters, which stored dead letters the contracts here would let through.
Paths and rules are printed, never a value.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError

from ops import connection, dead_letters
from ops.connection import DATASET, OPS_DATASET, ConnectionNotFoundError
from ops.dead_letters import DeadLetters
from ops.record_file import AUTO, FORMATS, RecordFileError, open_file, read_records
from ops.rescue import Rescue
from ops.terminal import console
from ops.verdict import Judge, Verdict
from schemas.registry import OPS, Registry, SchemaError, load_registry, load_system_registry

USAGE: Final = 2
_RULES_SHOWN: Final = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 when every record would load, 1 when one would not, 2 for a wrong call.

    Against dead letters it is 0 whatever is found.
    """
    try:
        registry = Registry({**load_registry(), **load_system_registry()})
        parser = _parser(registry)
        options = parser.parse_args(argv)
        if options.against_dead_letters == bool(options.file):
            parser.error("name either a FILE or --against-dead-letters")
        if options.against_dead_letters:
            return _against_dead_letters(options, registry)
        return _file(parser, options, registry)
    except (ConnectionNotFoundError, RecordFileError, SchemaError, OSError) as error:
        print(f"validate: {error}", file=sys.stderr)
        return USAGE
    except (GoogleAPICallError, GoogleAuthError) as error:
        # Its kind alone: the text may quote the query.
        print(f"validate: BigQuery: {type(error).__name__}", file=sys.stderr)
        return USAGE


def _parser(registry: Registry) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ops validate", description=__doc__)
    parser.add_argument(
        "file", nargs="?", metavar="FILE",
        help="records as a producer sends them, or with their audit columns; - for stdin",
    )  # fmt: skip
    parser.add_argument("--format", choices=FORMATS, default=AUTO)
    parser.add_argument("--failed-only", action="store_true", help="leave out what would load")
    parser.add_argument(
        "--show-row", action="store_true",
        help="the columns that each row would fill, and their types; values are never shown",
    )  # fmt: skip
    parser.add_argument("--against-dead-letters", action="store_true")
    dead_letters.add_arguments(parser, list(registry))
    connection.add_arguments(parser)
    return parser


def _file(parser: argparse.ArgumentParser, options: argparse.Namespace, registry: Registry) -> int:
    names = options.resource or _guess(options.file, registry)
    if len(names) != 1:
        parser.error("name the one --resource that the file holds")
    [name] = names
    judge = Judge(registry[name])
    is_system = registry[name].dataset == OPS
    dataset = options.ops_dataset or OPS_DATASET if is_system else options.dataset or DATASET
    table = f"{dataset}.{name}"
    reasons: Counter[str] = Counter()
    count = 0
    with open_file(options.file) as stream:
        for line in read_records(stream, options.file, options.format):
            count += 1
            verdict = judge.record(line)
            if not verdict.loads:
                reasons[f"{verdict.stage} {verdict.code}"] += 1
            elif options.failed_only:
                continue
            _print_verdict(count, verdict, table, show_row=options.show_row)
    failed = sum(reasons.values())
    why = "".join(f"; {reason}: {n:,}" for reason, n in sorted(reasons.items()))
    print(f"{count:,} record(s): {count - failed:,} would load, {failed:,} would not{why}")
    return 1 if failed else 0


def _guess(file: str, registry: Registry) -> list[str]:
    """Return the resource that the file or its folder is called after."""
    path = Path(file).absolute()
    for name in (path.name.partition(".")[0], path.parent.name):
        if name in registry:
            return [name]
    return []


def _print_verdict(number: int, verdict: Verdict, table: str, *, show_row: bool) -> None:
    if verdict.loads:
        print(f"{number}: loads into {table}")
        if show_row:
            for name, type_ in verdict.columns:
                print(f"    {name} {type_}")
        return
    print(f"{number}: fails at {verdict.stage}: {verdict.code}")
    for error in verdict.errors:
        print(f"    {error.path}: {error.message} ({error.rule})")


def _against_dead_letters(options: argparse.Namespace, registry: Registry) -> int:
    rescue = Rescue(registry)
    with connection.connect(options) as system:
        store = DeadLetters(system)
        for row in store.read(store.chosen(dead_letters.selection(options))):
            rescue.add(row)
    if not rescue.tallies:
        print("No dead letters to judge.")
        return 0
    out = console()
    out.print(rescue.table(_RULES_SHOWN))
    out.print("What BigQuery itself would say (row_refused) is not known before a replay.")
    return 0
