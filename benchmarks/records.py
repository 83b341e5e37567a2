"""Makes the records that are sent: from the contracts' own examples, of the size asked for."""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from benchmarks import API_KEY
from schemas.registry import SCHEMAS_DIR, Resource
from schemas.validation import Validator

Record = dict[str, Any]

KILOBYTE: Final = 1_024
JSON_TYPE: Final = "application/json"
NDJSON_TYPE: Final = "application/x-ndjson"
_KEY_DIGITS: Final = 12


def sized(resource: Resource, size: int) -> Record:
    """Return a valid record whose compact JSON has about `size` bytes.

    The fullest example loses its largest optional parts, or its longest list grows by copies of
    its last element.
    """
    examples = (SCHEMAS_DIR / "examples" / resource.name).glob("*.pass.json")
    record: Record = max((json.loads(path.read_bytes()) for path in examples), key=_size)
    validator = Validator(resource)
    _grow(record, size, validator)
    while _size(record) > size:
        smaller = [part for part in _without_a_part(record) if validator.is_valid(part)]
        fitting = [part for part in smaller if _size(part) >= size]
        if fitting:
            record = min(fitting, key=_size)
        else:
            # As near as it gets, from either side.
            near = [record, *smaller]
            return min(near, key=lambda part: abs(_size(part) - size))
    return record


def variants(resource: Resource, record: Record, count: int) -> Iterator[Record]:
    """Yield that many records which differ in their keys."""
    name = resource.key[0]
    for number in range(count):
        changed = copy.copy(record)
        changed[name] = f"bench-{number:0{_KEY_DIGITS}d}"
        yield changed


def broken(resource: Resource, record: Record) -> Record:
    """Return a record that breaks its contract in one place: a key that is no string."""
    return {**record, resource.key[0]: 1.5}


def mixed(resource: Resource, record: Record, count: int, invalid: float) -> list[Record]:
    """Return records of which that share, spread evenly, is invalid."""
    mixture = []
    for number, variant in enumerate(variants(resource, record, count)):
        is_bad = int((number + 1) * invalid) > int(number * invalid)
        mixture.append(broken(resource, variant) if is_bad else variant)
    return mixture


def single_request(path: str, record: Record, api_key: str = API_KEY) -> bytes:
    """Return the HTTP request of one record."""
    return _request(path, JSON_TYPE, orjson.dumps(record), api_key)


def bulk_request(path: str, records: Sequence[Record], api_key: str = API_KEY) -> bytes:
    """Return the HTTP request of many records."""
    return _request(path, NDJSON_TYPE, b"\n".join(map(orjson.dumps, records)), api_key)


def _request(path: str, media_type: str, body: bytes, api_key: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: vitalflow-bench\r\n"
        f"Accept: */*\r\nx-api-key: {api_key}\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _size(record: Record) -> int:
    return len(orjson.dumps(record))


def _grow(record: Record, size: int, validator: Validator) -> None:
    lists = [value for value in record.values() if isinstance(value, list) and value]
    for items in sorted(lists, key=lambda items: len(orjson.dumps(items)), reverse=True):
        while _size(record) < size:
            items.append(copy.deepcopy(items[-1]))
            if not validator.is_valid(record):
                items.pop()
                break


def _without_a_part(record: Record) -> Iterator[Record]:
    """Yield the record without each of its fields, or without the last element of a list."""
    for name, value in record.items():
        yield {key: kept for key, kept in record.items() if key != name}
        if isinstance(value, list) and len(value) > 1:
            yield {**record, name: value[:-1]}
