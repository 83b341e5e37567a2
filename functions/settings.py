"""What the environment decides; read at start, so that a mistake stops the process at once."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from schemas import limits

# https://cloud.google.com/resource-manager/docs/creating-managing-projects; old ones have a domain.
_PROJECT_ID: Final = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_HOST_PORT: Final = re.compile(r"[^\s/:]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}")
# https://cloud.google.com/bigquery/docs/datasets#dataset-naming
_DATASET: Final = re.compile(r"[A-Za-z0-9_]{1,1024}")
_Number = TypeVar("_Number", int, float)
_LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingError(ValueError):
    """A variable is missing or wrong; the text names it and what it should be."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable} {problem}")
        self.variable = variable


@dataclass(frozen=True)
class Settings:
    """The endpoint's configuration; each field is the variable of the same name in upper case."""

    project_id: str
    pubsub_endpoint: str = "pubsub.googleapis.com:443"
    secret_manager_endpoint: str = "secretmanager.googleapis.com:443"  # noqa: S105 (an address)
    # An emulator's host:port; it is reached in plain text and without credentials.
    pubsub_emulator_host: str | None = None
    secret_manager_emulator_host: str | None = None
    key_refresh_seconds: float = 60
    key_max_stale_seconds: float = 900
    publish_timeout_seconds: float = 5
    # What may wait for Pub/Sub in one process, calls in flight included.
    publish_queue_messages: int = 20_000
    publish_queue_bytes: int = 40_000_000
    # From the end of the header to the end of the body.
    body_timeout_seconds: float = 30
    # What all bodies that are being read or parsed may hold together.
    body_memory_bytes: int = 32_000_000
    # Which entry of X-Forwarded-For, from the right, is the client; 0 for the connection's peer.
    forwarded_for_position: int = 1
    # Keys of one address that may be refused in a minute before it is refused itself; 0 for any.
    refused_keys_per_minute: int = 20
    # Requests of one key in a minute, as one process counts them; 0 for any.
    rate_limit_per_key: int = 0
    # For a header to arrive, from the connection's start or its first byte.
    header_timeout_seconds: float = 10
    # Open at once in one process.
    max_connections: int = 2_000
    log_level: str = "INFO"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Read the variables.

        Raises:
            SettingError: A variable is missing, malformed or out of its range.
        """
        body = limits.MAX_BODY_BYTES
        read = Reader(env)
        settings = cls(
            project_id=read.project(),
            pubsub_endpoint=read.host("PUBSUB_ENDPOINT") or cls.pubsub_endpoint,
            secret_manager_endpoint=(
                read.host("SECRET_MANAGER_ENDPOINT") or cls.secret_manager_endpoint
            ),
            pubsub_emulator_host=read.host("PUBSUB_EMULATOR_HOST"),
            secret_manager_emulator_host=read.host("SECRET_MANAGER_EMULATOR_HOST"),
            key_refresh_seconds=read.number("KEY_REFRESH_SECONDS", cls.key_refresh_seconds, 1),
            key_max_stale_seconds=read.number(
                "KEY_MAX_STALE_SECONDS", cls.key_max_stale_seconds, 1
            ),
            publish_timeout_seconds=read.number(
                "PUBLISH_TIMEOUT_SECONDS", cls.publish_timeout_seconds, 0.1, 60
            ),
            publish_queue_messages=read.integer(
                "PUBLISH_QUEUE_MESSAGES", cls.publish_queue_messages, limits.PUBSUB_MAX_MESSAGES
            ),
            # A body that is accepted has to fit, and grows by its audit columns.
            publish_queue_bytes=read.integer(
                "PUBLISH_QUEUE_BYTES", cls.publish_queue_bytes, 2 * body
            ),
            body_timeout_seconds=read.number(
                "BODY_TIMEOUT_SECONDS", cls.body_timeout_seconds, 0.1, 3600
            ),
            body_memory_bytes=read.integer("BODY_MEMORY_BYTES", cls.body_memory_bytes, 2 * body),
            forwarded_for_position=read.integer(
                "FORWARDED_FOR_POSITION", cls.forwarded_for_position, 0, 10
            ),
            refused_keys_per_minute=read.integer(
                "REFUSED_KEYS_PER_MINUTE", cls.refused_keys_per_minute, 0, 1_000_000
            ),
            rate_limit_per_key=read.integer(
                "RATE_LIMIT_PER_KEY", cls.rate_limit_per_key, 0, 1_000_000
            ),
            header_timeout_seconds=read.number(
                "HEADER_TIMEOUT_SECONDS", cls.header_timeout_seconds, 1, 3600
            ),
            max_connections=read.integer("MAX_CONNECTIONS", cls.max_connections, 1, 100_000),
            log_level=read.choice("LOG_LEVEL", cls.log_level, _LOG_LEVELS),
        )
        if settings.key_max_stale_seconds < settings.key_refresh_seconds:
            raise SettingError("KEY_MAX_STALE_SECONDS", "must not be less than KEY_REFRESH_SECONDS")
        return settings


class Reader:
    """Turns variables into values; an empty one counts as not set, as in a shell."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def project(self) -> str:
        """Return the id of the project."""
        value = self._env.get("PROJECT_ID") or self._env.get("GOOGLE_CLOUD_PROJECT")
        if not value:
            raise SettingError("PROJECT_ID", "is not set (GOOGLE_CLOUD_PROJECT would serve too)")
        if not _PROJECT_ID.fullmatch(value):
            raise SettingError("PROJECT_ID", f"is not a Google Cloud project id: {value!r}")
        return value

    def host(self, variable: str) -> str | None:
        """Return a host:port, if there is one."""
        value = self._env.get(variable)
        if not value:
            return None
        if not _HOST_PORT.fullmatch(value):
            raise SettingError(variable, f"must be host:port, not {value!r}")
        return value

    def url(self, variable: str) -> str | None:
        """Return the address of an emulator, if there is one."""
        value = self._env.get(variable)
        if not value:
            return None
        scheme, _, host = value.partition("://")
        if scheme != "http" or not _HOST_PORT.fullmatch(host):
            raise SettingError(variable, f"must be http://host:port, not {value!r}")
        return value

    def dataset(self, variable: str, default: str) -> str:
        """Return the name of a dataset."""
        value = self._env.get(variable) or default
        if not _DATASET.fullmatch(value):
            raise SettingError(
                variable, f"must be a dataset's name (letters, digits, _): {value!r}"
            )
        return value

    def number(self, variable: str, default: float, least: float, most: float = 86_400) -> float:
        """Return a number within bounds."""
        return self._between(variable, default, float, least, most)

    def integer(self, variable: str, default: int, least: int, most: int = 10**12) -> int:
        """Return an integer within bounds."""
        return self._between(variable, default, int, least, most)

    def choice(self, variable: str, default: str, options: tuple[str, ...]) -> str:
        """Return one of the options, in upper case."""
        value = (self._env.get(variable) or default).upper()
        if value not in options:
            raise SettingError(variable, f"must be one of {', '.join(options)}, not {value!r}")
        return value

    def _between(
        self,
        variable: str,
        default: _Number,
        parse: Callable[[str], _Number],
        least: _Number,
        most: _Number,
    ) -> _Number:
        text = self._env.get(variable)
        if not text:
            return default
        try:
            value = parse(text)
        except ValueError:
            raise SettingError(variable, f"must be a number, not {text!r}") from None
        if not least <= value <= most:  # also false for NaN
            raise SettingError(variable, f"must be from {least:,} to {most:,}, not {text!r}")
        return value
