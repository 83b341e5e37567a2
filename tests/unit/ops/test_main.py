import importlib
import subprocess
import sys

import pytest

from ops.__main__ import COMMANDS
from schemas.registry import SCHEMAS_DIR

ROOT = SCHEMAS_DIR.parent


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    main = importlib.import_module(COMMANDS[name][0]).main

    with pytest.raises(SystemExit) as caught:
        main(["--help"])

    assert caught.value.code == 0
    assert f"python -m ops {name}" in capsys.readouterr().out


def run(*arguments):
    command = [sys.executable, "-m", "ops", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_commands_are_listed():
    done = run("--help")

    assert done.returncode == 0
    for name in COMMANDS:
        assert f"    {name}" in done.stdout


def test_command_gets_its_own_arguments():
    path = "schemas/examples/patients/minimal.pass.json"

    done = run("validate", path, "--show-row")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1: loads into healthcare.patients\n    patient_id STRING\n")
