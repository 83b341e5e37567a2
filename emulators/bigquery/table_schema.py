"""A table's schema in the form of the Storage API, nested fields included.

bqemulator's own leaves nested fields out, and calls a RECORD a STRING.
"""

from collections.abc import Sequence
from typing import Any, Final

from google.cloud.bigquery_storage_v1 import types

_FIELD: Any = types.TableFieldSchema
# REST says by two names what the Storage API says by one.
_TYPES: Final = {
    "INTEGER": "INT64",
    "FLOAT": "DOUBLE",
    "FLOAT64": "DOUBLE",
    "BOOLEAN": "BOOL",
    "RECORD": "STRUCT",
}


def table_schema(fields: Sequence[Any]) -> types.TableSchema:
    """The catalog's fields as a TableSchema."""
    return types.TableSchema(fields=[_field(field) for field in fields])


def _field(field: Any) -> Any:
    kind = field.type.upper()
    return _FIELD(
        name=field.name,
        type_=_FIELD.Type[_TYPES.get(kind, kind)],
        mode=_FIELD.Mode[field.mode],
        description=field.description or "",
        fields=[_field(sub) for sub in field.fields],
    )
