"""`python -m emulators serve bigquery`: the BigQuery emulator as a process of its own."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from emulators.bigquery import BigQueryEmulator
from emulators.process import AdminServer, write_ready_file
from emulators.signals import EndSignal


def main(argv: Sequence[str]) -> int:
    """Serves until SIGTERM; returns the exit code."""
    options = _parse(argv)
    ending = EndSignal()
    emulator = BigQueryEmulator(
        project=options.project,
        data_dir=options.data_dir,
        rest_port=options.port,
        grpc_port=options.storage_port,
    )
    try:
        with emulator, AdminServer(emulator.faults, options.admin_port) as admin:
            ready = {
                "bigquery_rest": emulator.rest_url,
                "bigquery_grpc": emulator.grpc_host,
                "admin": admin.url,
            }
            if options.ready_file is not None:
                write_ready_file(options.ready_file, ready)
            for name, address in ready.items():
                print(f"{name:14} {address}", flush=True)
            ending.wait()
    except OSError as error:  # A port that is taken, a folder that cannot be written.
        print(f"serve bigquery: {error}", file=sys.stderr)
        return 1
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m emulators serve bigquery")
    parser.add_argument("--project", default="demo-project")
    parser.add_argument("--port", type=int, default=0, help="REST; 0 is a free one")
    parser.add_argument("--storage-port", type=int, default=0, help="Storage gRPC")
    parser.add_argument("--admin-port", type=int, default=0, help="HTTP that controls faults")
    parser.add_argument("--data-dir", type=Path, help="keeps the data between runs")
    parser.add_argument("--ready-file", type=Path, help="written, as JSON, when all ports listen")
    return parser.parse_args(argv)
