"""The Functions Framework's synchronous target `status`: what became of a record.

functions-framework --source functions/status_main.py --target status

Apart from the endpoint: it waits for BigQuery, whose client takes a second to import.
"""

import asyncio
import atexit
import os
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

# The framework loads this file by its path and puts only its folder on sys.path.
_ROOT = str(Path(__file__).resolve().parent.parent)
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)

import flask  # noqa: E402 (after the path is set, like those below)
import functions_framework  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402
from google.cloud import bigquery  # noqa: E402

from functions import logging  # noqa: E402
from functions.audit import Clock, UuidV7  # noqa: E402
from functions.auth import KeyRing  # noqa: E402
from functions.background_loop import BackgroundLoop  # noqa: E402
from functions.client_address import ClientHash  # noqa: E402
from functions.event_publisher import EventPublisher  # noqa: E402
from functions.event_status import EventStatus  # noqa: E402
from functions.google_rpc import google_credentials, open_channel  # noqa: E402
from functions.ledger import Ledger  # noqa: E402
from functions.secret_store import SecretStore  # noqa: E402
from functions.status import StatusService  # noqa: E402
from functions.status_settings import StatusSettings  # noqa: E402
from functions.throttle import Guard  # noqa: E402
from functions.topic import Topic  # noqa: E402
from schemas.registry import AUDIT_LOG, load_registry, load_system_registry  # noqa: E402

_SETTLE_SECONDS = 2.0


def open_service(settings: StatusSettings) -> StatusService:
    """Build the service, in the process that serves: connections do not survive a fork."""
    common = settings.endpoint
    emulated = common.pubsub_emulator_host and common.secret_manager_emulator_host
    credentials = None if emulated else google_credentials()
    background = BackgroundLoop()
    registry = load_registry()

    async def build() -> tuple[dict[str, KeyRing], Ledger]:
        pubsub = _channel(common.pubsub_emulator_host, common.pubsub_endpoint, credentials)
        secrets = _channel(
            common.secret_manager_emulator_host, common.secret_manager_endpoint, credentials
        )
        store = SecretStore(secrets, common.project_id)
        refresh, stale = common.key_refresh_seconds, common.key_max_stale_seconds
        keys = {name: KeyRing(f"{name}-api-key", store, refresh, stale) for name in registry}
        contract = load_system_registry()[AUDIT_LOG]
        topic, clock = Topic(pubsub, common.project_id, contract.name), Clock()
        timeout = common.publish_timeout_seconds
        ledger = Ledger(
            publisher=EventPublisher(topic, contract, clock, timeout),
            ids=UuidV7(),
            clock=clock,
            clients=ClientHash(common.forwarded_for_position),
            timeout=timeout,
        )
        return keys, ledger

    keys, ledger = background.call(build(), timeout=30)
    background.start(ledger.keep_anchored())
    background.start(_keep_fresh(keys))
    atexit.register(lambda: background.call(ledger.settle(_SETTLE_SECONDS), 2 * _SETTLE_SECONDS))
    events = EventStatus(
        _bigquery(settings),
        f"{common.project_id}.{settings.dataset}",
        f"{common.project_id}.{settings.ops_dataset}",
        settings.status_timeout_seconds,
        timedelta(days=settings.status_lookback_days),
    )
    return StatusService(
        resources=registry,
        keys=keys,
        background=background,
        ledger=ledger,
        events=events,
        guard=Guard(common.refused_keys_per_minute, settings.status_requests_per_minute),
        forwarded_for_position=common.forwarded_for_position,
    )


async def _keep_fresh(keys: dict[str, KeyRing]) -> None:
    await asyncio.gather(*(ring.keep_fresh() for ring in keys.values()))


def _channel(emulator: str | None, endpoint: str, credentials: Any | None) -> Any:
    return open_channel(emulator, None) if emulator else open_channel(endpoint, credentials)


def _bigquery(settings: StatusSettings) -> bigquery.Client:
    url, project = settings.bigquery_emulator_host, settings.endpoint.project_id
    if url is None:
        return bigquery.Client(project=project)
    anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call] # untyped
    return bigquery.Client(
        project=project, credentials=anonymous, client_options={"api_endpoint": url}
    )


class _Target:
    """The target; what is wrong with its settings shows before the server accepts connections."""

    def __init__(self) -> None:
        self.settings: StatusSettings | None = None
        self._service: StatusService | None = None
        self._lock = threading.Lock()

    def service(self) -> StatusService:
        with self._lock:
            if self._service is None:
                self._service = open_service(self.settings or StatusSettings.from_env(os.environ))
            return self._service


_target = _Target()


@functions_framework.http
def status(request: flask.Request) -> flask.Response:
    """Answer one request."""
    return _target.service()(request)


# The framework sets it before it loads this file.
if os.environ.get("FUNCTION_TARGET") == status.__name__:
    _target.settings = StatusSettings.from_env(os.environ)
    logging.configure(_target.settings.endpoint.log_level)
