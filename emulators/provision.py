"""Sets up the embedded stack as Terraform sets up a project, with Google's clients.

All of it can be done again on a stack that kept its state: what is there is left as it is.
"""

import json
import secrets
from collections.abc import Iterable
from typing import Any, Final

import grpc
from google.api_core.exceptions import AlreadyExists, Conflict, NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, secretmanager_v1
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from schemas.bigquery import DATA, load_tables, load_views

ACK_DEADLINE_SECONDS: Final = 60
KEY_ID: Final = "local"
KEY_BYTES: Final = 32
TIMEOUT_SECONDS: Final = 20


def provision_pubsub(host: str, project: str, resources: Iterable[str]) -> None:
    """Creates the topic of each kind of record and the subscription that the pipeline reads."""
    with grpc.insecure_channel(host) as channel:
        publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        for resource in resources:
            topic = f"projects/{project}/topics/{resource}"
            subscription = {
                "name": f"projects/{project}/subscriptions/{resource}-pipeline",
                "topic": topic,
                "ack_deadline_seconds": ACK_DEADLINE_SECONDS,
            }
            _make(publisher.create_topic, {"name": topic})
            _make(subscriber.create_subscription, subscription)


def provision_secrets(host: str, project: str, resources: Iterable[str]) -> dict[str, str]:
    """Creates each resource's secret with a random key; returns the keys by resource."""
    with grpc.insecure_channel(host) as channel:
        transport = SecretManagerServiceGrpcTransport(channel=channel)
        client = secretmanager_v1.SecretManagerServiceClient(transport=transport)
        return {resource: _api_key(client, project, resource) for resource in resources}


def _api_key(client: Any, project: str, resource: str) -> str:
    name = f"{resource}-api-key"
    path = f"projects/{project}/secrets/{name}"
    request = {
        "parent": f"projects/{project}",
        "secret_id": name,
        "secret": {"replication": {"automatic": {}}},
    }
    _make(client.create_secret, request)
    try:
        latest = client.access_secret_version(
            {"name": f"{path}/versions/latest"}, timeout=TIMEOUT_SECONDS
        )
        kept: dict[str, str] = json.loads(latest.payload.data)
        return kept[KEY_ID]
    except NotFound:
        key = secrets.token_urlsafe(KEY_BYTES)
        payload = {"data": json.dumps({KEY_ID: key}).encode()}
        client.add_secret_version({"parent": path, "payload": payload}, timeout=TIMEOUT_SECONDS)
        return key


def provision_bigquery(url: str, project: str, dataset: str, ops_dataset: str) -> None:
    """Creates the datasets, and every table and view that `schemas` generates."""
    client = bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call] # It has no types.
        client_options={"api_endpoint": url},
    )
    try:
        for name in (dataset, ops_dataset):
            _make(client.create_dataset, f"{project}.{name}")
        for table in load_tables():
            home = dataset if table["dataset"] == DATA else ops_dataset
            names = {"projectId": project, "datasetId": home, "tableId": table["tableId"]}
            body = {key: table[key] for key in table if key not in ("dataset", "tableId")}
            resource = {**body, "tableReference": names}
            _make(client.create_table, bigquery.Table.from_api_repr(resource))
        for view in load_views(project, dataset, ops_dataset):
            definition = bigquery.Table(f"{project}.{view.dataset}.{view.name}")
            definition.view_query = view.sql
            _make(client.create_table, definition)
    finally:
        client.close()  # type: ignore[no-untyped-call] # It has no types.


def _make(create: Any, what: Any) -> None:
    try:
        create(what, timeout=TIMEOUT_SECONDS)
    except (AlreadyExists, Conflict):
        return
