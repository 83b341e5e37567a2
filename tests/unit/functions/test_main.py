import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# What would take a cold start longer than all of the endpoint.
TOO_SLOW = (
    "apache_beam",
    "google.api_core",
    "google.auth",
    "google.cloud.bigquery",
    "google.cloud.pubsub_v1",
    "google.cloud.secretmanager",
    "google.pubsub_v1",
    "numpy",
    "pandas",
    "pydantic",
    "requests",
    "swagger_ui",
)
EMULATORS = {
    "PROJECT_ID": "demo-project",
    "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
    "SECRET_MANAGER_EMULATOR_HOST": "127.0.0.1:1",
}


def run_python(code: str, tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run code as the framework would: from another folder, without the root on the path."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "GOOGLE_CLOUD_PROJECT")}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


LOAD = f"""
from functions_framework.aio import create_asgi_app
app = create_asgi_app({{target!r}}, {str(ROOT / "functions" / "main.py")!r})
"""


@pytest.mark.parametrize("target", ["patients", "all"])
def test_a_target_loads_without_anything_slow(tmp_path, target):
    code = LOAD.format(target=target) + (
        "import asyncio, sys, main\n"
        "async def start():\n"
        f"    await main.TARGETS[{target!r}].open().close()\n"
        "asyncio.run(start())\n"
        f"print([name for name in {TOO_SLOW} if name in sys.modules])\n"
    )
    result = run_python(code, tmp_path, **EMULATORS)
    assert (result.returncode, result.stdout) == (0, "[]\n"), result.stderr


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({}, "PROJECT_ID is not set"),
        (EMULATORS | {"PUBLISH_TIMEOUT_SECONDS": "soon"}, "PUBLISH_TIMEOUT_SECONDS must be"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(tmp_path, env, message):
    result = run_python(LOAD.format(target="patients"), tmp_path, **env)
    assert result.returncode == 1
    assert message in result.stderr.splitlines()[-1]


def test_a_target_that_is_no_resource_is_not_there(tmp_path):
    result = run_python(LOAD.format(target="nothing"), tmp_path, **EMULATORS)
    assert "is expected to contain a function named 'nothing'" in result.stderr


def test_every_resource_of_the_registry_is_a_target(tmp_path, real_registry):
    code = LOAD.format(target="all") + "import main; print(sorted(main.TARGETS))"
    result = run_python(code, tmp_path, **EMULATORS)
    assert result.stdout == f"{sorted([*real_registry, 'all'])}\n"


def test_a_resource_cannot_take_a_name_of_the_module(tmp_path):
    code = LOAD.format(target="all") + "main = __import__('main'); main._define('Target', {})"
    result = run_python(code, tmp_path, **EMULATORS)
    assert "a resource cannot be named 'Target'" in result.stderr


def test_without_emulators_credentials_are_looked_for_at_the_start(tmp_path):
    env = {
        "PROJECT_ID": "demo-project",
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "missing.json"),
    }
    result = run_python(LOAD.format(target="patients"), tmp_path, **env)
    assert result.returncode == 1
    assert "DefaultCredentialsError" in result.stderr
