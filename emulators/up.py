"""`make up` and `make down`: the embedded stack in the foreground, and its end from elsewhere."""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, Final

from emulators.child import ROOT, ChildError
from emulators.folder_lock import FolderInUseError, end_holder, holder
from emulators.ports import Ports
from emulators.signals import exit_on_signals
from emulators.stack import FOLDER, STACK_FILE, Stack

LOOK_SECONDS = 0.5
DOWN_SECONDS = 60.0


def up(argv: Sequence[str]) -> int:
    """Runs the stack until a signal; 1 if it cannot start or one of its processes ends."""
    parser = argparse.ArgumentParser(prog="python -m emulators up")
    parser.add_argument("--port", type=int, help="of the endpoint; PORT or a free one unless given")
    parser.add_argument("--persist", action="store_true", help="keep the state, as PERSIST=1 does")
    _add_folder(parser)
    options = parser.parse_args(argv)
    env = dict(os.environ)
    if options.port is not None:
        env["PORT"] = str(options.port)
    exit_on_signals()
    try:
        persist = options.persist or env.get("PERSIST", "0") not in ("", "0")
        stack = Stack(options.folder, persist=persist, ports=Ports.from_env(env))
        print("Starting the embedded stack ...", flush=True)
        with stack:
            print(banner(stack.info, stack.folder), flush=True)
            while True:
                stack.check()
                time.sleep(LOOK_SECONDS)
    except (ChildError, FolderInUseError, ValueError) as error:
        print(f"make up: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, SystemExit):
        print("\nThe stack has ended.")
        return 0


def down(argv: Sequence[str]) -> int:
    """Ends the stack of this folder; 1 if it does not end."""
    parser = argparse.ArgumentParser(prog="python -m emulators down")
    _add_folder(parser)
    folder = parser.parse_args(argv).folder
    if holder(folder) is None:
        print("No stack runs in this folder.")
        return 0
    if not end_holder(folder, DOWN_SECONDS):
        print(f"make down: the stack did not end within {DOWN_SECONDS:.0f} s", file=sys.stderr)
        return 1
    print("The stack has ended.")
    return 0


BANNER: Final = """\
Vitalflow is up. Ctrl-C ends it.

  endpoint          $endpoint   (API page: $endpoint/docs)
  state of events   $status
  BigQuery          $bigquery_rest
  BigQuery Storage  $bigquery_grpc
  Pub/Sub           $pubsub
  Secret Manager    $secret_manager
  faults            $pubsub_faults/faults  $bigquery_faults/faults

API keys
$keys

All of this is in $stack_file. To paste:

curl -sS $endpoint/v1/$resource -H 'x-api-key: $key' -H 'content-type: application/json' \\
  -d @$example

bq --oauth_access_token=none --api $bigquery_rest --project_id $project query \\
  --use_legacy_sql=false '$query'

BIGQUERY_EMULATOR_HOST=$bigquery_rest $python -c "from google.cloud import bigquery; \
from google.auth.credentials import AnonymousCredentials; \
c = bigquery.Client('$project', AnonymousCredentials()); print(*c.query('$query').result())"
"""


def banner(info: Mapping[str, Any], folder: Path) -> str:
    """What a person needs of a running stack: addresses, keys, three lines to paste."""
    keys = info["api_keys"]
    resource, key = next(iter(keys.items()))
    width = max(map(len, keys))
    names = {
        **info,
        "pubsub_faults": info["faults"]["pubsub"],
        "bigquery_faults": info["faults"]["bigquery"],
        "keys": "\n".join(f"  {name:{width}}  {value}" for name, value in keys.items()),
        "resource": resource,
        "key": key,
        "example": _example(resource),
        "query": f"SELECT COUNT(*) AS n FROM {info['dataset']}.{resource}",  # noqa: S608 - our names
        "python": sys.executable,
        "stack_file": folder / STACK_FILE,
    }
    return Template(BANNER).substitute(names)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the stack keeps its own")


def _example(resource: str) -> Path:
    passing = sorted((ROOT / "schemas" / "examples" / resource).glob("*.pass.json"))
    return passing[0].relative_to(ROOT)
