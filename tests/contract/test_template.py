"""The Flex Template's metadata says of every parameter what the job's options say."""

import argparse
import json
import re
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from google.cloud.dataflow_v1beta3 import TemplateMetadata

from beam_pipeline.options import OptionError, VitalflowOptions
from tests.fixtures.images import ROOT

METADATA = json.loads((ROOT / "beam_pipeline/template/metadata.json").read_text())
PARAMETERS = {parameter["name"]: parameter for parameter in METADATA["parameters"]}
# An emulator's address and a local file mean nothing on Dataflow.
LOCAL_ONLY = {"bigquery_storage_endpoint", "ready_file"}
VALUES = {
    "dataset": ["healthcare", "h_2", "", "health-care", "p.healthcare", "h" * 1024, "h" * 1025],
    "ops_dataset": ["ops", "", "ops dataset"],
    "bigquery_project": ["data-project", "example.com:data-project", "short", "Upper", "x" * 31],
    "subscription_project": ["data-project", "short", "ends-in-hyphen-"],
    "subscription_template": [
        "{resource}-in",
        "v-{resource}",
        "in",
        "1-{resource}",
        "{resource} x",
    ],
    "append_timeout_seconds": ["30", "0.5", "0", "0.0", "-1"],
    "append_deadline_seconds": ["60", "600.0", "0", "-0.5"],
    "pipeline_version": ["0.1.0", "1a2b3c4", ""],
}


def option_actions() -> dict[str, argparse.Action]:
    parser = argparse.ArgumentParser(add_help=False)
    VitalflowOptions._add_argparse_args(parser)
    return {action.dest: action for action in parser._actions}


ACTIONS = option_actions()


def test_metadata_has_the_form_that_dataflow_reads():
    assert TemplateMetadata.from_json(json.dumps(METADATA), ignore_unknown_fields=False).name


def test_every_option_of_the_job_is_a_parameter():
    assert list(PARAMETERS) == [name for name in ACTIONS if name not in LOCAL_ONLY]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_says_what_its_option_says(name):
    action, parameter = ACTIONS[name], PARAMETERS[name]
    default: Any = action.default

    assert parameter["helpText"] == action.help
    assert parameter["isOptional"] is not action.required
    assert parameter.get("defaultValue") == (None if default is None else str(default))
    assert parameter["label"]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in VALUES.items() for value in values]
)
def test_regexes_take_what_the_job_takes(name, value):
    assert PARAMETERS.keys() == VALUES.keys()
    options = PipelineOptions(["--project=demo-project", f"--{name}={value}"])
    try:
        options.view_as(VitalflowOptions).check()
        accepted = True
    except OptionError:
        accepted = False

    regexes = PARAMETERS[name]["regexes"]
    assert all(re.fullmatch(regex, value) for regex in regexes) == accepted


@pytest.mark.parametrize("name", PARAMETERS)
def test_regexes_are_of_the_kind_that_google_compiles(name):
    # RE2 knows neither lookaround nor back references.
    assert not any(re.search(r"\(\?[=!<]|\\[1-9]", regex) for regex in PARAMETERS[name]["regexes"])
