"""Who takes part: how each server is started, and where it takes records."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import CACHE, PEER_RESOURCE, ROOT
from benchmarks.ports import HOST

OURS: Final = "vitalflow"
TEXTBOOK: Final = "textbook"
NODE: Final = "node"
FLOOR: Final = "floor"

PEERS: Final = ROOT / "benchmarks" / "peers"
# Exact versions, and no lock file: that would name the host of a registry.
NODE_PACKAGES: Final = (
    "express@5.3.0",
    "@google-cloud/pubsub@5.3.0",
    "@google-cloud/secret-manager@6.1.0",
    "@grpc/grpc-js@1.14.7",
)
_NPM_SECONDS: Final = 180

Command = Callable[[int], list[str]]


@dataclass(frozen=True)
class Contender:
    """One server.

    Attributes:
        title: For the table.
        command: Given a port, what to start.
        path: Where it takes a record.
        bulk_path: Where it takes many; None if it is not measured with them.
        status: Of its answer.
        publishes: Whether it does anything at all.
    """

    name: str
    title: str
    command: Command
    path: str = "/"
    bulk_path: str | None = "/"
    status: str = "202"
    publishes: bool = True
    env: dict[str, str] = field(default_factory=dict)


def ours(target: str = PEER_RESOURCE) -> Contender:
    """Return the endpoint as it is deployed."""
    source = ROOT / "functions" / "main.py"
    path = f"/v1/{PEER_RESOURCE}"
    return Contender(
        OURS, "Vitalflow", _framework(source, target, "--asgi"), path=path, bulk_path=path
    )


def contenders() -> tuple[list[Contender], list[str]]:
    """Return who takes part, and why somebody does not."""
    taking_part = [
        ours(),
        Contender(
            FLOOR,
            "floor: async Functions Framework, no work",
            _framework(PEERS / "floor.py", "hello", "--asgi"),
            bulk_path=None,
            status="200",
            publishes=False,
        ),
        Contender(
            TEXTBOOK,
            "textbook Cloud Function",
            _framework(PEERS / "textbook.py", "ingest"),
        ),
        Contender("flask", "Flask, gunicorn, 2 workers", _gunicorn),
        Contender("fastapi", "FastAPI, uvicorn", _uvicorn, bulk_path="/bulk"),
    ]
    missing = install_node_packages()
    if missing:
        return taking_part, [f"Node express is left out: {missing}"]
    env = {"NODE_PATH": str(_node_modules()), "NODE_ENV": "production"}
    node = Contender(NODE, "Node express", _node, env=env)
    return [*taking_part, node], []


def install_node_packages() -> str | None:
    """Install what the Node peer needs, once; return why that cannot be."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return "there is no Node on this machine"
    stamp = CACHE / "node" / "installed"
    if stamp.exists() and stamp.read_text() == "\n".join(NODE_PACKAGES):
        return None
    stamp.parent.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(stamp.parent), "--no-save", "--no-package-lock"]
    command += ["--no-audit", "--no-fund", "--loglevel=error", *NODE_PACKAGES]
    try:
        done = subprocess.run(  # noqa: S603 (our own command)
            command, capture_output=True, text=True, timeout=_NPM_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"its packages were not installed within {_NPM_SECONDS} s"
    if done.returncode:
        return "its packages cannot be installed"
    stamp.write_text("\n".join(NODE_PACKAGES))
    return None


def _node_modules() -> Path:
    return CACHE / "node" / "node_modules"


def _framework(source: Path, target: str, *options: str) -> Command:
    base = [sys.executable, "-m", "functions_framework", f"--source={source}"]
    return lambda port: [
        *base,
        f"--target={target}",
        f"--host={HOST}",
        f"--port={port}",
        *options,
    ]


def _gunicorn(port: int) -> list[str]:
    command = [sys.executable, "-m", "gunicorn", "--workers=2", "--threads=8", "--timeout=0"]
    return [*command, f"--bind={HOST}:{port}", "benchmarks.peers.flask_gunicorn:app"]


def _uvicorn(port: int) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", "benchmarks.peers.fastapi_uvicorn:app"]
    return [*command, f"--host={HOST}", f"--port={port}", "--no-access-log"]


def _node(_: int) -> list[str]:
    return ["node", str(PEERS / "express_node.cjs")]
