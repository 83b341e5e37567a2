"""The guides name every setting, code and limit that their readers meet."""

import argparse
import re
from dataclasses import MISSING as MISSING_DEFAULT
from dataclasses import fields
from pathlib import Path

import pytest

from beam_pipeline import dead_letters
from beam_pipeline.options import VitalflowOptions
from functions import problems
from functions.event_status import ACCEPTED, DEAD_LETTERED, LOADED, UNKNOWN
from functions.settings import Settings
from functions.status_settings import StatusSettings
from ops.__main__ import COMMANDS
from ops.audit_chain import CHANGED, CUT, MISSING, PENDING, REORDERED
from ops.reconcile import COUNTS
from schemas.registry import SCHEMAS_DIR, load_registry

DOCS = SCHEMAS_DIR.parent / "docs"
OPERATORS = (DOCS / "operators.md").read_text()
PRODUCERS = (DOCS / "producers.md").read_text()


def pipeline_options():
    parser = argparse.ArgumentParser(add_help=False)
    VitalflowOptions._add_argparse_args(parser)
    return [action.option_strings[0] for action in parser._actions]


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_setting_of_the_endpoint_with_its_default(field):
    settings = OPERATORS.partition("## Settings of the endpoint")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in settings.splitlines() if line.startswith("| `")]
    [default] = [row[2].strip() for row in rows if f"`{field.name.upper()}`" in row[1]]

    if not field.name.endswith("_endpoint"):  # which is "Google's"
        assert default == ("" if field.default in (MISSING_DEFAULT, None) else str(field.default))


@pytest.mark.parametrize(
    "name", [field.name.upper() for field in fields(StatusSettings) if field.name != "endpoint"]
)
def test_every_setting_of_the_status_target(name):
    assert f"| `{name}` |" in OPERATORS


@pytest.mark.parametrize("kind", [CHANGED, MISSING, REORDERED, CUT, PENDING])
def test_every_finding_about_the_audit_chain(kind):
    assert f"| `{kind}` |" in OPERATORS


@pytest.mark.parametrize("name", COUNTS)
def test_every_count_of_the_reconciliation(name):
    assert f"| `{name}` |" in OPERATORS


@pytest.mark.parametrize("state", [LOADED, DEAD_LETTERED, ACCEPTED, UNKNOWN])
def test_every_state_of_an_event(state):
    assert f"| `{state}` |" in PRODUCERS


@pytest.mark.parametrize("option", pipeline_options())
def test_every_option_of_the_pipeline(option):
    assert f"`{option}`" in OPERATORS


def problem_codes():
    kinds = [value for value in vars(problems).values() if isinstance(value, problems.Kind)]
    assert len(kinds) > 10
    return [(kind.code, kind.status) for kind in kinds]


@pytest.mark.parametrize(("code", "status"), problem_codes())
def test_every_problem(code, status):
    [line] = [line for line in PRODUCERS.splitlines() if f"`{code}`" in line and line[0] == "|"]

    assert str(status) in line


def dead_letter_codes():
    stages = {dead_letters.DECODE, dead_letters.VALIDATE, dead_letters.ENCODE, dead_letters.APPEND}
    constants = {
        value
        for name, value in vars(dead_letters).items()
        if name.isupper() and isinstance(value, str) and "_" in value
    }
    return sorted(constants - stages - {dead_letters.TABLE})


@pytest.mark.parametrize("code", dead_letter_codes())
def test_every_dead_letter_code(code):
    assert f"| `{code}` |" in OPERATORS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_an_operator(command):
    assert re.search(rf"^\| `{command}[` ]", OPERATORS, re.MULTILINE)


@pytest.mark.parametrize("name", load_registry())
def test_every_resource_is_in_the_data_dictionary(name):
    assert f"## {name}\n" in (DOCS / "resources.md").read_text()


@pytest.mark.parametrize("path", [SCHEMAS_DIR.parent / "README.md", *DOCS.glob("*.md")], ids=str)
def test_links_lead_somewhere(path: Path):
    text = path.read_text()
    links = [part.split(")")[0] for part in text.split("](")[1:]]

    for link in links:
        if "://" not in link and not link.startswith("#"):
            assert (path.parent / link.partition("#")[0]).exists(), link
