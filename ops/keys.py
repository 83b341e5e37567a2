"""`python -m ops keys`: the API keys of a resource, which are the versions of its secret.

To rotate: add a key, move its producers, disable the old version. Endpoints follow within
KEY_REFRESH_SECONDS, without a restart.
"""

import argparse
import json
import re
import secrets
import sys
from collections.abc import Sequence
from typing import Any, Final

from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud.secretmanager_v1 import SecretManagerServiceClient, SecretVersion
from rich import box
from rich.table import Table

from functions import auth
from functions.secret_store import SecretVersion as StoredVersion
from ops import connection
from ops.connection import Connection, ConnectionNotFoundError
from ops.terminal import console
from schemas.registry import load_registry

KEY_BYTES: Final = 32
USAGE: Final = 2
CALL_SECONDS: Final = 20.0
_ENABLED: Final = SecretVersion.State.ENABLED
# It becomes `created_by` of every record, so it should read well.
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")


class KeysError(Exception):
    """A change that should not be made, or cannot."""


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0, 1 where Secret Manager refuses, 2 for a wrong call."""
    options = _parser().parse_args(argv)
    secret = f"{options.resource}-api-key"
    try:
        with connection.connect(options) as system:
            _run(options, system, secret)
    except ConnectionNotFoundError as error:
        print(f"keys: {error}", file=sys.stderr)
        return USAGE
    except KeysError as error:
        print(f"keys: {error}", file=sys.stderr)
        return 1
    except NotFound:
        print(f"keys: there is no such secret or version: {secret}", file=sys.stderr)
        return 1
    except (GoogleAPICallError, GoogleAuthError) as error:
        print(f"keys: Secret Manager: {type(error).__name__}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    resources = list(load_registry())
    parser = argparse.ArgumentParser(prog="python -m ops keys", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    purposes = {
        "add": "make a random key and print it, this once",
        "list": "versions, their state and age; never a key",
        "disable": "let a version's keys no longer in",
        "enable": "let them in again",
        "destroy": "remove a version's keys for ever",
    }
    for action, purpose in purposes.items():
        sub = actions.add_parser(action, help=purpose)
        sub.add_argument("resource", choices=resources, metavar="RESOURCE")
        connection.add_arguments(sub)
        if action == "add":
            sub.add_argument(
                "--id", type=_key_id, help="whose key it is; its version, such as v3, unless given"
            )
        elif action == "list":
            sub.add_argument(
                "--ids", action="store_true", help="read the enabled versions for their keys' ids"
            )
        else:
            sub.add_argument("version", type=int, metavar="VERSION")
        if action in ("disable", "destroy"):
            sub.add_argument(
                "--last", action="store_true", help="even if no enabled version would be left"
            )
    return parser


def _key_id(text: str) -> str:
    if not _KEY_ID.fullmatch(text):
        raise argparse.ArgumentTypeError("an id has 1 to 128 of A-Z, a-z, 0-9, . _ @ and -")
    return text


def _run(options: argparse.Namespace, system: Connection, secret: str) -> None:
    client = system.secrets
    parent = f"projects/{system.project}/secrets/{secret}"
    if options.action == "add":
        _add(client, parent, options.id)
        return
    if options.action == "list":
        _list(client, parent, with_ids=options.ids)
        return
    name = f"{parent}/versions/{options.version}"
    if options.action in ("disable", "destroy") and not options.last:
        _refuse_last(client, parent, name)
    change: Any = getattr(client, f"{options.action}_secret_version")
    version = change(request={"name": name}, timeout=CALL_SECONDS)
    print(f"version {options.version} of {secret} is {_state(version)}")


def _add(client: SecretManagerServiceClient, parent: str, key_id: str | None) -> None:
    key = secrets.token_urlsafe(KEY_BYTES)
    payload = json.dumps({key_id: key}) if key_id else key
    version = client.add_secret_version(
        request={"parent": parent, "payload": {"data": payload.encode()}}, timeout=CALL_SECONDS
    )
    number = _number(version)
    print(
        f"version {number}, key id {key_id or f'v{number}'}; the key is shown this once:",
        file=sys.stderr,
    )
    print(key)


def _list(client: SecretManagerServiceClient, parent: str, *, with_ids: bool) -> None:
    table = Table("version", "state", "created", box=box.SIMPLE)
    if with_ids:
        table.add_column("key ids")
    for version in _versions(client, parent):
        row = [_number(version), _state(version), f"{version.create_time:%Y-%m-%d %H:%M}Z"]
        if with_ids:
            row.append(_ids(client, version) if version.state == _ENABLED else "")
        table.add_row(*row)
    console().print(table)


def _ids(client: SecretManagerServiceClient, version: SecretVersion) -> str:
    answer = client.access_secret_version(request={"name": version.name}, timeout=CALL_SECONDS)
    try:
        keys = auth.parse_payload(StoredVersion(_number(version), answer.payload.data))
    except ValueError:
        return "(holds no keys)"
    return ", ".join(keys)


def _refuse_last(client: SecretManagerServiceClient, parent: str, name: str) -> None:
    number = name.rpartition("/")[2]
    enabled = {_number(v) for v in _versions(client, parent) if v.state == _ENABLED}
    if enabled == {number}:
        raise KeysError(
            f"version {number} is the last that is enabled: without it nobody can send. "
            "Add a key first, or say --last"
        )


def _versions(client: SecretManagerServiceClient, parent: str) -> list[SecretVersion]:
    return list(client.list_secret_versions(request={"parent": parent}, timeout=CALL_SECONDS))


def _number(version: SecretVersion) -> str:
    return str(version.name).rpartition("/")[2]


def _state(version: SecretVersion) -> str:
    return str(SecretVersion.State(version.state).name).lower()
