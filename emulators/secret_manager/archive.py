"""Keeps the secrets from one run to the next, in one file that only its owner can read.

Written once, when the emulator ends in good order; one that is killed leaves its last good end.
"""

import base64
import json
import os
from pathlib import Path
from typing import Final

from emulators.secret_manager.vault import Secret, SecretConfig, Vault, Version, VersionConfig

FILE_NAME: Final = "secrets.json"
OWNER_ONLY: Final = 0o600


def save(vault: Vault, folder: Path) -> None:
    """Replaces the file in `folder` in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    document = [
        {
            "config": _text(secret.config.SerializeToString()),
            "versions": [
                {
                    "config": _text(version.config.SerializeToString()),
                    "payload": _text(version.payload),
                }
                for version in secret.versions
            ],
        }
        for secret in vault.secrets.values()
    ]
    path = folder / FILE_NAME
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    # Never readable by others, not even for the moment before a chmod.
    with os.fdopen(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_EXCL, OWNER_ONLY), "w") as file:
        json.dump(document, file)
    new.replace(path)


def load(vault: Vault, folder: Path) -> None:
    """Fills an empty vault from the file in `folder`, if there is one."""
    path = folder / FILE_NAME
    if not path.exists():
        return
    for entry in json.loads(path.read_text()):
        config = SecretConfig.FromString(base64.b64decode(entry["config"]))
        versions = [
            Version(
                VersionConfig.FromString(base64.b64decode(version["config"])),
                base64.b64decode(version["payload"]),
            )
            for version in entry["versions"]
        ]
        vault.secrets[config.name] = Secret(config, versions)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
