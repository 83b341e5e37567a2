"""`python -m emulators`: what `make up`, `make down` and `make demo` run, and each emulator."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final

# Module and function of each command; imported when asked for, since each needs much of its own.
COMMANDS: Final = {
    "up": ("emulators.up", "up"),
    "down": ("emulators.up", "down"),
    "demo": ("emulators.demo", "main"),
}
SERVERS: Final = {
    "pubsub": ("emulators.serve_pubsub", "main"),
    "bigquery": ("emulators.serve_bigquery", "main"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m emulators", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="run the stack until Ctrl-C", add_help=False)
    commands.add_parser("down", help="end the stack of this folder", add_help=False)
    commands.add_parser("demo", help="a tour of the whole system", add_help=False)
    serve = commands.add_parser("serve", help="run one emulator", add_help=False)
    serve.add_argument("emulator", choices=sorted(SERVERS))
    options, rest = parser.parse_known_args(argv)
    module, function = (
        SERVERS[options.emulator] if options.command == "serve" else COMMANDS[options.command]
    )
    code: int = getattr(importlib.import_module(module), function)(rest)
    return code


if __name__ == "__main__":
    sys.exit(main())
