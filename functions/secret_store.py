"""Reads the enabled versions of a secret from Secret Manager."""

import asyncio
from typing import Final, NamedTuple

import grpc.aio

from functions.google_rpc import (
    ENABLED,
    AccessSecretVersionRequest,
    AccessSecretVersionResponse,
    ListSecretVersionsRequest,
    ListSecretVersionsResponse,
    Rpc,
)

CALL_TIMEOUT_SECONDS: Final = 3.0


class SecretVersion(NamedTuple):
    """One version of a secret; its payload does not show in its repr."""

    number: str
    payload: bytes

    def __repr__(self) -> str:
        return f"SecretVersion(number={self.number!r}, payload=***)"


class SecretStore:
    """Secret Manager, as a key ring needs it."""

    def __init__(self, channel: grpc.aio.Channel, project_id: str) -> None:
        service = "/google.cloud.secretmanager.v1.SecretManagerService"
        self._project = f"projects/{project_id}"
        self._list = Rpc(
            channel, f"{service}/ListSecretVersions", ListSecretVersionsResponse, "parent"
        )
        self._access = Rpc(
            channel, f"{service}/AccessSecretVersion", AccessSecretVersionResponse, "name"
        )

    async def enabled_versions(self, secret: str) -> list[SecretVersion]:
        """Return every enabled version, newest first.

        Raises:
            RpcError: Any of the calls failed.
        """
        parent = f"{self._project}/secrets/{secret}"
        names: list[str] = []
        token = ""
        while True:
            request = ListSecretVersionsRequest(
                parent=parent, filter="state:ENABLED", page_token=token
            )
            page = await self._list(request, parent, CALL_TIMEOUT_SECONDS)
            # Checked again, as a filter is a matter of the server's goodwill.
            names += [version.name for version in page.versions if version.state == ENABLED]
            token = page.next_page_token
            if not token:
                break
        return list(await asyncio.gather(*map(self._read, names)))

    async def _read(self, name: str) -> SecretVersion:
        response = await self._access(
            AccessSecretVersionRequest(name=name), name, CALL_TIMEOUT_SECONDS
        )
        return SecretVersion(name.rpartition("/")[2], response.payload.data)
