"""Finds what a changed contract would break: rows already stored, and producers already sending."""

from collections.abc import Iterator, Mapping
from typing import Any

from schemas.columns import Column, JsonSchema, map_columns, resolve

_UPPER_BOUNDS = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
_LOWER_BOUNDS = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
_EXACT = (
    "pattern", "format", "multipleOf", "allOf", "anyOf", "oneOf", "dependentRequired",
    "if", "then", "else",
)  # fmt: skip


def self_contained(schema: JsonSchema, definitions: Mapping[str, JsonSchema]) -> JsonSchema:
    """Return a schema with every `$ref` replaced by what it names.

    Args:
        schema: The schema; it refers by `#/$defs/<name>` alone.
        definitions: The schemas by that name.
    """
    node = dict(resolve({"$defs": definitions}, schema, "baseline", "$"))
    if "items" in node:
        node["items"] = self_contained(node["items"], definitions)
    if "properties" in node:
        node["properties"] = {
            name: self_contained(child, definitions) for name, child in node["properties"].items()
        }
    return node


def breaking_changes(old: JsonSchema, new: JsonSchema) -> list[str]:
    """Return one sentence for each change that breaks the table or a producer.

    Args:
        old: The contract as it was published, self-contained.
        new: The contract as it is now, self-contained.
    """
    return [*_ingest_changes(old, new), *_column_changes(old, new), *_stricter(old, new, "$")]


def _ingest_changes(old: JsonSchema, new: JsonSchema) -> Iterator[str]:
    before, after = old["x-ingest"], new["x-ingest"]
    for setting in ("key", "partition"):
        if before[setting] != after[setting]:
            yield f"$.x-ingest.{setting} changed"
    if (before["unknown_fields"], after["unknown_fields"]) == ("keep", "reject"):
        yield "$.x-ingest.unknown_fields no longer keeps what it does not know"


def _column_changes(old: JsonSchema, new: JsonSchema) -> Iterator[str]:
    before = dict(_flat(map_columns(old, "baseline"), ""))
    after = dict(_flat(map_columns(new, "contract"), ""))
    for path, (type_, mode) in before.items():
        if path not in after:
            yield f"column {path} is removed"
        elif after[path] != (type_, mode):
            yield f"column {path} changes from {type_} {mode} to {' '.join(after[path])}"


def _flat(columns: tuple[Column, ...], prefix: str) -> Iterator[tuple[str, tuple[str, str]]]:
    for column in columns:
        path = f"{prefix}{column.column}"
        yield path, (column.type, column.mode)
        yield from _flat(column.fields, f"{path}.")


def _types(schema: JsonSchema) -> set[str]:
    declared = schema.get("type", ())
    return {declared} if isinstance(declared, str) else set(declared)


def _stricter(old: JsonSchema, new: JsonSchema, path: str) -> Iterator[str]:
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{path}.{name} is newly required"
    refused = _types(old) - _types(new)
    if "number" in _types(new):
        refused.discard("integer")
    if refused:
        yield f"{path} no longer takes {', '.join(sorted(refused))}"
    yield from _stricter_values(old, new, path)
    yield from _stricter_keywords(old, new, path)
    if "items" in old and "items" in new:
        yield from _stricter(old["items"], new["items"], f"{path}[]")
    children: Mapping[str, Any] = new.get("properties", {})
    for name, child in old.get("properties", {}).items():
        if name in children:
            yield from _stricter(child, children[name], f"{path}.{name}")


def _stricter_keywords(old: JsonSchema, new: JsonSchema, path: str) -> Iterator[str]:
    for keyword in _UPPER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] < old[keyword]):
            yield f"{path} has a lower {keyword}"
    for keyword in _LOWER_BOUNDS:
        if keyword in new and (keyword not in old or new[keyword] > old[keyword]):
            yield f"{path} has a higher {keyword}"
    for keyword in _EXACT:
        if keyword in new and new[keyword] != old.get(keyword):
            yield f"{path} has another {keyword}"
    if new.get("uniqueItems") and not old.get("uniqueItems"):
        yield f"{path} has uniqueItems"


def _stricter_values(old: JsonSchema, new: JsonSchema, path: str) -> Iterator[str]:
    allowed = [new["const"]] if "const" in new else new.get("enum")
    if allowed is None:
        return
    before = [old["const"]] if "const" in old else old.get("enum")
    if before is None:
        yield f"{path} is newly limited to some values"
    elif any(value not in allowed for value in before):
        yield f"{path} no longer takes some of its values"
