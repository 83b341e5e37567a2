"""Encodes a validated record as the protobuf row of its table, unknown fields included.

The common record is handed to protobuf's own constructor as it is, but for the columns whose wire
form differs from JSON's. Whatever the constructor refuses (a field that the contract does not know,
an integer written 1.0) is taken apart column by column instead.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from google.protobuf.message import EncodeError

from beam_pipeline import column_values
from beam_pipeline.row_message import row_class, row_descriptor
from schemas.registry import Column

JsonObject = dict[str, Any]

# The names of nested messages begin with two underscores, see row_message.
_PROTOBUF_NAME: Final = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")

# What conversions and protobuf raise for a value that does not fit its column.
_MISFITS: Final = (ArithmeticError, AttributeError, EncodeError, LookupError, TypeError, ValueError)


class RowError(ValueError):
    """A record that its row cannot hold; it names the path, never the value."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} has a value that its column cannot hold")
        self.path = path


class RowEncoder:
    """Makes rows of one table; safe to share between threads.

    Args:
        columns: The record's own columns.
        system: The columns that every table has besides.
    """

    def __init__(self, columns: Sequence[Column], system: Sequence[Column] = ()) -> None:
        self.descriptor = row_descriptor((*columns, *system))
        named = _named_as_in_json(columns)
        self._row: Callable[..., Any] = row_class(row_descriptor((*named, *system)))
        self._shape = _Shape(named)

    def encode(
        self,
        record: JsonObject,
        system: Mapping[str, Any],
        additional: JsonObject | None = None,
    ) -> bytes:
        """Return the serialized row.

        Args:
            record: The record by its JSON names; it is not changed.
            system: The system columns in their wire form.
            additional: More for the column `additional_fields`, beside what is unknown in the
                record. There, an object holds its unknown members alone, and an array keeps its
                length: `{}` stands for an element without unknown members.

        Raises:
            RowError: A value does not fit its column.
        """
        if not additional:
            try:
                fields = self._shape.wire_form(record)
                fields.update(system)
                return self._row(**fields).SerializeToString()  # type: ignore[no-any-return]  # made at runtime
            except _MISFITS:
                pass  # perhaps an unknown field; the slow path finds out
        fields, unknown = self._shape.take_apart(record, "$")
        unknown |= additional or {}
        if unknown:
            fields["additional_fields"] = column_values.json_text(unknown)
        return self.serialize({**fields, **system})

    def serialize(self, values: Mapping[str, Any]) -> bytes:
        """Return the serialized row of values in their wire form.

        Raises:
            RowError: A REQUIRED column is missing, or a value is not of its type.
        """
        try:
            return self._row(**values).SerializeToString()  # type: ignore[no-any-return]  # made at runtime
        except _MISFITS:
            # The cause's text can hold the value.
            raise RowError("$") from None


class _Shape:
    """How the members of one JSON object become the fields of one protobuf message."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = {column.name: column for column in columns}
        self._nested = {c.name: _Shape(c.fields) for c in columns if c.type == "RECORD"}
        self._renamed = any(column.name != column.column for column in columns)
        self._column_names = {column.name: column.column for column in columns}
        self._conversions = tuple(
            (column.column, convert)
            for column in columns
            if (convert := self._conversion(column)) is not None
        )

    @property
    def is_plain(self) -> bool:
        """Whether protobuf takes the object as it is."""
        return not self._conversions and not self._renamed

    def wire_form(self, record: JsonObject) -> JsonObject:
        """Return the fields of a record that holds nothing unknown; KeyError tells that it does.

        Unknown names that are not found here are refused by protobuf.
        """
        if self._renamed:
            names = self._column_names
            fields = {names[name]: value for name, value in record.items()}
        else:
            fields = record.copy()
        for column, convert in self._conversions:
            value = fields.get(column)
            if value is not None:
                fields[column] = convert(value)
        return fields

    def take_apart(self, record: JsonObject, path: str) -> tuple[JsonObject, JsonObject]:
        """Return the record's fields in wire form, and what the contract does not know."""
        fields: JsonObject = {}
        unknown: JsonObject = {}
        for name, value in record.items():
            column = self._columns.get(name)
            if column is None:
                unknown[name] = value
            elif value is not None:
                field, rest = self._take_apart_value(column, value, f"{path}.{name}")
                fields[column.column] = field
                if rest:
                    unknown[name] = rest
        return fields, unknown

    def _take_apart_value(self, column: Column, value: Any, path: str) -> tuple[Any, Any]:
        try:
            if column.type != "RECORD":
                convert = _exact(column)
                many = column.mode == "REPEATED"
                return [convert(item) for item in value] if many else convert(value), None
            shape = self._nested[column.name]
            if column.mode != "REPEATED":
                return shape.take_apart(value, path)
            parts = [shape.take_apart(item, f"{path}[{i}]") for i, item in enumerate(value)]
            rest = [part for _, part in parts]
            return [part for part, _ in parts], rest if any(rest) else None
        except RowError:
            raise
        except _MISFITS:
            # The cause's text can hold the value.
            raise RowError(path) from None

    def _conversion(self, column: Column) -> Callable[[Any], Any] | None:
        convert = column_values.converter(column)
        if column.type == "RECORD":
            shape = self._nested[column.name]
            convert = None if shape.is_plain else shape.wire_form
        if convert is None or column.mode != "REPEATED":
            return convert
        return lambda items: [convert(item) for item in items]


def _named_as_in_json(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns by their JSON names, so that a record need not be renamed.

    In a row, a field is its number; of the names only the descriptor that BigQuery gets must tell
    the truth. An object with a name that protobuf cannot take keeps its columns' names.
    """
    columns = tuple(replace(c, fields=_named_as_in_json(c.fields)) for c in columns)
    if not all(_PROTOBUF_NAME.fullmatch(column.name) for column in columns):
        return columns
    return tuple(replace(column, column=column.name) for column in columns)


def _exact(column: Column) -> Callable[[Any], Any]:
    if column.type == "INT64":
        return column_values.integer
    return column_values.converter(column) or _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


@lru_cache(maxsize=1_024)
def shared_encoder(columns: tuple[Column, ...], system: tuple[Column, ...]) -> RowEncoder:
    """Return the process's one encoder of these columns: runners set DoFns up again and again."""
    return RowEncoder(columns, system)
