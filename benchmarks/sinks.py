"""The process of all that stands behind what is measured, and how its counts are read.

`python -m benchmarks.sinks` serves Pub/Sub and BigQuery, which only count, and the emulated Secret
Manager. On each line of its standard input it writes the counts to its output.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

import grpc
from google.cloud.secretmanager_v1 import types

from benchmarks import API_KEY, PROJECT
from benchmarks.bigquery_sink import BigQuerySink
from benchmarks.children import Child
from benchmarks.pubsub_sink import PubSubSink
from emulators.secret_manager import SecretManagerEmulator

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


@dataclass(frozen=True, slots=True)
class Counts:
    """What has arrived since the start."""

    calls: int
    messages: int
    records: int
    rows: int

    def since(self, earlier: "Counts") -> "Counts":
        """Return what arrived in between."""
        now, then = asdict(self), asdict(earlier)
        return Counts(**{name: now[name] - then[name] for name in now})


class Sinks:
    """The running process; a context manager.

    Args:
        resources: Whose secrets there shall be.
    """

    def __init__(self, resources: Iterable[str]) -> None:
        self._child = Child("sinks", [sys.executable, "-m", "benchmarks.sinks", *resources])
        self.hosts: dict[str, str] = {}

    def __enter__(self) -> "Sinks":
        self._child.start()
        self.hosts = json.loads(self._child.read_line())
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()

    @property
    def env(self) -> dict[str, str]:
        """What tells Google's clients, and ours, to come here."""
        return {
            "PROJECT_ID": PROJECT,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "PUBSUB_PROJECT_ID": PROJECT,
            "PUBSUB_EMULATOR_HOST": self.hosts["grpc"],
            "SECRET_MANAGER_EMULATOR_HOST": self.hosts["secret_manager"],
        }

    def counts(self) -> Counts:
        """Ask for the counts."""
        return Counts(**json.loads(self._child.ask("")))


async def _serve(resources: list[str]) -> None:
    topics, tables = PubSubSink(resources), BigQuerySink()
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers([topics.handler(), tables.handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with SecretManagerEmulator() as secrets:
        for resource in resources:
            _add_key(secrets, f"{resource}-api-key")
        _say({"grpc": f"127.0.0.1:{port}", "secret_manager": secrets.host})
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def answer_lines() -> None:
            for _ in sys.stdin:
                counts = Counts(topics.calls, topics.messages, topics.records, tables.rows)
                _say(asdict(counts))
            loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=answer_lines, daemon=True).start()
        await ended.wait()
    await server.stop(None)


def _add_key(secrets: SecretManagerEmulator, name: str) -> None:
    parent = f"projects/{PROJECT}"
    config: Any = types.Secret.pb()(replication={"automatic": {}})
    payload: Any = types.SecretPayload.pb()(data=API_KEY.encode())
    secrets.vault.create(parent, name, config)
    secrets.vault.add_version(f"{parent}/secrets/{name}", payload)


def _say(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
