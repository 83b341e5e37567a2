"""BigQuery on this machine: REST and the Storage API of one bqemulator, strict, with faults."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from emulators.bigquery import cures
from emulators.bigquery.rest import ROUTES, StrictRest
from emulators.bigquery.rest import SERVICE as REST_SERVICE
from emulators.bigquery.write_handler import GRPC_SERVICE, METHODS, StrictWriteHandler
from emulators.bigquery.write_handler import SERVICE as WRITE_SERVICE
from emulators.fault_server import FaultInterceptor
from emulators.faults import FaultInjector
from emulators.hosting import Hosted
from emulators.ports import HOST, check_free

# What a fault rule may name.
SERVICES: Final = {REST_SERVICE: tuple(ROUTES), WRITE_SERVICE: METHODS}


class BigQueryEmulator(Hosted):
    """Serves within `with` (from a thread of its own) or `async with`.

    `data_dir` keeps the data between runs; without it, they end with the emulator. A port of 0
    is a free one.
    """

    def __init__(
        self,
        *,
        project: str = "demo-project",
        data_dir: Path | None = None,
        rest_port: int = 0,
        grpc_port: int = 0,
        faults: FaultInjector | None = None,
    ) -> None:
        super().__init__()
        self.faults = faults or FaultInjector(SERVICES)
        self._ports = (rest_port, grpc_port)
        self._appends = ThreadPoolExecutor(2, thread_name_prefix="bigquery-append")
        mode = cures.PersistenceMode
        self._server = cures.Server(
            cures.Settings(
                rest_host=HOST,
                rest_port=rest_port,
                grpc_host=HOST,
                grpc_port=grpc_port,
                persistence_mode=mode.PERSISTENT if data_dir else mode.EPHEMERAL,
                data_dir=data_dir,
                default_project_id=project,
                enable_format_extensions=False,  # Else it tries to download `avro`.
                query_cache_ttl_seconds=0,
                metrics_enabled=False,
                tracing_enabled=False,
                otlp_endpoint=None,
                admin_enabled=False,
            ),
            write_handler=lambda context: StrictWriteHandler(context, self.faults, self._appends),
            wrap_app=lambda app, context: StrictRest(app, context, self.faults),
            interceptors=[FaultInterceptor(self.faults, {GRPC_SERVICE: WRITE_SERVICE})],
        )

    @property
    def rest_url(self) -> str:
        """Base URL of REST, for `api_endpoint` and BIGQUERY_EMULATOR_HOST."""
        return f"http://{HOST}:{self._server.rest_port}"

    @property
    def grpc_host(self) -> str:
        """host:port of the Storage API, plaintext."""
        return f"{HOST}:{self._server.grpc_port}"

    async def start(self) -> None:
        """Returns when both ports answer; raises OSError if a port that was asked for is taken."""
        for port in self._ports:
            check_free(port)
        cures.load_spatial()
        await self._server.start()

    async def stop(self) -> None:
        """Ends both servers and closes the database."""
        await self._server.stop()
        self._appends.shutdown()
