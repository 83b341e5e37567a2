"""Where commands print: tables to the standard output, progress to a person alone."""

import sys
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

# A file or a pipe has no edge at which a table's cells would have to be broken.
_WIDE: Final = 400


def console() -> Console:
    """Return the standard output, as wide as its terminal."""
    width = None if sys.stdout.isatty() else _WIDE
    return Console(soft_wrap=True, highlight=False, width=width)


def progress() -> Progress:
    """Return a progress bar on a terminal's standard error; elsewhere it shows nothing."""
    errors = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        disable=not errors.is_terminal,
    )
