"""The whole of Vitalflow on this machine: emulators, endpoint and pipeline as processes."""

import json
import os
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from emulators.child import LOOK_SECONDS, ROOT, Child, wait_for_file
from emulators.folder_lock import FolderLock
from emulators.ports import HOST, Ports, free_port
from emulators.provision import provision_bigquery, provision_pubsub, provision_secrets
from emulators.signals import signals_ignored
from schemas.registry import load_registry, load_system_registry

START_SECONDS: Final = 60.0
FOLDER: Final = ROOT / ".local"
STACK_FILE: Final = "stack.json"


class Stack:
    """Runs within `with`; `info` is then what `stack.json` in its folder says.

    Args:
        folder: Where logs, state and `stack.json` are kept; one stack at a time runs in it. A
            temporary one, removed at the end, unless given.
        persist: Keep the emulators' state, and with it the API keys, in the folder for the next.
        ports: The ports to take.
        endpoint: Whether to run the endpoint, and what answers for the state of events.
        pipeline: Whether to run the Beam job.

    Raises:
        FolderInUseError: Another stack runs in the folder.
        ChildError: A process did not start; the text has the end of its log.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        persist: bool = False,
        ports: Ports | None = None,
        endpoint: bool = True,
        pipeline: bool = True,
        project: str = "demo-project",
        dataset: str = "healthcare",
        ops_dataset: str = "healthcare_ops",
    ) -> None:
        self._given_folder = folder
        self._persist = persist
        self._ports = ports or Ports()
        self._with_endpoint = endpoint
        self._with_pipeline = pipeline
        self._names = {"project": project, "dataset": dataset, "ops_dataset": ops_dataset}
        self._resources = list(load_registry())
        self._exit = ExitStack()
        self.children: dict[str, Child] = {}
        self.info: dict[str, Any] = {}

    def __enter__(self) -> Self:
        with ExitStack() as exit_stack:
            self.folder = self._given_folder or Path(exit_stack.enter_context(_temporary_folder()))
            exit_stack.enter_context(FolderLock(self.folder))
            exit_stack.callback(self._stop)
            self._start()
            self._exit = exit_stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.__exit__(kind, error, trace)

    def check(self) -> None:
        """Raises ChildError if a process has ended."""
        for child in self.children.values():
            child.check()

    def _start(self) -> None:
        for left in ("ready", STACK_FILE):
            _remove(self.folder / left)
        self._start_emulators()
        pubsub = self._ready("pubsub")
        # While BigQuery, which is slower, starts.
        topics = [*self._resources, *load_system_registry()]
        provision_pubsub(pubsub["pubsub"], self._names["project"], topics)
        api_keys = provision_secrets(
            pubsub["secret_manager"], self._names["project"], self._resources
        )
        url = f"http://{HOST}:{self._ports.endpoint or free_port()}"
        if self._with_endpoint:
            self._start_endpoint(url, pubsub)
        warehouse = self._ready("bigquery")
        status_url = f"http://{HOST}:{self._ports.status or free_port()}"
        if self._with_endpoint:
            self._start_status(status_url, pubsub, warehouse)
        if self._with_pipeline:
            self._start_pipeline(pubsub, warehouse)
        provision_bigquery(warehouse["bigquery_rest"], **self._names)
        self.info = {
            **self._names,
            "endpoint": url if self._with_endpoint else None,
            "status": status_url if self._with_endpoint else None,
            "api_keys": api_keys,
            "pubsub": pubsub["pubsub"],
            "secret_manager": pubsub["secret_manager"],
            "bigquery_rest": warehouse["bigquery_rest"],
            "bigquery_grpc": warehouse["bigquery_grpc"],
            "faults": {"pubsub": pubsub["admin"], "bigquery": warehouse["admin"]},
        }
        if self._with_endpoint:
            self._wait_until_ready("endpoint", url)
            self._wait_until_ready("status", status_url)
        if self._with_pipeline:
            wait_for_file(self.children["pipeline"], self._ready_file("pipeline"), START_SECONDS)
        self._write_info()

    def _start_emulators(self) -> None:
        ports = self._ports
        self._serve("pubsub", port=ports.pubsub, secret_manager_port=ports.secret_manager)
        self._serve("bigquery", port=ports.bigquery, storage_port=ports.bigquery_storage)

    def _serve(self, name: str, **ports: int) -> None:
        command = [sys.executable, "-m", "emulators", "serve", name]
        command += [f"--{key.replace('_', '-')}={port}" for key, port in ports.items()]
        command.append(f"--ready-file={self._ready_file(name)}")
        if self._persist:
            command.append(f"--data-dir={self.folder / 'data' / name}")
        self._run(name, command, {})

    def _start_endpoint(self, url: str, pubsub: Mapping[str, str]) -> None:
        port = url.rpartition(":")[2]
        command = [sys.executable, "-m", "functions_framework", "--asgi", "--target=all"]
        command += [f"--source={ROOT / 'functions' / 'main.py'}", f"--host={HOST}"]
        env = {
            "PROJECT_ID": self._names["project"],
            "PUBSUB_EMULATOR_HOST": pubsub["pubsub"],
            "SECRET_MANAGER_EMULATOR_HOST": pubsub["secret_manager"],
            "HOST": HOST,
            "PORT": port,
        }
        self._run("endpoint", [*command, f"--port={port}"], env)

    def _start_status(
        self, url: str, pubsub: Mapping[str, str], warehouse: Mapping[str, str]
    ) -> None:
        port = url.rpartition(":")[2]
        command = [sys.executable, "-m", "functions_framework", "--target=status"]
        command += [f"--source={ROOT / 'functions' / 'status_main.py'}", f"--host={HOST}"]
        env = {
            "PROJECT_ID": self._names["project"],
            "DATASET": self._names["dataset"],
            "OPS_DATASET": self._names["ops_dataset"],
            "PUBSUB_EMULATOR_HOST": pubsub["pubsub"],
            "SECRET_MANAGER_EMULATOR_HOST": pubsub["secret_manager"],
            "BIGQUERY_EMULATOR_HOST": warehouse["bigquery_rest"],
        }
        self._run("status", [*command, f"--port={port}"], env)

    def _start_pipeline(self, pubsub: Mapping[str, str], warehouse: Mapping[str, str]) -> None:
        # By the name DirectRunner, Beam first tries to download Prism, which cannot read Pub/Sub.
        command = [sys.executable, "-m", "beam_pipeline", "--runner=BundleBasedDirectRunner"]
        command += [f"--{key}={value}" for key, value in self._names.items()]
        command.append(f"--bigquery_storage_endpoint={warehouse['bigquery_grpc']}")
        command.append(f"--ready_file={self._ready_file('pipeline')}")
        env = {
            "PUBSUB_EMULATOR_HOST": pubsub["pubsub"],
            # Beam asks Google's metadata server for credentials, which nobody answers here.
            "NO_GCE_CHECK": "true",
        }
        self._run("pipeline", command, env)

    def _run(self, name: str, command: list[str], env: Mapping[str, str]) -> None:
        log = self.folder / "logs" / f"{name}.log"
        self.children[name] = Child(name, command, env, log)

    def _ready(self, name: str) -> dict[str, str]:
        text = wait_for_file(self.children[name], self._ready_file(name), START_SECONDS)
        ready: dict[str, str] = json.loads(text)
        return ready

    def _ready_file(self, name: str) -> Path:
        folder = self.folder / "ready"
        folder.mkdir(exist_ok=True)
        return folder / name

    def _wait_until_ready(self, name: str, url: str) -> None:
        child = self.children[name]
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"{url}/readyz"):
            child.check()
            if time.monotonic() > deadline:
                raise child.overdue("/readyz", START_SECONDS)
            time.sleep(LOOK_SECONDS)

    def _write_info(self) -> None:
        draft = self.folder / f".{STACK_FILE}"
        # It holds the keys.
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self.info, file, indent=2)
            file.write("\n")
        draft.replace(self.folder / STACK_FILE)

    def _stop(self) -> None:
        with signals_ignored():
            _remove(self.folder / STACK_FILE)
            for child in reversed(self.children.values()):
                child.stop()
            self.children.clear()
            _remove(self.folder / "ready")


@contextmanager
def _temporary_folder() -> Iterator[str]:
    """A folder that is kept where something failed, for its logs."""
    path = tempfile.mkdtemp(prefix="vitalflow-")
    yield path
    shutil.rmtree(path)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own http URL
            return bool(response.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
