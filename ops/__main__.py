"""`python -m ops`: the commands of an operator, one module each."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final

# Module, and what it is for; imported when asked for, since some need much of their own. Each has
# `main(argv) -> exit code`.
COMMANDS: Final = {
    "audit": ("ops.audit", "verify that the audit events are whole and unchanged"),
    "keys": ("ops.keys", "add, list, disable, enable and destroy API keys"),
    "reconcile": ("ops.reconcile", "compare what was accepted with what arrived"),
    "replay": ("ops.replay", "publish dead letters, or the raw archive, once more"),
    "send": ("ops.send", "send a file's records to the endpoint"),
    "status": ("ops.status", "tell whether all is well: endpoint, backlog, dead letters"),
    "validate": ("ops.validate", "tell what would become of the records of a file"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, purpose) in COMMANDS.items():
        commands.add_parser(name, help=purpose, add_help=False)
    options, rest = parser.parse_known_args(argv)
    module, _ = COMMANDS[options.command]
    code: int = importlib.import_module(module).main(rest)
    return code


if __name__ == "__main__":
    sys.exit(main())
