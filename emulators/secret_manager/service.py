"""The service: https://cloud.google.com/secret-manager/docs/reference/rpc."""

from typing import Any, Final

import google_crc32c
from google.cloud.secretmanager_v1 import types
from google.protobuf import empty_pb2

from emulators.rpc import Handlers, page, unary
from emulators.secret_manager.listing import secret_filter, version_filter
from emulators.secret_manager.vault import State, Vault

SERVICE: Final = "google.cloud.secretmanager.v1.SecretManagerService"
MAX_PAGE: Final = 25_000

_ListSecretsResponse: Final[Any] = types.ListSecretsResponse.pb()
_ListSecretVersionsResponse: Final[Any] = types.ListSecretVersionsResponse.pb()
_AccessSecretVersionResponse: Final[Any] = types.AccessSecretVersionResponse.pb()


class SecretManager:
    """Answers with what the vault has."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def handlers(self) -> Handlers:
        """The service's methods."""
        return {
            "ListSecrets": unary(self.list_secrets, types.ListSecretsRequest.pb()),
            "CreateSecret": unary(self.create_secret, types.CreateSecretRequest.pb()),
            "AddSecretVersion": unary(self.add_secret_version, types.AddSecretVersionRequest.pb()),
            "GetSecret": unary(self.get_secret, types.GetSecretRequest.pb()),
            "UpdateSecret": unary(self.update_secret, types.UpdateSecretRequest.pb()),
            "DeleteSecret": unary(self.delete_secret, types.DeleteSecretRequest.pb()),
            "ListSecretVersions": unary(
                self.list_secret_versions, types.ListSecretVersionsRequest.pb()
            ),
            "GetSecretVersion": unary(self.get_secret_version, types.GetSecretVersionRequest.pb()),
            "AccessSecretVersion": unary(
                self.access_secret_version, types.AccessSecretVersionRequest.pb()
            ),
            "DisableSecretVersion": unary(
                self.disable_secret_version, types.DisableSecretVersionRequest.pb()
            ),
            "EnableSecretVersion": unary(
                self.enable_secret_version, types.EnableSecretVersionRequest.pb()
            ),
            "DestroySecretVersion": unary(
                self.destroy_secret_version, types.DestroySecretVersionRequest.pb()
            ),
        }

    def list_secrets(self, request: Any) -> Any:  # noqa: D102  # The service's reference says it.
        wanted = secret_filter(request.filter)
        prefix = f"{request.parent}/secrets/"
        found = {
            name: secret.config
            for name, secret in reversed(self._vault.secrets.items())
            if name.startswith(prefix) and wanted(secret)
        }
        kept, token = page(found, request.page_size, request.page_token, MAX_PAGE)
        return _ListSecretsResponse(
            secrets=[found[name] for name in kept],
            next_page_token=token,
            total_size=0 if request.filter else len(found),
        )

    def create_secret(self, request: Any) -> Any:  # noqa: D102  # As above.
        return self._vault.create(request.parent, request.secret_id, request.secret).config

    def add_secret_version(self, request: Any) -> Any:  # noqa: D102  # As above.
        return self._vault.add_version(request.parent, request.payload).config

    def get_secret(self, request: Any) -> Any:  # noqa: D102  # As above.
        return self._vault.secret(request.name).config

    def update_secret(self, request: Any) -> Any:  # noqa: D102  # As above.
        return self._vault.update(request.secret, request.update_mask.paths).config

    def delete_secret(self, request: Any) -> Any:  # noqa: D102  # As above.
        self._vault.delete(request.name, request.etag)
        return empty_pb2.Empty()

    def list_secret_versions(self, request: Any) -> Any:  # noqa: D102  # As above.
        wanted = version_filter(request.filter)
        found = {
            version.config.name: version.config
            for version in reversed(self._vault.secret(request.parent).versions)
            if wanted(version)
        }
        kept, token = page(found, request.page_size, request.page_token, MAX_PAGE)
        return _ListSecretVersionsResponse(
            versions=[found[name] for name in kept],
            next_page_token=token,
            total_size=0 if request.filter else len(found),
        )

    def get_secret_version(self, request: Any) -> Any:  # noqa: D102  # As above.
        return self._vault.version(request.name).config

    def access_secret_version(self, request: Any) -> Any:  # noqa: D102  # As above.
        version = self._vault.access(request.name)
        response = _AccessSecretVersionResponse(name=version.config.name)
        response.payload.data = version.payload
        response.payload.data_crc32c = google_crc32c.value(version.payload)
        return response

    def disable_secret_version(self, request: Any) -> Any:  # noqa: D102  # As above.
        return self._vault.set_state(request.name, State.DISABLED, request.etag).config

    def enable_secret_version(self, request: Any) -> Any:  # noqa: D102  # As above.
        return self._vault.set_state(request.name, State.ENABLED, request.etag).config

    def destroy_secret_version(self, request: Any) -> Any:  # noqa: D102  # As above.
        return self._vault.set_state(request.name, State.DESTROYED, request.etag).config
