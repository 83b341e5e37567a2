"""The images, as far as they can be proved without Docker: installed, their files do their work."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators.provision import provision_pubsub, provision_secrets
from emulators.pubsub import PubSubEmulator
from emulators.secret_manager import SecretManagerEmulator
from ops.connection import Connection
from schemas.registry import load_registry, load_system_registry
from tests.fixtures.endpoint import example
from tests.fixtures.images import (
    IMAGES,
    ROOT,
    Image,
    context_files,
    environment,
    read_image,
    unpack,
)

DOCKERFILES = sorted({source.dockerfile for source in IMAGES.values()})
PROJECT = "demo-project"
RESOURCE = "patients"
EVENT_ID = "019c1c2e-5a70-7e55-9d0a-11c4b2a9f3e0"
INSTALL_SECONDS = 100  # Seconds with uv's cache; a first time downloads 600 MB.
START_SECONDS = 20
UV = Path(sys.executable).with_name("uv")
HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> Image:
    return read_image(request.param)


# -- what the files say


def test_an_image_gets_code_and_contracts_and_nothing_else(image: Image):
    origins = set(image.final.files.values()) - set(image.requirements())

    assert {name for name in origins if name.endswith(".schema.json")} == {
        str(path.relative_to(ROOT)) for path in (ROOT / "schemas").glob("*/*.schema.json")
    }
    assert {Path(name).suffix for name in origins} == {".py", ".json"}
    assert not any("examples" in name or "template" in name for name in origins)


def test_each_image_holds_its_own_package_only():
    packages = {
        name: {path.split("/")[2] for path in read_image(name).final.files if "/app/" in path}
        for name in IMAGES
    }

    assert packages == {
        "endpoint": {"functions", "schemas"},
        "status": {"functions", "schemas"},
        "pipeline": {"beam_pipeline", "schemas"},
    }


def test_each_image_has_pins_of_its_own():
    pins = {name: read_image(name).requirements() for name in IMAGES}

    assert pins == {
        "endpoint": ["requirements/functions.txt"],
        "status": ["requirements/status.txt"],
        "pipeline": ["requirements/pipeline.txt"],
    }


def test_the_build_context_holds_no_secret_and_no_rubbish():
    for name in context_files(ROOT):
        assert name.split("/")[0] in {"beam_pipeline", "functions", "requirements", "schemas"}
        assert "__pycache__" not in name


def test_bases_are_pinned_and_of_the_version_that_is_tested(image: Image):
    for argument in image.arguments.values():
        assert re.search(r":\d+\.\d+\.\d+|:\d{8}-rc\d\d", argument), f"{argument} is not pinned"
    assert image.final.base.startswith("python:3.11.")  # the pins are compiled for 3.11


def test_beam_in_the_image_is_the_beam_that_is_installed():
    beam = read_image("pipeline").arguments["BEAM_IMAGE"]
    pins = (ROOT / "requirements/pipeline.txt").read_text()

    assert re.findall(r"^apache-beam\S*==(\S+)", pins, re.MULTILINE) == [beam.split(":")[1]]


@pytest.mark.parametrize("name", ["endpoint", "status"])
def test_a_service_runs_without_rights_and_ends_on_the_signal_of_cloud_run(name: str):
    final = read_image(name).final

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", final.user)
    assert final.stopsignal == "SIGTERM"
    assert "FUNCTION_TARGET" not in final.env
    assert any("pip uninstall" in run for run in final.runs)
    assert "gcc" not in (ROOT / "functions/Dockerfile").read_text()


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is not installed")
@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing(name: str):
    done = subprocess.run([HADOLINT, ROOT / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# -- what the files do


def install(image: Image, folder: Path) -> Path:
    """Install the image's packages into a venv of their own; return its bin folder."""
    (requirements,) = image.requirements()
    venv = folder / "opt/venv"
    python = venv / "bin/python"
    for command in (
        ["venv", "--quiet", "--python", sys.executable, venv],
        [
            *("pip", "install", "--quiet", "--no-deps", "--require-hashes"),
            *("--python", python, "--requirement", ROOT / requirements),
        ],
        ["pip", "check", "--quiet", "--python", python],
    ):
        done = subprocess.run(
            [UV, *command], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
        if "error sending request" in done.stderr.lower():
            pytest.skip("a package is neither in uv's cache nor to be had from here")
        assert done.returncode == 0, done.stderr
    return python.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[tuple[httpx.Client, str]]:
    """The endpoint as its image would run it, in front of the emulators; and a key for it."""
    with serve("endpoint", tmp_path, RESOURCE) as (client, keys):
        yield client, keys[RESOURCE]


@contextmanager
def serve(
    name: str, tmp_path: Path, target: str, **env: str
) -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    """Run a service as its image would; yield a client of it, and the resources' keys."""
    image = read_image(name)
    resources = [target] if target in load_registry() else list(load_registry())
    bin_folder = install(image, tmp_path)
    unpack(image.final, tmp_path)
    program, *arguments = image.final.entrypoint
    port = free_port()
    with PubSubEmulator() as pubsub, SecretManagerEmulator() as secrets:
        provision_pubsub(pubsub.host, PROJECT, [*resources, *load_system_registry()])
        keys = provision_secrets(secrets.host, PROJECT, resources)
        process = subprocess.Popen(
            [bin_folder / program, *arguments],
            cwd=tmp_path / image.final.workdir.lstrip("/"),
            env=environment(image.final, tmp_path)
            | {
                "HOME": str(tmp_path),
                "HOST": "127.0.0.1",
                "PORT": str(port),
                "FUNCTION_TARGET": target,
                "PROJECT_ID": PROJECT,
                "PUBSUB_EMULATOR_HOST": pubsub.host,
                "SECRET_MANAGER_EMULATOR_HOST": secrets.host,
            }
            | env,
            start_new_session=True,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                wait_for(client, process)
                yield client, keys
            process.send_signal(getattr(signal, image.final.stopsignal))
            assert process.wait(10) == 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_for(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the endpoint ended"
        try:
            client.get("/livez")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the endpoint did not start")


@pytest.mark.images
@pytest.mark.timeout(240)
def test_the_endpoints_files_take_a_record(endpoint: tuple[httpx.Client, str]):
    client, key = endpoint

    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    answer = client.post(
        f"/v1/{RESOURCE}", json=example(RESOURCE, "full"), headers={"x-api-key": key}
    )
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 1
    assert client.post("/v1/claims", json={}).status_code == 404  # another target's


@pytest.mark.images
@pytest.mark.timeout(240)
def test_the_status_services_files_tell_what_became_of_a_record(
    tmp_path: Path, connection: Connection
):
    env = {
        "BIGQUERY_EMULATOR_HOST": connection.bigquery_url or "",
        "DATASET": connection.dataset,
        "OPS_DATASET": connection.ops_dataset,
    }
    with serve("status", tmp_path, "status", **env) as (client, keys):
        path = f"/v1/{RESOURCE}/events/{EVENT_ID}"
        key = {"x-api-key": keys[RESOURCE]}

        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 200
        answer = client.get(path, headers=key)
        assert answer.status_code == 200
        assert answer.json()["state"] == "unknown"
        assert client.get(path).status_code == 401
        assert client.delete(path, headers=key).status_code == 405


# Runs the launcher's entry point as it is; only the network is closed, and the job's graph shown.
LAUNCH = """
import json, runpy, socket, sys

del sys.argv[0]  # -c

def closed(*_):
    raise AssertionError("the launcher's entry point asked the network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = closed

from apache_beam.runners.dataflow.internal import apiclient

class Job(apiclient.Job):
    def __init__(self, options, pipeline):
        super().__init__(options, pipeline)
        from apache_beam.portability.api import beam_runner_api_pb2 as api
        payloads = [api.DockerPayload.FromString(environment.payload)
                    for environment in pipeline.components.environments.values()]
        steps = [step.unique_name for step in pipeline.components.transforms.values()]
        reads = [step.unique_name for step in pipeline.components.transforms.values()
                 if step.spec.urn == "beam:transform:pubsub_read:v1"]
        print("GRAPH", json.dumps({"steps": steps, "reads": reads,
                                   "images": [payload.container_image for payload in payloads],
                                   "type": self.proto.type_.name}))

apiclient.Job = Job
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.images
@pytest.mark.timeout(240)
def test_the_launchers_entry_point_builds_the_graph(tmp_path: Path):
    image = read_image("pipeline")
    bin_folder = install(image, tmp_path)
    unpack(image.final, tmp_path)
    env = environment(image.final, tmp_path)
    worker_image = "example-docker.pkg.dev/demo-project/vitalflow/pipeline:1a2b3c4"
    # As Google's launcher passes them, besides --dry_run, which ends before the job is handed over.
    options = [
        "--runner=DataflowRunner",
        f"--project={PROJECT}",
        "--region=us-central1",
        "--job_name=vitalflow",
        "--temp_location=gs://demo-project-vitalflow-dataflow/temp",
        "--staging_location=gs://demo-project-vitalflow-dataflow/staging",
        "--service_account_email=vitalflow-pipeline@demo-project.iam.gserviceaccount.com",
        f"--sdk_container_image={worker_image}",
        "--enable_streaming_engine",
        "--dataset=healthcare",
        "--ops_dataset=healthcare_ops",
        "--no_auth",
        "--dry_run=True",
    ]

    done = subprocess.run(
        [bin_folder / "python", "-c", LAUNCH, env["FLEX_TEMPLATE_PYTHON_PY_FILE"], *options],
        cwd=tmp_path,
        env={"PATH": os.defpath, "HOME": str(tmp_path), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    graph: dict[str, Any] = json.loads(done.stdout.partition("GRAPH ")[2].splitlines()[0])
    assert graph["type"] == "JOB_TYPE_STREAMING"
    assert set(graph["images"]) == {worker_image}
    steps = {"/".join(step.split("/")[:2]) for step in graph["steps"]}
    for name in load_registry():
        own = ("Read", "Decode", "Validate", "Encode", "Append")
        assert {f"{name}/{step}" for step in own} <= steps
    assert len(graph["reads"]) >= len(load_registry())
    assert "Write dead letters" in steps
