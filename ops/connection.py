"""Finds the system that a command is about: a Google Cloud project, or this machine's stack."""

import argparse
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

STACK_FILE: Final = Path(__file__).resolve().parent.parent / ".local" / "stack.json"
DATASET: Final = "healthcare"
OPS_DATASET: Final = "healthcare_ops"
# gRPC would refuse messages over 4 MB; Pub/Sub takes more, see schemas.limits.
_UNLIMITED: Final = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class ConnectionNotFoundError(Exception):
    """Neither a project was named, nor does a stack run here."""


@dataclass
class Connection:
    """Names and clients of one system; a client is made when it is first asked for.

    Attributes:
        bigquery_url: Base URL of an emulator; None for Google's BigQuery.
        pubsub_host: host:port of an emulator; None for Google's Pub/Sub.
        secret_manager_host: host:port of an emulator; None for Google's Secret Manager.
        endpoint: Base URL, where it is known.
        api_keys: By resource, of a stack on this machine; of no other system.
    """

    project: str
    dataset: str
    ops_dataset: str
    bigquery_url: str | None = None
    pubsub_host: str | None = None
    secret_manager_host: str | None = None
    endpoint: str | None = None
    api_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    _exit: ExitStack = field(default_factory=ExitStack, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.close()

    @cached_property
    def bigquery(self) -> bigquery.Client:
        """A client of BigQuery."""
        options: dict[str, Any] = {}
        if self.bigquery_url:
            options["credentials"] = AnonymousCredentials()  # type: ignore[no-untyped-call]  # It has no types.
            options["client_options"] = {"api_endpoint": self.bigquery_url}
        client = bigquery.Client(project=self.project, **options)
        self._exit.callback(client.close)
        return client

    @cached_property
    def publisher(self) -> PublisherClient:
        """A client of Pub/Sub; it publishes when it is told to, without batching."""
        if not self.pubsub_host:
            return PublisherClient()
        channel = self._exit.enter_context(
            grpc.insecure_channel(self.pubsub_host, options=_UNLIMITED)
        )
        return PublisherClient(transport=PublisherGrpcTransport(channel=channel))

    @cached_property
    def secrets(self) -> SecretManagerServiceClient:
        """A client of Secret Manager."""
        if not self.secret_manager_host:
            return SecretManagerServiceClient()
        channel = self._exit.enter_context(grpc.insecure_channel(self.secret_manager_host))
        return SecretManagerServiceClient(
            transport=SecretManagerServiceGrpcTransport(channel=channel)
        )

    def topic_path(self, topic: str) -> str:
        """Return the full name of a topic."""
        return f"projects/{self.project}/topics/{topic}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `connect` reads."""
    group = parser.add_argument_group(
        "where", "The stack of this machine, if one runs and no project is named."
    )
    group.add_argument("--project", help="project id; PROJECT_ID or GOOGLE_CLOUD_PROJECT else")
    group.add_argument("--dataset", help=f"of the records; DATASET or {DATASET} else")
    group.add_argument("--ops-dataset", help=f"OPS_DATASET or {OPS_DATASET} else")
    group.add_argument("--stack", type=Path, help="a stack.json, which then says all of this")


def connect(
    options: argparse.Namespace,
    env: Mapping[str, str] = os.environ,
    stack_file: Path = STACK_FILE,
) -> Connection:
    """Return the connection that options, environment or a running stack ask for.

    A stack is taken as a whole or not at all: a command meant for a project must never reach
    what happens to run on this machine, nor the other way round.

    Raises:
        ConnectionNotFoundError: Nothing says where; the text tells what to do.
    """
    project = options.project or env.get("PROJECT_ID") or env.get("GOOGLE_CLOUD_PROJECT")
    if options.stack or not project:
        file = options.stack or stack_file
        if not file.exists():
            raise ConnectionNotFoundError(
                "name a project by --project or PROJECT_ID, or start a stack with `make up`"
                if not options.stack
                else f"{file} is not there: does its stack run?"
            )
        info = json.loads(file.read_text())
        return Connection(
            project=info["project"],
            dataset=info["dataset"],
            ops_dataset=info["ops_dataset"],
            bigquery_url=info["bigquery_rest"],
            pubsub_host=info["pubsub"],
            secret_manager_host=info.get("secret_manager"),
            endpoint=info.get("endpoint"),
            api_keys=info.get("api_keys", {}),
        )
    return Connection(
        project=project,
        dataset=options.dataset or env.get("DATASET") or DATASET,
        ops_dataset=options.ops_dataset or env.get("OPS_DATASET") or OPS_DATASET,
        bigquery_url=_url(env.get("BIGQUERY_EMULATOR_HOST")),
        pubsub_host=env.get("PUBSUB_EMULATOR_HOST") or None,
        secret_manager_host=env.get("SECRET_MANAGER_EMULATOR_HOST") or None,
        endpoint=env.get("ENDPOINT") or None,
    )


def _url(host: str | None) -> str | None:
    if not host or "://" in host:
        return host or None
    return f"http://{host}"
