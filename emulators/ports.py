"""Ports of this machine: which to take, whether one is free, and a free one."""

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

HOST: Final = "127.0.0.1"
HIGHEST: Final = 65_535


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of the stack; 0 is a free one."""

    endpoint: int = 0
    status: int = 0
    pubsub: int = 0
    secret_manager: int = 0
    bigquery: int = 0
    bigquery_storage: int = 0

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Reads the variables; raises ValueError naming the one that is wrong."""
        return cls(
            endpoint=_port(env, "PORT"),
            status=_port(env, "STATUS_PORT"),
            pubsub=_port(env, "PUBSUB_PORT"),
            secret_manager=_port(env, "SECRET_MANAGER_PORT"),
            bigquery=_port(env, "BIGQUERY_PORT"),
            bigquery_storage=_port(env, "BIGQUERY_STORAGE_PORT"),
        )


def free_port() -> int:
    """A port that was free a moment ago, for a server that cannot choose one itself."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def check_free(port: int) -> None:
    """Raises OSError, in words that a person understands, if the port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise OSError(error.errno, f"port {port} of {HOST} is taken") from None


def _port(env: Mapping[str, str], name: str) -> int:
    text = env.get(name) or "0"
    if not text.isdecimal() or int(text) > HIGHEST:
        raise ValueError(f"{name} is a port, a number up to {HIGHEST}; it is {text!r}")
    return int(text)
