"""The pipeline as Beam's documentation teaches it: json.loads, jsonschema, WriteToBigQuery.

https://beam.apache.org/documentation/io/built-in/google-bigquery/#writing-to-bigquery, with
streaming inserts, Beam's default for a streaming job. The client is a fake that accepts at once, so
what a request costs on its way is not even counted.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import apache_beam as beam
import jsonschema
from apache_beam.io.gcp.bigquery import BigQueryDisposition, WriteToBigQuery
from apache_beam.io.gcp.pubsub import PubsubMessage

from benchmarks import PROJECT
from schemas.registry import AUDIT_FIELDS, load_registry
from schemas.validation import Validator


class AcceptingClient:
    """What Beam calls of BigQuery's client."""

    def insert_rows_json(self, *_: Any, **__: Any) -> list[Any]:
        """Accept every row."""
        return []


@cache
def schema_validator(resource: str) -> Any:
    """Return jsonschema's validator of a resource."""
    schema = load_registry()[resource].schema
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


@cache
def our_validator(resource: str) -> Validator:
    """Return ours."""
    return Validator(load_registry()[resource])


class Parse(beam.DoFn):
    """Messages → rows as dictionaries; what is invalid is left out."""

    def __init__(self, resource: str, *, with_ours: bool) -> None:
        self._resource, self._with_ours = resource, with_ours

    def setup(self) -> None:
        """Compile the schema."""
        if self._with_ours:
            self._is_valid = our_validator(self._resource).is_valid
        else:
            self._is_valid = schema_validator(self._resource).is_valid

    def process(self, element: PubsubMessage) -> Iterator[dict[str, Any]]:
        """Yield the message's row, or the rows of a packed one."""
        for line in element.data.splitlines():
            row = json.loads(line)
            audit = {name: row.pop(name) for name in AUDIT_FIELDS}
            if self._is_valid(row):
                yield row | audit


def build(pipeline: beam.Pipeline, resource: str, source: Any, *, with_ours: bool) -> None:
    """Add the pipeline of one resource."""
    (
        pipeline
        | source
        | beam.ParDo(Parse(resource, with_ours=with_ours))
        | WriteToBigQuery(
            table=resource,
            dataset="healthcare",
            project=PROJECT,
            method=WriteToBigQuery.Method.STREAMING_INSERTS,
            create_disposition=BigQueryDisposition.CREATE_NEVER,
            write_disposition=BigQueryDisposition.WRITE_APPEND,
            test_client=AcceptingClient(),
        )
    )
