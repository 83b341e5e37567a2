"""The stack with processes that can be killed, and a job that loses nothing when it is."""

import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from emulators.chaos.redelivering import BATCH_FAILED
from emulators.child import ROOT, Child, wait_for_file
from emulators.ports import HOST, free_port
from emulators.stack import Stack

START_SECONDS: Final = 60.0
SOURCE: Final = ROOT / "functions" / "main.py"
# Short, so that a fault and its end show within seconds.
ENDPOINT: Final = {
    "PUBLISH_TIMEOUT_SECONDS": "1",
    "KEY_REFRESH_SECONDS": "1",
    "KEY_MAX_STALE_SECONDS": "30",
}
APPEND_DEADLINE_SECONDS: Final = 2.0


class System:
    """Emulators, an endpoint and the redelivering job, within `with`.

    Args:
        endpoint: Settings of the endpoint beside ENDPOINT.
        append_deadline: After so many seconds without success a batch fails and comes again.
    """

    def __init__(
        self,
        endpoint: Mapping[str, str] | None = None,
        append_deadline: float = APPEND_DEADLINE_SECONDS,
    ) -> None:
        self._stack = Stack(endpoint=False, pipeline=False)
        self._env = {**ENDPOINT, **(endpoint or {})}
        self._append_deadline = append_deadline
        self._exit = ExitStack()
        self._children: dict[str, Child] = {}
        self._starts = 0

    def __enter__(self) -> Self:
        with ExitStack() as exit_stack:
            exit_stack.enter_context(self._stack)
            self.info: dict[str, Any] = self._stack.info
            self._port = free_port()
            self.url = f"http://{HOST}:{self._port}"
            self._control = exit_stack.enter_context(httpx.Client(trust_env=False, timeout=20))
            exit_stack.callback(self._stop)
            self.start_pipeline(wait=False)
            self.start_endpoint()
            self._wait_for_pipeline()
            self.sql = bigquery.Client(
                project=self.info["project"],
                credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call] # It has no types.
                client_options={"api_endpoint": self.info["bigquery_rest"]},
            )
            exit_stack.callback(self.sql.close)
            self._exit = exit_stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.__exit__(kind, error, trace)

    def start_endpoint(self, *, source: Path = SOURCE, path: str = "/readyz", **env: str) -> None:
        """Start the endpoint, on the same port each time, and wait for an answer at the path."""
        command = [sys.executable, "-m", "functions_framework", "--asgi", "--target=all"]
        command += [f"--source={source}", f"--host={HOST}", f"--port={self._port}"]
        settings = {
            "PROJECT_ID": self.info["project"],
            "PUBSUB_EMULATOR_HOST": self.info["pubsub"],
            "SECRET_MANAGER_EMULATOR_HOST": self.info["secret_manager"],
            "HOST": HOST,
            "PORT": str(self._port),
        }
        child = self._run("endpoint", command, {**settings, **self._env, **env})
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"{self.url}{path}"):
            child.check()
            if time.monotonic() > deadline:
                raise child.overdue(path, START_SECONDS)
            time.sleep(0.05)

    def start_pipeline(self, *, wait: bool = True) -> None:
        """Start the job, and wait until it pulls."""
        self._ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "emulators.chaos.redelivering", self.info["pubsub"]]
        command += [f"--{name}={self.info[name]}" for name in ("project", "dataset", "ops_dataset")]
        command += [
            f"--bigquery_storage_endpoint={self.info['bigquery_grpc']}",
            f"--append_deadline_seconds={self._append_deadline}",
            "--append_timeout_seconds=5",
            f"--ready_file={self._ready_file}",
        ]
        self._run("pipeline", command, {"NO_GCE_CHECK": "true"})
        if wait:
            self._wait_for_pipeline()

    def stop(self, name: str) -> None:
        """End the `endpoint` or the `pipeline` by SIGTERM."""
        self._children.pop(name).stop()

    def kill(self, name: str) -> None:
        """End the `endpoint` or the `pipeline`, with all its processes, by SIGKILL."""
        child = self._children.pop(name)
        os.killpg(child.pid, signal.SIGKILL)
        child.stop()

    def restore(self) -> None:
        """End every fault, and start what does not run."""
        for url in self.info["faults"].values():
            self._control.delete(f"{url}/faults").raise_for_status()
        if "endpoint" not in self._children:
            self.start_endpoint()
        if "pipeline" not in self._children:
            self.start_pipeline()

    @contextmanager
    def fault(self, service: str, **rule: Any) -> Iterator[str]:
        """Inject a fault into `pubsub`, `secret_manager`, `bigquery` or `bigquery_write`."""
        url = f"{self._admin(service)}/faults"
        answer = self._control.post(url, json={"service": service, **rule}).raise_for_status()
        rule_id: str = answer.json()["id"]
        try:
            yield rule_id
        finally:
            self._control.delete(f"{url}/{rule_id}")  # 404 where `restore` was first

    def fired(self, service: str, rule_id: str) -> int:
        """Return how often a rule struck."""
        rules = self._control.get(f"{self._admin(service)}/faults").raise_for_status()
        fired: dict[str, int] = {rule["id"]: rule["fired"] for rule in rules.json()["faults"]}
        return fired[rule_id]

    def tail(self) -> str:
        """Return the end of the running job's log: why rows are late."""
        return self._children["pipeline"].tail()

    def failed_batches(self) -> int:
        """Return how many batches of the running job failed, and came again."""
        return self._children["pipeline"].log.read_text().count(BATCH_FAILED)

    def _admin(self, service: str) -> str:
        process = "bigquery" if service.startswith("bigquery") else "pubsub"
        url: str = self.info["faults"][process]
        return url

    @property
    def _ready_file(self) -> Path:
        return self._stack.folder / "chaos-pipeline-ready"

    def _wait_for_pipeline(self) -> None:
        wait_for_file(self._children["pipeline"], self._ready_file, START_SECONDS)

    def _run(self, name: str, command: list[str], env: Mapping[str, str]) -> Child:
        self._starts += 1
        log = self._stack.folder / "logs" / f"{name}-{self._starts}.log"
        self._children[name] = Child(name, command, env, log)
        return self._children[name]

    def _stop(self) -> None:
        for child in self._children.values():
            child.stop()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own http URL
            json.load(response)
    except (OSError, ValueError):
        return False
    return True
