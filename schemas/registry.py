"""Finds every resource by reading `schemas/resources/`: nothing else in the tree lists them."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

from schemas import limits
from schemas.columns import Column, SchemaError, map_columns

__all__ = [
    "AUDIT_FIELDS",
    "AUDIT_LOG",
    "DATA",
    "OPS",
    "SCHEMAS_DIR",
    "SYSTEM_COLUMNS",
    "Column",
    "Registry",
    "Resource",
    "SchemaError",
    "load_registry",
    "load_system_registry",
]

# The two datasets, by what is in them; their names are the deployment's.
DATA: Final = "data"
OPS: Final = "ops"
# The system's own record that the endpoint writes and the operators' commands read.
AUDIT_LOG: Final = "audit_log"

SCHEMAS_DIR: Final = Path(__file__).parent
SCHEMAS_DIR_VARIABLE: Final = "VITALFLOW_SCHEMAS"

# A name serves as topic, table, function target and path segment: the strictest of them rules
# (Pub/Sub: 3 to 255 characters, not "goog…"; BigQuery and Python: no hyphen). The length leaves
# room for suffixes in service account ids, which end at 30 characters.
_RESOURCE_NAME = re.compile(r"(?!goog)[a-z][a-z0-9_]{2,39}")
# Paths of the endpoint and names of the local target: a resource may not shadow them.
_TAKEN_NAMES = frozenset({"all", "docs", "livez", "readyz", "main"})


def _required(name: str, type_: str, description: str, phi: str | None = None) -> Column:
    return Column(name, name, type_, "REQUIRED", description, phi=phi)


# What the endpoint adds to the record's JSON, in the order of the table.
_AUDIT_COLUMNS: Final = (
    _required(
        "created_ts", "TIMESTAMP", "When the endpoint accepted this row (UTC); partition column."
    ),
    _required("updated_ts", "TIMESTAMP", "When the record took this state (UTC); orders its rows."),
    _required("created_by", "STRING", "Id of the API key that sent the record."),
    _required("is_active", "BOOL", "False in a tombstone: the record was deleted."),
    _required("event_id", "STRING", "Id of this change; rows that share it are repeats."),
    _required("request_id", "STRING", "Id of the HTTP request that carried the record."),
)
AUDIT_FIELDS: Final = tuple(column.name for column in _AUDIT_COLUMNS)

# Every table's own columns, after the record's.
SYSTEM_COLUMNS: Final = (
    *_AUDIT_COLUMNS,
    _required("schema_version", "INT64", "Version of the contract that the endpoint checked."),
    _required("publish_ts", "TIMESTAMP", "When Pub/Sub took the message (UTC)."),
    Column(
        "additional_fields",
        "additional_fields",
        "JSON",
        description="Fields that the contract does not know, as they were sent.",
        phi="sensitive",
    ),
)


@dataclass(frozen=True)
class Resource:
    """One kind of record: its contract and what follows from it."""

    name: str
    title: str
    description: str
    version: int
    key: tuple[str, ...]
    cluster: tuple[str, ...]
    partition: str
    retention_days: int
    unknown_fields: str
    schema: dict[str, Any]
    columns: tuple[Column, ...]
    dataset: str = DATA

    @cached_property
    def table_columns(self) -> tuple[Column, ...]:
        """The record's own columns, then the system's."""
        return self.columns + SYSTEM_COLUMNS

    def column(self, name: str) -> Column:
        """Return the column of a top-level property."""
        return next(column for column in self.columns if column.name == name)


class Registry(Mapping[str, Resource]):
    """All resources by name, in alphabetical order."""

    def __init__(self, resources: Mapping[str, Resource]) -> None:
        self._resources = dict(sorted(resources.items()))

    def __getitem__(self, name: str) -> Resource:
        return self._resources[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._resources)

    def __len__(self) -> int:
        return len(self._resources)


def load_registry(schemas_dir: Path | None = None) -> Registry:
    """Read and check every `resources/<name>.schema.json`.

    Args:
        schemas_dir: The folder that holds `resources/`; the variable VITALFLOW_SCHEMAS names
            another than this package's own.

    Raises:
        SchemaError: A file breaks the metaschema, or has no counterpart in BigQuery.
    """
    folder = (schemas_dir or default_schemas_dir()) / "resources"
    resources = _load_folder(folder, DATA)
    if not resources:
        raise SchemaError(str(folder), "$", "holds no *.schema.json")
    return Registry(resources)


def load_system_registry(schemas_dir: Path | None = None) -> Registry:
    """Read and check every `system/<name>.schema.json`: records that the system writes itself.

    They have a topic, a subscription and a table in the dataset of operations, and take the way of
    any record; but no endpoint takes them from outside. Arguments and errors as `load_registry`.
    """
    folder = (schemas_dir or default_schemas_dir()) / "system"
    return Registry(_load_folder(folder, OPS))


def _load_folder(folder: Path, dataset: str) -> dict[str, Resource]:
    metaschema = _read_json(SCHEMAS_DIR / "metaschema.json")
    checker = jsonschema_rs.Draft202012Validator(metaschema, validate_formats=True)
    paths = sorted(folder.glob("*.schema.json"))
    resources = [_load_resource(path, checker, dataset) for path in paths]
    return {resource.name: resource for resource in resources}


def default_schemas_dir() -> Path:
    """Return the folder of contracts that this process uses."""
    return Path(os.environ.get(SCHEMAS_DIR_VARIABLE) or SCHEMAS_DIR)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes(), object_pairs_hook=_no_duplicates)
    except ValueError as error:
        raise SchemaError(path.name, "$", f"is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise SchemaError(path.name, "$", "must be an object")
    return document


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{repeated!r} stands twice in one object")
    return result


def _load_resource(
    path: Path, checker: jsonschema_rs.Draft202012Validator, dataset: str
) -> Resource:
    file, name = path.name, path.name.removesuffix(".schema.json")
    if not _RESOURCE_NAME.fullmatch(name) or name in _TAKEN_NAMES:
        raise SchemaError(
            file, "$", "a resource's name is 3 to 40 of a-z, 0-9 and _, and not a reserved one"
        )
    schema = _read_json(path)
    for error in checker.iter_errors(schema):
        where = "$" + "".join(f".{step}" for step in error.instance_path)
        raise SchemaError(file, where, error.message)
    ingest = schema["x-ingest"]
    expected_id = f"urn:vitalflow:schema:{name}:{ingest['version']}"
    if schema["$id"] != expected_id:
        raise SchemaError(file, "$.$id", f"must be {expected_id}")
    key = tuple(ingest["key"])
    resource = Resource(
        name=name,
        title=schema["title"],
        description=schema["description"],
        version=ingest["version"],
        key=key,
        cluster=tuple(ingest["cluster"]),
        partition=ingest["partition"],
        retention_days=ingest["retention_days"],
        unknown_fields=ingest["unknown_fields"],
        schema=schema,
        columns=map_columns(schema, file, required=key),
        dataset=dataset,
    )
    _check_ingest(resource, file)
    return resource


def _check_ingest(resource: Resource, file: str) -> None:
    system = {column.name for column in SYSTEM_COLUMNS}
    names = {column.name: column for column in resource.columns}
    for column in resource.columns:
        if column.name in system or column.column.lower() in system:
            raise SchemaError(file, f"$.{column.name}", "is a column that Vitalflow adds itself")
    for name in resource.key:
        if name not in resource.schema["required"]:
            raise SchemaError(file, "$.required", f"must hold the key {name}")
    for name in resource.cluster:
        clustered = names.get(name)
        if clustered is None:
            raise SchemaError(file, "$.x-ingest.cluster", f"no such property: {name}")
        if clustered.type in ("RECORD", "JSON", "FLOAT64", "TIME") or clustered.mode == "REPEATED":
            raise SchemaError(file, "$.x-ingest.cluster", f"BigQuery cannot cluster by {name}")
    if len(resource.table_columns) > limits.BIGQUERY_MAX_COLUMNS:
        raise SchemaError(file, "$.properties", "more columns than BigQuery allows")
