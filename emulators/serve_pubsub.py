"""The process of Pub/Sub, Secret Manager and their faults: `python -m emulators serve pubsub`."""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from emulators.faults import FaultInjector
from emulators.ports import HOST
from emulators.process import AdminServer, write_ready_file
from emulators.pubsub import emulator as pubsub
from emulators.pubsub.emulator import PubSubEmulator
from emulators.secret_manager import emulator as secret_manager
from emulators.secret_manager.emulator import SecretManagerEmulator
from emulators.signals import ENDING


def main(argv: Sequence[str]) -> int:
    """Serves until SIGTERM; returns the exit code."""
    asyncio.run(_serve(_parse(argv)))
    return 0


async def _serve(options: argparse.Namespace) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, ended.set)
    faults = FaultInjector(
        {
            pubsub.NAME: PubSubEmulator.methods(),
            secret_manager.NAME: SecretManagerEmulator.methods(),
        }
    )
    # One loop for all three: threads would only take turns.
    async with (
        PubSubEmulator(f"{HOST}:{options.port}", faults, options.data_dir) as topics,
        SecretManagerEmulator(
            f"{HOST}:{options.secret_manager_port}", faults, options.data_dir
        ) as secrets,
        AdminServer(faults, options.admin_port) as admin,
    ):
        ready = {"pubsub": topics.host, "secret_manager": secrets.host, "admin": admin.url}
        if options.ready_file is not None:
            write_ready_file(options.ready_file, ready)
        for name, address in ready.items():
            print(f"{name:14} {address}", flush=True)
        await ended.wait()


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m emulators serve pubsub")
    parser.add_argument("--port", type=int, default=0, help="Pub/Sub; 0 is a free one")
    parser.add_argument("--secret-manager-port", type=int, default=0, help="Secret Manager")
    parser.add_argument("--admin-port", type=int, default=0, help="HTTP that controls faults")
    parser.add_argument("--data-dir", type=Path, help="keeps the data between runs")
    parser.add_argument("--ready-file", type=Path, help="written, as JSON, when all ports listen")
    return parser.parse_args(argv)
