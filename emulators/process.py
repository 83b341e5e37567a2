"""What an emulator's process does besides emulating: takes faults over HTTP, says it is ready."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn

from emulators.fault_server import build_admin_app
from emulators.faults import FaultInjector
from emulators.hosting import Hosted
from emulators.ports import HOST, check_free


class AdminServer(Hosted):
    """HTTP that controls the faults of this process; a port of 0 is a free one."""

    def __init__(self, faults: FaultInjector, port: int = 0) -> None:
        super().__init__()
        config = uvicorn.Config(
            build_admin_app(faults),
            host=HOST,
            port=port,
            log_config=None,
            access_log=False,
            lifespan="off",
        )
        self._port = port
        self._server = _Uvicorn(config)

    @property
    def url(self) -> str:
        """Base URL, once started."""
        return f"http://{HOST}:{self._server.servers[0].sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        """Listens; OSError if the port is taken."""
        check_free(self._port)
        await self._server.listen()

    async def stop(self) -> None:
        """Ends the listening."""
        await self._server.shutdown()


class _Uvicorn(uvicorn.Server):
    """Serves in a loop that is not its own: leaves signals to the process, and does not exit it."""

    async def listen(self) -> None:
        if not self.config.loaded:
            self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup()


def write_ready_file(path: Path, document: Mapping[str, Any]) -> None:
    """Writes JSON so that a reader finds all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)
