"""The Secret Manager emulator as a whole: the vault, its service, and what it keeps."""

from pathlib import Path
from typing import Final

import grpc

from emulators.faults import FaultInjector
from emulators.hosting import Hosted
from emulators.rpc import build_server
from emulators.secret_manager import archive
from emulators.secret_manager.service import SERVICE, SecretManager
from emulators.secret_manager.vault import Vault

NAME: Final = "secret_manager"  # the service's in fault rules
GRACE_SECONDS: Final = 1.0


class SecretManagerEmulator(Hosted):
    """Serves Secret Manager at `host` ("127.0.0.1:1234") while its context is open.

    Port 0 takes a free one. With `data_dir` it begins with what the last good end left there.
    """

    def __init__(
        self,
        host: str = "127.0.0.1:0",
        faults: FaultInjector | None = None,
        data_dir: Path | None = None,
    ) -> None:
        super().__init__()
        self.host = host
        self.faults = faults or FaultInjector({NAME: self.methods()})
        self.vault = Vault()
        self._data_dir = data_dir
        self._server: grpc.aio.Server | None = None

    @staticmethod
    def methods() -> list[str]:
        """The methods that a fault rule may name."""
        return list(SecretManager(Vault()).handlers())

    async def start(self) -> None:
        """Listens; raises RuntimeError when the port is taken."""
        if self._data_dir is not None:
            archive.load(self.vault, self._data_dir)
        handlers = SecretManager(self.vault).handlers()
        server = self._server = build_server(self.faults, {SERVICE: (NAME, handlers)})
        port = server.add_insecure_port(self.host)
        self.host = f"{self.host.rpartition(':')[0]}:{port}"
        await server.start()

    async def stop(self) -> None:
        """Lets calls finish, and then keeps what there is."""
        if self._server is not None:
            await self._server.stop(GRACE_SECONDS)
        if self._data_dir is not None:
            archive.save(self.vault, self._data_dir)
