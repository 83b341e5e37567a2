"""Builds the protobuf message in which BigQuery's Storage Write API takes a table's rows."""

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from schemas.registry import Column

_Field = descriptor_pb2.FieldDescriptorProto

# https://cloud.google.com/bigquery/docs/supported-data-types
_TYPES: Final = {
    "STRING": _Field.TYPE_STRING,
    "INT64": _Field.TYPE_INT64,
    "FLOAT64": _Field.TYPE_DOUBLE,
    "BOOL": _Field.TYPE_BOOL,
    "BYTES": _Field.TYPE_BYTES,
    "DATE": _Field.TYPE_INT32,  # days since the epoch
    "TIMESTAMP": _Field.TYPE_INT64,  # microseconds since the epoch
    "TIME": _Field.TYPE_STRING,
    "NUMERIC": _Field.TYPE_STRING,
    "JSON": _Field.TYPE_STRING,
    "RECORD": _Field.TYPE_MESSAGE,
}
_LABELS: Final = {
    "NULLABLE": _Field.LABEL_OPTIONAL,
    "REQUIRED": _Field.LABEL_REQUIRED,
    "REPEATED": _Field.LABEL_REPEATED,
}
# A nested message may not be named like a field beside it: no column may begin like this
# (https://cloud.google.com/bigquery/docs/schemas#column_names).
_NESTED_PREFIX: Final = "__root__"


def row_descriptor(columns: Iterable[Column], name: str = "Row") -> descriptor_pb2.DescriptorProto:
    """Return a self-contained proto2 descriptor: field names are the columns' names."""
    descriptor = descriptor_pb2.DescriptorProto(name=name)
    for number, column in enumerate(columns, start=1):
        field = descriptor.field.add(
            name=column.column,
            number=number,
            type=_TYPES[column.type],
            label=_LABELS[column.mode],
        )
        if column.type == "RECORD":
            nested = row_descriptor(column.fields, _NESTED_PREFIX + column.column)
            descriptor.nested_type.append(nested)
            field.type_name = nested.name
    return descriptor


def row_class(descriptor: descriptor_pb2.DescriptorProto) -> type[Message]:
    """Return the message class of a row, in a pool of its own so that tables cannot collide."""
    file = descriptor_pb2.FileDescriptorProto(
        name="row.proto", syntax="proto2", message_type=[descriptor]
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(descriptor.name))


def table_columns(fields: Iterable[dict[str, Any]]) -> tuple[Column, ...]:
    """Return the columns of a table that is given in BigQuery's REST form."""
    return tuple(
        Column(
            name=field["name"],
            column=field["name"],
            type=field["type"],
            mode=field.get("mode", "NULLABLE"),
            fields=table_columns(field.get("fields", ())),
        )
        for field in fields
    )
