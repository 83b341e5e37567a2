"""How a JSON Schema becomes BigQuery columns: one rule for endpoint, pipeline, tables and docs."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas import limits

JsonSchema = Mapping[str, Any]

DATE_FORMATS = ("MM-DD-YYYY",)
TYPES_BY_JSON_TYPE = {
    "string": ("STRING", "NUMERIC", "DATE"),
    "integer": ("INT64", "NUMERIC", "FLOAT64"),
    "number": ("FLOAT64", "NUMERIC"),
    "boolean": ("BOOL",),
    "object": ("JSON",),
}
TYPES_BY_FORMAT = {"date": "DATE", "date-time": "TIMESTAMP", "time": "TIME"}

# https://cloud.google.com/bigquery/docs/schemas#column_names
_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORBIDDEN_PREFIXES = (
    "_table_", "_file_", "_partition", "_row_timestamp", "__root__", "_colidentifier",
)  # fmt: skip


class SchemaError(ValueError):
    """A contract that cannot be used; `str()` gives the file, the path in it and the reason."""

    def __init__(self, file: str, path: str, reason: str) -> None:
        super().__init__(f"{file}: {path}: {reason}")
        self.file, self.path, self.reason = file, path, reason


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, or one field of a RECORD, and the JSON property it comes from."""

    name: str
    column: str
    type: str
    mode: str = "NULLABLE"
    description: str = ""
    date_format: str | None = None
    phi: str | None = None
    fields: tuple["Column", ...] = ()


def map_columns(
    schema: JsonSchema, file: str, required: tuple[str, ...] = ()
) -> tuple[Column, ...]:
    """Map the properties of a record's schema to columns.

    Args:
        schema: An object schema; `$ref` may point into its own `$defs`.
        file: What errors name.
        required: The properties whose columns are REQUIRED. Others are NULLABLE even where the
            schema requires them: tombstones lack them, and a column can be relaxed later but
            never tightened (https://cloud.google.com/bigquery/docs/managing-table-schemas).

    Raises:
        SchemaError: A property has no counterpart in BigQuery.
    """
    columns = tuple(_Mapper(schema, file).properties(schema, "$", depth=1))
    unknown = set(required) - {column.name for column in columns}
    if unknown:
        raise SchemaError(file, "$.x-ingest.key", f"no such property: {', '.join(sorted(unknown))}")
    return tuple(
        _require(column, file) if column.name in required else column for column in columns
    )


def resolve(root: JsonSchema, schema: JsonSchema, file: str, path: str) -> JsonSchema:
    """Follow `$ref` into the root's `$defs`; keywords beside it win over its target's."""
    seen = set()
    while "$ref" in schema:
        ref = schema["$ref"]
        if ref in seen:
            raise SchemaError(file, path, f"$ref {ref} refers to itself")
        seen.add(ref)
        prefix, _, name = ref.rpartition("/")
        if prefix != "#/$defs" or name not in root.get("$defs", {}):
            raise SchemaError(file, path, f"$ref {ref} is not one of this file's $defs")
        beside = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
        schema = {**root["$defs"][name], **beside}
    return schema


def json_type(schema: JsonSchema) -> tuple[str | None, bool]:
    """Return the one JSON type of a schema and whether null is allowed beside it.

    The type is None where the schema names none, or a union that no column can hold.
    """
    declared = schema.get("type")
    types = [declared] if isinstance(declared, str) else list(declared or [])
    nullable = "null" in types
    rest = [name for name in types if name != "null"]
    return (rest[0] if len(rest) == 1 else None), nullable


def _require(column: Column, file: str) -> Column:
    if column.mode == "REPEATED" or column.type not in ("STRING", "INT64"):
        raise SchemaError(file, f"$.{column.name}", "a key is a string or an integer")
    return Column(
        column.name, column.column, column.type, "REQUIRED", column.description, phi=column.phi
    )


class _Mapper:
    def __init__(self, root: JsonSchema, file: str) -> None:
        self._root, self._file = root, file

    def properties(self, schema: JsonSchema, path: str, depth: int) -> Iterator[Column]:
        if depth > limits.BIGQUERY_MAX_NESTING:
            raise SchemaError(
                self._file, path, f"nests deeper than {limits.BIGQUERY_MAX_NESTING} levels"
            )
        seen: set[str] = set()
        for name, property_schema in schema["properties"].items():
            column = self._column(name, property_schema, f"{path}.{name}", depth)
            if column.column.lower() in seen:
                raise SchemaError(
                    self._file, f"{path}.{name}", f"column {column.column} is taken (case apart)"
                )
            seen.add(column.column.lower())
            yield column

    def _column(self, name: str, schema: JsonSchema, path: str, depth: int) -> Column:
        schema = resolve(self._root, schema, self._file, path)
        mapping = schema.get("x-bigquery", {})
        column_name = mapping.get("name", name)
        self._check_name(column_name, path)
        kind, _ = json_type(schema)
        mode, value = "NULLABLE", schema
        if kind == "array":
            mode = "REPEATED"
            value = resolve(self._root, schema.get("items", {}), self._file, f"{path}[]")
            kind, items_nullable = json_type(value)
            if kind == "array":
                raise SchemaError(self._file, path, "BigQuery has no array of arrays")
            if items_nullable:
                raise SchemaError(self._file, f"{path}[]", "BigQuery arrays hold no NULL")
        if kind is None:
            raise SchemaError(self._file, path, "needs exactly one type (null may stand beside it)")
        bigquery_type, fields = self._type(kind, value, path, depth)
        return Column(
            name=name,
            column=column_name,
            type=bigquery_type,
            mode=mode,
            description=schema.get("description", ""),
            date_format=value.get("x-bigquery", {}).get("format"),
            phi=schema.get("x-phi"),
            fields=fields,
        )

    def _type(
        self, kind: str, schema: JsonSchema, path: str, depth: int
    ) -> tuple[str, tuple[Column, ...]]:
        asked = schema.get("x-bigquery", {}).get("type")
        if kind == "object" and "properties" in schema and asked is None:
            return "RECORD", tuple(self.properties(schema, path, depth + 1))
        default = TYPES_BY_FORMAT.get(schema.get("format", "")) if kind == "string" else None
        possible = (default,) if default else TYPES_BY_JSON_TYPE.get(kind)
        if possible is None:
            raise SchemaError(self._file, path, f"type {kind} has no counterpart in BigQuery")
        if asked is not None and asked not in possible:
            raise SchemaError(
                self._file, path, f"{kind} maps to {' or '.join(possible)}, not to {asked}"
            )
        if asked == "DATE" and not default and "format" not in schema["x-bigquery"]:
            raise SchemaError(self._file, path, "DATE from a plain string needs x-bigquery.format")
        return asked or possible[0], ()

    def _check_name(self, name: str, path: str) -> None:
        if not _COLUMN_NAME.fullmatch(name) or len(name) > limits.BIGQUERY_MAX_NAME_CHARS:
            raise SchemaError(
                self._file,
                path,
                f"BigQuery refuses the column name {name!r}; give another by x-bigquery.name",
            )
        if name.lower().startswith(_FORBIDDEN_PREFIXES):
            raise SchemaError(self._file, path, f"BigQuery reserves names that begin like {name!r}")
