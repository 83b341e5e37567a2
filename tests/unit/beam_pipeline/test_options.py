"""A wrong setting ends the start, and the text names the option."""

import pytest

from beam_pipeline.options import OptionError, VitalflowOptions

PROJECT = "--project=demo-project"
DATAFLOW = "--runner=DataflowRunner"


def options(*arguments):
    return VitalflowOptions([PROJECT, *arguments])


def test_defaults():
    ours = options()
    ours.check()
    assert ours.table_path("t") == "projects/demo-project/datasets/healthcare/tables/t"
    assert ours.ops_table_path("t") == "projects/demo-project/datasets/healthcare_ops/tables/t"
    assert ours.subscription_path("r") == "projects/demo-project/subscriptions/r-pipeline"
    assert not ours.is_dataflow


def test_other_projects():
    ours = options("--bigquery_project=big-project", "--subscription_project=sub-project")
    ours.check()
    assert ours.table_path("t").startswith("projects/big-project/")
    assert ours.subscription_path("r").startswith("projects/sub-project/")


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        (["--runner=DirectRunner"], 600),
        ([DATAFLOW], 60),
        ([DATAFLOW, "--append_deadline_seconds=7.5"], 7.5),
    ],
)
def test_the_deadline_depends_on_who_tries_again(arguments, seconds):
    assert options(*arguments).append_timeouts.deadline == seconds


@pytest.mark.parametrize(
    ("argument", "option"),
    [
        ("--project=demo", "project"),
        ("--bigquery_project=Not A Project", "bigquery_project"),
        ("--subscription_project=x", "subscription_project"),
        ("--dataset=health-care", "dataset"),
        ("--dataset=", "dataset"),
        ("--ops_dataset=a.b", "ops_dataset"),
        ("--ops_dataset=healthcare", "ops_dataset"),
        ("--subscription_template=pipeline", "subscription_template"),
        ("--subscription_template=goog-{resource}", "subscription_template"),
        ("--subscription_template={resource} x", "subscription_template"),
        ("--bigquery_storage_endpoint=http://127.0.0.1:1", "bigquery_storage_endpoint"),
        ("--bigquery_storage_endpoint=localhost", "bigquery_storage_endpoint"),
        ("--append_timeout_seconds=0", "append_timeout_seconds"),
        ("--append_deadline_seconds=-1", "append_deadline_seconds"),
        ("--append_deadline_seconds=nan", "append_deadline_seconds"),
        ("--pipeline_version=", "pipeline_version"),
    ],
)
def test_wrong_values_are_named(argument, option):
    with pytest.raises(OptionError, match=f"^--{option} ") as caught:
        options(argument).check()
    assert caught.value.option == option


def test_a_project_is_needed():
    with pytest.raises(OptionError, match="--project is required"):
        VitalflowOptions([]).check()


def test_the_ready_file_is_for_local_runs():
    with pytest.raises(OptionError, match="ready_file"):
        options(DATAFLOW, "--ready_file=/tmp/x").check()


def test_every_option_has_help():
    import argparse  # noqa: PLC0415 - for this test alone

    parser = argparse.ArgumentParser()
    VitalflowOptions._add_argparse_args(parser)
    assert [a.dest for a in parser._actions if not a.help] == []
