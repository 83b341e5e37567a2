"""The job's settings, beside Beam's own such as --project, --runner and --region."""

import argparse
import re
from typing import Final

from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)

from beam_pipeline import __version__
from beam_pipeline.delivery import AppendTimeouts

# https://cloud.google.com/bigquery/docs/datasets#dataset-naming
_DATASET = re.compile(r"[A-Za-z0-9_]+")
# https://cloud.google.com/resource-manager/docs/creating-managing-projects
_PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
# https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
_SUBSCRIPTION = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9._~%+-]{2,254}")
_ENDPOINT = re.compile(r"[^\s:/]+:[0-9]{1,5}")
_RESOURCE_FIELD: Final = "{resource}"
# Dataflow tries a failed bundle again for as long as it takes, so failing early costs nothing.
_DATAFLOW_DEADLINE_SECONDS: Final = 60.0
# A local runner has acknowledged the messages already and gives up after four failed tries: there,
# patience is all that stands between an outage of BigQuery and lost records.
_LOCAL_DEADLINE_SECONDS: Final = 600.0


class OptionError(ValueError):
    """A setting that the job cannot start with; the text names the option and the problem."""

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"--{option} {problem}")
        self.option = option


class VitalflowOptions(PipelineOptions):
    """Settings of the job."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--dataset",
            default="healthcare",
            help="BigQuery dataset of the resources' tables.",
        )
        parser.add_argument(
            "--ops_dataset",
            default="healthcare_ops",
            help="BigQuery dataset of the dead letters.",
        )
        parser.add_argument(
            "--bigquery_project",
            default=None,
            help="Project of both datasets; that of --project unless given.",
        )
        parser.add_argument(
            "--subscription_project",
            default=None,
            help="Project of the subscriptions; that of --project unless given.",
        )
        parser.add_argument(
            "--subscription_template",
            default="{resource}-pipeline",
            help="Name of a resource's subscription; {resource} stands for the resource.",
        )
        parser.add_argument(
            "--bigquery_storage_endpoint",
            default=None,
            help="host:port of a BigQuery Storage emulator, reached without TLS. Google's own "
            "unless given.",
        )
        parser.add_argument(
            "--append_timeout_seconds",
            type=float,
            default=30.0,
            help="How long one append may wait for its answer before its connection counts as "
            "broken.",
        )
        parser.add_argument(
            "--append_deadline_seconds",
            type=float,
            default=None,
            help="How long an append that fails is tried again before its bundle fails. 60 on "
            "Dataflow, which then tries the bundle again; 600 elsewhere, where a failed bundle "
            "ends the job and its records are lost.",
        )
        parser.add_argument(
            "--pipeline_version",
            default=__version__,
            help="Version or commit that dead letters are marked with.",
        )
        parser.add_argument(
            "--ready_file",
            default=None,
            help="File that is written once the job runs; local runs only.",
        )

    @property
    def is_dataflow(self) -> bool:
        """Whether the job runs on Dataflow."""
        return "dataflow" in (self.view_as(StandardOptions).runner or "").lower()

    @property
    def append_timeouts(self) -> AppendTimeouts:
        """How long appends may take."""
        deadline = self.append_deadline_seconds
        if deadline is None:
            deadline = _DATAFLOW_DEADLINE_SECONDS if self.is_dataflow else _LOCAL_DEADLINE_SECONDS
        return AppendTimeouts(answer=self.append_timeout_seconds, deadline=deadline)

    def subscription_path(self, resource: str) -> str:
        """Return the full name of a resource's subscription."""
        name = self.subscription_template.replace(_RESOURCE_FIELD, resource)
        return f"projects/{self.subscription_project or self._project}/subscriptions/{name}"

    def table_path(self, table: str) -> str:
        """Return the full name of a resource's table."""
        return self._table_path(self.dataset, table)

    def ops_table_path(self, table: str) -> str:
        """Return the full name of a table of the system's own."""
        return self._table_path(self.ops_dataset, table)

    def check(self) -> None:
        """Check every setting before anything starts.

        Raises:
            OptionError: A setting is missing or cannot be.
        """
        if not self._project:
            raise OptionError("project", "is required")
        projects = {
            "project": self._project,
            "bigquery_project": self.bigquery_project,
            "subscription_project": self.subscription_project,
        }
        for option, project in projects.items():
            if project is not None and not _PROJECT.fullmatch(project):
                raise OptionError(option, "must be a project id (6 to 30 of a-z, 0-9 and -)")
        for option in ("dataset", "ops_dataset"):
            if not _DATASET.fullmatch(getattr(self, option)):
                raise OptionError(option, "must be a dataset's name (letters, digits and _)")
        if self.dataset == self.ops_dataset:
            raise OptionError("ops_dataset", "must differ from --dataset")
        self._check_subscriptions()
        endpoint = self.bigquery_storage_endpoint
        if endpoint is not None and not _ENDPOINT.fullmatch(endpoint):
            raise OptionError("bigquery_storage_endpoint", "must be host:port")
        for option in ("append_timeout_seconds", "append_deadline_seconds"):
            seconds = getattr(self, option)
            if seconds is not None and not 0 < seconds < float("inf"):
                raise OptionError(option, "must be more than 0")
        if not self.pipeline_version:
            raise OptionError("pipeline_version", "must not be empty")
        if self.ready_file and self.is_dataflow:
            raise OptionError("ready_file", "is for local runs only")

    def _check_subscriptions(self) -> None:
        template = self.subscription_template
        if _RESOURCE_FIELD not in template:
            raise OptionError("subscription_template", f"must contain {_RESOURCE_FIELD}")
        if not _SUBSCRIPTION.fullmatch(template.replace(_RESOURCE_FIELD, "resource")):
            raise OptionError("subscription_template", "must make names that Pub/Sub takes")

    def _table_path(self, dataset: str, table: str) -> str:
        project = self.bigquery_project or self._project
        return f"projects/{project}/datasets/{dataset}/tables/{table}"

    @property
    def _project(self) -> str | None:
        project: str | None = self.view_as(GoogleCloudOptions).project
        return project
