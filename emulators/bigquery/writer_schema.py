"""Holds a writer's protobuf schema against its table, and turns its rows into Arrow columns.

bqemulator drops what it does not know and fills what is missing with NULL; BigQuery refuses both.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa  # type: ignore[import-untyped] # It ships no types.
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from emulators.bigquery import values
from emulators.bigquery.cures import arrow_schema
from emulators.bigquery.values import BadValueError

Convert = Callable[[Any], Any]

_F: Final = FieldDescriptor
_INT32S: Final = (_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32)
_INT64S: Final = (_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64)
_UINT32S: Final = (_F.TYPE_UINT32, _F.TYPE_FIXED32)
_UINT64S: Final = (_F.TYPE_UINT64, _F.TYPE_FIXED64)
_FLOATS: Final = (_F.TYPE_DOUBLE, _F.TYPE_FLOAT)


def _for(types: Sequence[int], convert: Convert) -> dict[int, Convert]:
    return dict.fromkeys(types, convert)


_TEXT: Final = _F.TYPE_STRING
_INTEGER: Final = {
    **_for((*_INT32S, *_INT64S, *_UINT32S, _F.TYPE_ENUM), int),
    **_for(_UINT64S, values.integer),
}
_FLOAT: Final = _for(_FLOATS, float)
_BOOLEAN: Final = _for((_F.TYPE_BOOL, *_INT32S, *_INT64S, *_UINT32S, *_UINT64S), bool)
_NUMBERS: Final = (*_INT32S, *_INT64S, *_UINT32S, *_UINT64S, *_FLOATS, _TEXT)
# https://cloud.google.com/bigquery/docs/supported-data-types, without the wrapper messages of
# google.protobuf, which a self-contained descriptor cannot name.
ACCEPTED: Final[Mapping[str, Mapping[int, Convert]]] = {
    "STRING": _for((_TEXT,), values.text),
    "BYTES": {_F.TYPE_BYTES: bytes, _TEXT: lambda value: values.text(value).encode()},
    "INTEGER": _INTEGER,
    "INT64": _INTEGER,
    "FLOAT": _FLOAT,
    "FLOAT64": _FLOAT,
    "BOOLEAN": _BOOLEAN,
    "BOOL": _BOOLEAN,
    "NUMERIC": {**_for(_NUMBERS, values.numeric), _F.TYPE_BYTES: values.numeric_bytes},
    "DATE": {**_for((*_INT32S, *_INT64S), values.date_days), _TEXT: values.date_literal},
    "TIMESTAMP": _for((*_INT64S, *_INT32S, *_UINT32S), values.timestamp_micros),
    "DATETIME": {_TEXT: values.datetime_literal, **_for(_INT64S, values.datetime_civil)},
    "TIME": {_TEXT: values.time_literal, **_for(_INT64S, values.time_civil)},
    "JSON": {_TEXT: values.json_document},
}
RECORDS: Final = ("RECORD", "STRUCT")


class WriterSchemaError(ValueError):
    """A writer schema that its table refuses as a whole."""


class ExtraFieldsError(WriterSchemaError):
    """The writer has columns that the table lacks; `fields` are their paths."""

    def __init__(self, fields: Sequence[str]) -> None:
        names = ", ".join(f"'{field}'" for field in fields)
        super().__init__(
            f"Input schema has more fields than BigQuery schema, extra fields: {names}"
        )
        self.fields = list(fields)


class RowError(ValueError):
    """A row that its table refuses. Says which column and why, never the value: it may be PHI."""


class _Column(NamedTuple):
    name: str  # the table's
    path: str
    field: str | None  # the writer's, if it sends this column
    repeated: bool
    required: bool
    convert: Convert


class RowDecoder:
    """Decodes the rows of one writer schema for one table."""

    def __init__(self, fields: Sequence[Any], writer: descriptor_pb2.DescriptorProto) -> None:
        descriptor = _build_descriptor(writer)
        extra: list[str] = []
        self._columns = _match(fields, descriptor, "", extra)
        if extra:
            raise ExtraFieldsError(extra)
        self._message = message_factory.GetMessageClass(descriptor)
        self._schema = arrow_schema(fields)

    def decode(self, serialized: bytes) -> dict[str, Any]:
        """One row as {column: what Arrow stores}; raises RowError."""
        message = self._message()
        try:
            message.ParseFromString(serialized)
        except DecodeError:
            raise RowError("The row cannot be parsed by the writer schema") from None
        return _decode(self._columns, message)

    def table(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        """Decoded rows in the table's Arrow schema."""
        arrays = [
            pa.array([row[field.name] for row in rows], type=field.type) for field in self._schema
        ]
        return pa.Table.from_arrays(arrays, schema=self._schema)


def _build_descriptor(writer: descriptor_pb2.DescriptorProto) -> Descriptor:
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name="writer.proto", syntax="proto2")
    file.message_type.add().CopyFrom(writer)
    try:
        pool.Add(file)
        return pool.FindMessageTypeByName(writer.name)
    # The two implementations of protobuf raise different ones for a descriptor that does not
    # stand on its own.
    except (TypeError, KeyError, ValueError):
        raise WriterSchemaError("The writer schema is not a self-contained message") from None


def _match(
    fields: Sequence[Any], descriptor: Descriptor, prefix: str, extra: list[str]
) -> list[_Column]:
    # BigQuery compares column names without regard to case.
    sent = {field.name.lower(): field for field in descriptor.fields}
    columns = [
        _column(field, sent.pop(field.name.lower(), None), f"{prefix}{field.name}", extra)
        for field in fields
    ]
    extra += [f"{prefix}{field.name}" for field in sent.values()]
    return columns


def _column(field: Any, sent: FieldDescriptor | None, path: str, extra: list[str]) -> _Column:
    repeated, required = field.mode == "REPEATED", field.mode == "REQUIRED"
    if sent is None:
        return _Column(field.name, path, None, repeated, required, values.text)
    if bool(sent.is_repeated) != repeated:
        state = "repeated" if repeated else "not repeated"
        raise WriterSchemaError(f"Field {path} is {state} in the table, unlike the input")
    convert = _convert(field, sent, path, extra)
    return _Column(field.name, path, sent.name, repeated, required, convert)


def _convert(field: Any, sent: FieldDescriptor, path: str, extra: list[str]) -> Convert:
    kind = field.type.upper()
    if kind in RECORDS and sent.type == _F.TYPE_MESSAGE and sent.message_type is not None:
        columns = _match(field.fields, sent.message_type, f"{path}.", extra)
        return lambda message: _decode(columns, message)
    if kind == "STRING" and sent.type == _F.TYPE_ENUM and sent.enum_type is not None:
        names = {number: value.name for number, value in sent.enum_type.values_by_number.items()}
        return names.__getitem__
    convert = ACCEPTED.get(kind, {}).get(sent.type)
    if convert is None:
        raise WriterSchemaError(f"The input's type of field {path} cannot be converted to {kind}")
    return convert


def _decode(columns: Sequence[_Column], message: Message) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, path, field, repeated, required, convert in columns:
        try:
            if repeated:
                row[name] = [convert(item) for item in getattr(message, field)] if field else []
            elif field is not None and message.HasField(field):
                row[name] = convert(getattr(message, field))
            elif required:
                raise RowError(f"Field {path}: missing required field")
            else:
                row[name] = None
        except BadValueError as error:
            raise RowError(f"Field {path}: {error}") from None
    return row
