"""Reads the API key with Google's client, from the emulator that its own variables cannot name."""

import os

import grpc
from google.cloud import secretmanager
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)


def access_api_key() -> str:
    """Return the latest version of the secret."""
    channel = grpc.insecure_channel(os.environ["SECRET_MANAGER_EMULATOR_HOST"])
    transport = SecretManagerServiceGrpcTransport(channel=channel)
    client = secretmanager.SecretManagerServiceClient(transport=transport)
    project = os.environ["PROJECT_ID"]
    name = f"projects/{project}/secrets/patients-api-key/versions/latest"
    key: str = client.access_secret_version(name=name).payload.data.decode()
    channel.close()
    return key
