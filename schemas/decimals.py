"""Checks decimal places in a fraction of the time that a general `multipleOf` takes.

`multipleOf: 0.01` is how a contract says "at most two decimals". A schema validator has to divide
exactly; of a number that JSON gave us, rounding to so many places and comparing tells the same.
"""

from collections.abc import Callable
from typing import Any, Final

from schemas.columns import JsonSchema, resolve

# What `multipleOf` says for each number of places.
_PLACES: Final = {10.0**-places: places for places in range(1, 10)}
# Where these stand, another schema applies to the same value: what it refers to stays as it is.
_CONDITIONS: Final = ("if", "then", "else", "allOf", "anyOf", "oneOf")

Check = Callable[[Any], bool]


def split_decimals(schema: dict[str, Any]) -> Check:
    """Take the decimal places out of a schema and return what checks them in its place.

    Args:
        schema: An object's; changed in place.

    Returns:
        Whether a record that satisfies the changed schema satisfies the original one too.
    """
    if _refers_in_conditions(schema):
        return _always
    check = _check(schema, schema) or _always
    for definition in schema.get("$defs", {}).values():
        _strip(definition)
    _strip(schema)
    return check


def _always(_: Any) -> bool:
    return True


def _refers_in_conditions(node: Any, *, inside: bool = False) -> bool:
    if isinstance(node, list):
        return any(_refers_in_conditions(item, inside=inside) for item in node)
    if not isinstance(node, dict):
        return False
    if inside and "$ref" in node:
        return True
    return any(
        _refers_in_conditions(value, inside=inside or key in _CONDITIONS)
        for key, value in node.items()
    )


def _places(schema: JsonSchema) -> int | None:
    return _PLACES.get(schema.get("multipleOf", 0))


def _strip(schema: dict[str, Any]) -> None:
    if _places(schema) is not None:
        del schema["multipleOf"]
    for child in schema.get("properties", {}).values():
        if isinstance(child, dict):
            _strip(child)
    if "items" in schema:
        _strip(schema["items"])


def _check(root: JsonSchema, schema: Any) -> Check | None:
    """Return the check of a value under a schema, or None where it has no decimals."""
    if not isinstance(schema, dict):
        return None
    schema = resolve(root, schema, "contract", "$")
    places = _places(schema)
    if places is not None:
        return _check_number(places)
    if "items" in schema:
        return _check_items(_check(root, schema["items"]))
    children = {
        name: check
        for name, child in schema.get("properties", {}).items()
        if (check := _check(root, child)) is not None
    }
    return _check_members(children) if children else None


def _check_number(places: int) -> Check:
    factor = 10.0**places

    def check(value: Any) -> bool:
        # The nearest float to a whole number of units has no more places, whatever arithmetic found
        # that number; only where none was found so is the exact way taken, which is four times as
        # slow: CPython rounds the decimal that the float is written as.
        return (
            value.__class__ is not float
            or (value * factor + 0.5) // 1.0 / factor == value
            or round(value, places) == value
        )

    return check


def _check_items(check: Check | None) -> Check | None:
    if check is None:
        return None
    return lambda values: values is None or all(map(check, values))


def _check_members(children: dict[str, Check]) -> Check:
    members = tuple(children.items())

    def check(record: Any) -> bool:
        if record is None:
            return True
        for name, check_member in members:
            value = record.get(name)
            if value is not None and not check_member(value):
                return False
        return True

    return check
