"""The Functions Framework's targets: one for each resource, and `all` of them in one process.

functions-framework --asgi --source functions/main.py --target <resource or all>
"""

import gc
import os
import sys
from collections.abc import Mapping
from pathlib import Path

# The framework loads this file by its path and puts only its folder on sys.path.
_ROOT = str(Path(__file__).resolve().parent.parent)
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)

import functions_framework.aio  # noqa: E402 (after the path is set, like those below)
from starlette.requests import Request  # noqa: E402
from starlette.types import Receive, Scope, Send  # noqa: E402
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]  # noqa: E402 (no types)

from functions import logging  # noqa: E402
from functions.answer import Answer  # noqa: E402
from functions.app import App, create_app  # noqa: E402
from functions.connection import bounded  # noqa: E402
from functions.google_rpc import google_credentials  # noqa: E402
from functions.settings import Settings  # noqa: E402
from schemas.registry import (  # noqa: E402
    AUDIT_LOG,
    Resource,
    load_registry,
    load_system_registry,
)
from schemas.validation import Validator  # noqa: E402

ALL = "all"


# At Python's own pace the search for cyclic garbage, which requests hardly make, takes a tenth of
# the time: every 700 allocations it looks through all that waits for Pub/Sub.
_GC_THRESHOLDS = (50_000, 20, 20)


class Target:
    """One target; what can fail fails in `prepare`, before the server accepts connections."""

    def __init__(self, resources: Mapping[str, Resource]) -> None:
        self.app: App | None = None
        self._resources = resources

    def prepare(self) -> None:
        """Read the settings, compile the contracts and find credentials, once for all workers."""
        self._settings = Settings.from_env(os.environ)
        logging.configure(self._settings.log_level)
        # The framework starts this worker without an option for what it is made with. Its own dict
        # is left alone; there are no web sockets here.
        UvicornWorker.CONFIG_KWARGS = {
            **UvicornWorker.CONFIG_KWARGS,
            "http": bounded(
                self._settings.header_timeout_seconds, self._settings.max_connections, self
            ),
            "ws": "none",
        }
        self._validators = {name: Validator(r) for name, r in self._resources.items()}
        emulated = (
            self._settings.pubsub_emulator_host and self._settings.secret_manager_emulator_host
        )
        self._credentials = None if emulated else google_credentials()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the framework's own server, as an ASGI application."""
        answer = await self.answer(scope, receive)
        await answer(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
        """Return the answer to one request."""
        return await (self.app or self.open())(scope, receive)

    def open(self) -> App:
        """Start the application; by the first request, as connections do not survive the fork."""
        self.app = create_app(
            self._settings, self._resources, self._validators, _AUDIT_LOG, self._credentials
        )
        self.app.start()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        return self.app


TARGETS: dict[str, Target] = {}


def _define(name: str, resources: Mapping[str, Resource]) -> None:
    """Add a target to this module, where the framework looks for it by its name."""
    target = TARGETS[name] = Target(resources)

    async def function(request: Request) -> Answer:
        return await target.answer(request.scope, request.receive)

    if name in globals():
        raise ValueError(f"a resource cannot be named {name!r}: functions/main.py uses that name")
    function.__name__ = function.__qualname__ = name
    # Its types know of Starlette's own Response only; any ASGI application serves.
    globals()[name] = functions_framework.aio.http(function)  # type: ignore[arg-type]
    # The framework sets it before it loads this file. Other targets' settings are not asked for.
    if os.environ.get("FUNCTION_TARGET") == name:
        target.prepare()


_AUDIT_LOG = load_system_registry()[AUDIT_LOG]
_registry = load_registry()
for _name, _resource in _registry.items():
    _define(_name, {_name: _resource})
_define(ALL, _registry)
