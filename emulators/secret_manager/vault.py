"""The secrets and their versions, and the rules that they follow."""

import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import google_crc32c
from google.cloud.secretmanager_v1 import types

from emulators.rpc import already_exists, failed_precondition, invalid, not_found, unimplemented
from schemas import limits

SecretConfig: Final[Any] = types.Secret.pb()
VersionConfig: Final[Any] = types.SecretVersion.pb()
State: Final[Any] = types.SecretVersion.State

# https://cloud.google.com/secret-manager/docs/reference/rpc/google.cloud.secretmanager.v1
_PROJECT: Final = re.compile(r"projects/[a-z0-9](?:[a-z0-9.:-]*[a-z0-9])?")
_SECRET_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_VERSION_ID: Final = re.compile(r"[1-9][0-9]*")
LATEST: Final = "latest"
UPDATABLE: Final = frozenset({"labels", "annotations"})
_UNSUPPORTED: Final = frozenset(
    {
        "customer_managed_encryption",
        "expire_time",
        "rotation",
        "topics",
        "ttl",
        "version_aliases",
        "version_destroy_ttl",
    }
)


@dataclass(slots=True)
class Version:
    """One version and, until it is destroyed, its payload. The payload is no part of `repr`."""

    config: Any
    payload: bytes = field(repr=False)


@dataclass(slots=True)
class Secret:
    """A secret and its versions, the oldest first: version n is at n - 1."""

    config: Any
    versions: list[Version] = field(default_factory=list)


class Vault:
    """Every secret, in order of creation. No message that it raises repeats a payload."""

    def __init__(self, now_nanos: Callable[[], int] = time.time_ns) -> None:
        self.secrets: dict[str, Secret] = {}
        self._now_nanos = now_nanos
        self._etags = count(now_nanos())

    def create(self, parent: str, secret_id: str, config: Any) -> Secret:
        """Adds a secret; raises StatusError."""
        if not _PROJECT.fullmatch(parent):
            raise invalid("parent has the form projects/PROJECT")
        if not _SECRET_ID.fullmatch(secret_id):
            raise invalid("secret_id is 1 to 255 of A-Z a-z 0-9 _ -")
        if not config.HasField("replication"):
            raise invalid("secret.replication is required")
        given = {descriptor.name for descriptor, _ in config.ListFields()}
        if wrong := sorted(given & _UNSUPPORTED):
            raise unimplemented(f"{', '.join(wrong)} is not part of the emulator")
        name = f"{parent}/secrets/{secret_id}"
        if name in self.secrets:
            raise already_exists("Secret already exists")
        stored = SecretConfig()
        stored.CopyFrom(config)
        stored.name = name
        self._stamp(stored)
        secret = self.secrets[name] = Secret(stored)
        return secret

    def secret(self, name: str) -> Secret:
        """The secret, or StatusError NOT_FOUND."""
        try:
            return self.secrets[name]
        except KeyError:
            raise not_found("Secret not found") from None

    def update(self, change: Any, paths: Collection[str]) -> Secret:
        """Replaces the fields `paths`; raises StatusError."""
        secret = self.secret(change.name)
        if not paths or not UPDATABLE.issuperset(paths):
            raise invalid(f"update_mask names some of {', '.join(sorted(UPDATABLE))}")
        _check_etag(secret.config, change.etag)
        for path in paths:
            secret.config.ClearField(path)
            getattr(secret.config, path).update(getattr(change, path))
        secret.config.etag = self._etag()
        return secret

    def delete(self, name: str, etag: str) -> None:
        """Removes a secret with all its versions; raises StatusError."""
        _check_etag(self.secret(name).config, etag)
        del self.secrets[name]

    def add_version(self, parent: str, payload: Any) -> Version:
        """Adds an enabled version; `payload` is a SecretPayload. Raises StatusError."""
        secret = self.secret(parent)
        if not payload.data:
            raise invalid("payload.data is required")
        if len(payload.data) > limits.SECRET_MAX_PAYLOAD_BYTES:
            raise invalid(f"payload.data has more than {limits.SECRET_MAX_PAYLOAD_BYTES} bytes")
        checked = payload.HasField("data_crc32c")
        if checked and payload.data_crc32c != google_crc32c.value(payload.data):
            raise invalid("payload.data_crc32c is not the checksum of payload.data")
        config = VersionConfig(
            name=f"{parent}/versions/{len(secret.versions) + 1}",
            state=State.ENABLED,
            client_specified_payload_checksum=checked,
        )
        config.replication_status.automatic.SetInParent()
        self._stamp(config)
        version = Version(config, payload.data)
        secret.versions.append(version)
        return version

    def version(self, name: str) -> Version:
        """The version, which may be called `latest`; raises StatusError."""
        parent, _, number = name.rpartition("/versions/")
        versions = self.secret(parent).versions
        if number == LATEST:
            if not versions:
                raise not_found("The secret has no version")
            return versions[-1]
        if not _VERSION_ID.fullmatch(number):
            raise invalid("A version is a number or latest")
        if int(number) > len(versions):
            raise not_found("Version not found")
        return versions[int(number) - 1]

    def access(self, name: str) -> Version:
        """The version, if its payload may be read; raises StatusError."""
        version = self.version(name)
        if version.config.state != State.ENABLED:
            state = State(version.config.state).name
            raise failed_precondition(f"The version is in {state} state")
        return version

    def set_state(self, name: str, state: Any, etag: str) -> Version:
        """Enables, disables or destroys a version; raises StatusError."""
        version = self.version(name)
        _check_etag(version.config, etag)
        if version.config.state == State.DESTROYED:
            raise failed_precondition("The version is in DESTROYED state")
        version.config.state = state
        version.config.etag = self._etag()
        if state == State.DESTROYED:
            version.payload = b""
            version.config.destroy_time.FromNanoseconds(self._now_nanos())
        return version

    def _stamp(self, config: Any) -> None:
        config.create_time.FromNanoseconds(self._now_nanos())
        config.etag = self._etag()

    def _etag(self) -> str:
        return f'"{next(self._etags):x}"'


def _check_etag(config: Any, etag: str) -> None:
    # https://cloud.google.com/secret-manager/docs/etags
    if etag and etag != config.etag:
        raise failed_precondition("The etag is not the current one")
