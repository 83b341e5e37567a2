"""The embedded stack as processes: what it provides, keeps and leaves behind."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from emulators.child import ROOT, ChildError
from emulators.folder_lock import FolderInUseError
from emulators.ports import Ports
from emulators.stack import STACK_FILE, Stack
from schemas.bigquery import load_tables, load_views
from schemas.registry import load_registry, load_system_registry

INFO_KEYS = {
    "project",
    "dataset",
    "ops_dataset",
    "endpoint",
    "status",
    "api_keys",
    "pubsub",
    "secret_manager",
    "bigquery_rest",
    "bigquery_grpc",
    "faults",
}
EMULATORS_ONLY = """
import sys, time
from pathlib import Path
from emulators.signals import exit_on_signals
from emulators.stack import Stack
exit_on_signals()
with Stack(Path(sys.argv[1]), endpoint=False, pipeline=False):
    time.sleep(60)
"""


def eventually(check: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def processes_of(folder: Path) -> list[str]:
    """The command lines of running processes that name the folder."""
    command = ["ps", "-ww", "-eo", "pid=,args="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(folder) in line]


def test_stack_is_provisioned_and_keeps_its_state(tmp_path: Path) -> None:
    keys = []
    for run in (1, 2):
        with Stack(tmp_path, persist=True, endpoint=False, pipeline=False) as stack:
            info = json.loads((tmp_path / STACK_FILE).read_text())
            assert info == stack.info
            assert set(info) == INFO_KEYS
            assert len(processes_of(tmp_path)) == 2
            assert (tmp_path / STACK_FILE).stat().st_mode & 0o777 == 0o600
            keys.append(info["api_keys"])
            client = bigquery.Client(
                info["project"],
                AnonymousCredentials(),
                client_options={"api_endpoint": info["bigquery_rest"]},
            )
            if run == 1:
                _check_provisioned(info, client)
                with (
                    pytest.raises(FolderInUseError),
                    Stack(tmp_path, endpoint=False, pipeline=False),
                ):
                    pass
                stack.check()
                client.query("CREATE TABLE healthcare.kept (n INT64)").result()
            assert client.get_table("healthcare.kept").num_rows == 0
            client.close()
        assert processes_of(tmp_path) == []
        assert not (tmp_path / STACK_FILE).exists()
    assert keys[0] == keys[1]
    assert set(keys[0]) == set(load_registry())
    assert len(set(keys[0].values())) == len(keys[0])


def _check_provisioned(info: dict[str, str], client: bigquery.Client) -> None:
    found = {
        table.table_id
        for name in (info["dataset"], info["ops_dataset"])
        for table in client.list_tables(name)
    }
    views = load_views(info["project"], info["dataset"], info["ops_dataset"])
    assert found == {table["tableId"] for table in load_tables()} | {view.name for view in views}
    with grpc.insecure_channel(info["pubsub"]) as channel:
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        listed = subscriber.list_subscriptions(project=f"projects/{info['project']}")
        names = {subscription.name.rpartition("/")[2] for subscription in listed}
    records = [*load_registry(), *load_system_registry()]
    assert names == {f"{name}-pipeline" for name in records}


def test_process_that_ends_early_is_told_and_the_others_are_ended(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ChildError, match=f"(?s)bigquery ended.*port {port} .* is taken"),
            Stack(tmp_path, ports=Ports(bigquery=port), endpoint=False, pipeline=False),
        ):
            pass
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGHUP], ids=["killed", "terminal closed"]
)
def test_nothing_is_left_of_a_stack_whose_process_ends(
    tmp_path: Path, number: signal.Signals
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", EMULATORS_ONLY, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        # The emulators run, and one of them still starts.
        assert eventually((tmp_path / "ready" / "pubsub").exists, 60)
        assert len(processes_of(tmp_path)) >= 2
        parent.send_signal(number)
        parent.wait(30)
    finally:
        parent.kill()
        parent.wait()
    assert eventually(lambda: not processes_of(tmp_path), 20), processes_of(tmp_path)


def test_up_serves_until_down(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "emulators"]
    folder = ["--folder", str(tmp_path)]
    with (tmp_path / "output").open("w+") as output:
        up = subprocess.Popen([*command, "up", *folder], cwd=ROOT, stdout=output, stderr=output)
        try:
            assert eventually((tmp_path / STACK_FILE).exists, 90), up.poll()
            info = json.loads((tmp_path / STACK_FILE).read_text())
            assert httpx.get(f"{info['endpoint']}/readyz").status_code == 200
            again = subprocess.run(
                [*command, "up", *folder],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert again.returncode == 1
            assert f"(process {up.pid})" in again.stderr
            answers = _paste((tmp_path / "output").read_text())
            assert '"accepted":1' in answers["curl"]
            assert "n" in answers["BIGQUERY_EMULATOR_HOST"]
            assert "| n |" in answers.get("bq", "| n |")
        finally:
            down = subprocess.run([*command, "down", *folder], cwd=ROOT, timeout=90, check=False)
        assert down.returncode == 0
        assert up.wait(30) == 0
        output.seek(0)
        shown = output.read()
    for value in (info["endpoint"], *info["api_keys"].values()):
        assert value in shown
    assert processes_of(tmp_path) == []


def _paste(shown: str) -> dict[str, str]:
    """What the lines to paste print, by the word that each begins with."""
    printed = {}
    for block in shown.split("\n\n"):
        word = re.split(r"[ =]", block, maxsplit=1)[0]
        if word in ("curl", "bq", "BIGQUERY_EMULATOR_HOST") and shutil.which(
            word if word.islower() else "bash"
        ):
            done = subprocess.run(
                ["bash", "-c", block],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, (block, done.stdout, done.stderr)
            printed[word] = done.stdout
    return printed
