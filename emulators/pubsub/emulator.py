"""The Pub/Sub emulator as a whole: the broker, its services, its clock, and what it keeps."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Final

import grpc

from emulators.faults import FaultInjector
from emulators.hosting import Hosted
from emulators.pubsub import archive, publisher, subscriber
from emulators.pubsub.broker import Broker
from emulators.rpc import build_server

NAME: Final = "pubsub"  # the service's in fault rules
TICK_SECONDS: Final = 0.05  # how late a redelivery may be
EXPIRE_SECONDS: Final = 10.0
GRACE_SECONDS: Final = 2.0  # for the calls that are in flight when it ends


class PubSubEmulator(Hosted):
    """Serves Publisher and Subscriber at `host` ("127.0.0.1:1234") while its context is open.

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
        self.broker = Broker()
        self._data_dir = data_dir
        self._publisher = publisher.Publisher(self.broker)
        self.faults = faults or FaultInjector({NAME: self.methods()})
        self._subscriber = subscriber.Subscriber(self.broker, self.faults, NAME)
        self._server: grpc.aio.Server | None = None
        self._clock: asyncio.Task[None] | None = None

    @staticmethod
    def methods() -> list[str]:
        """The methods that a fault rule may name."""
        broker = Broker()
        publishing = publisher.Publisher(broker).handlers()
        subscribing = subscriber.Subscriber(broker, FaultInjector(), NAME).handlers()
        return [*publishing, *subscribing]

    async def start(self) -> None:
        """Listens; raises RuntimeError when the port is taken."""
        if self._data_dir is not None:
            archive.load(self.broker, self._data_dir)
        server = self._server = build_server(
            self.faults,
            {
                publisher.SERVICE: (NAME, self._publisher.handlers()),
                subscriber.SERVICE: (NAME, self._subscriber.handlers()),
            },
        )
        port = server.add_insecure_port(self.host)
        self.host = f"{self.host.rpartition(':')[0]}:{port}"
        await server.start()
        self._clock = asyncio.create_task(self._keep_time())

    async def stop(self) -> None:
        """Ends streams, lets other calls finish, and then keeps what there is."""
        self._subscriber.streaming.close()
        if self._server is not None:
            await self._server.stop(GRACE_SECONDS)
        if self._clock is not None:
            self._clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._clock
        if self._data_dir is not None:
            archive.save(self.broker, self._data_dir)

    async def _keep_time(self) -> None:
        expired = time.monotonic()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            self.broker.tick(now)
            if now - expired >= EXPIRE_SECONDS:
                expired = now
                self.broker.expire()
