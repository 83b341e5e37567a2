"""Describes the endpoint as OpenAPI 3.1, from the same contracts that it enforces."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas import limits
from schemas.bounds import bounded
from schemas.registry import SYSTEM_COLUMNS, Resource

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
PROBLEM: Final = "application/problem+json"

_DESCRIPTION: Final = f"""\
Send health records; each is answered only when it is safely published.

Every request carries the key of its resource in `x-api-key`. A body is one JSON object, a JSON
array or NDJSON, plain or gzip, of at most {limits.MAX_BODY_BYTES:,} bytes before and after
decompression, with records of at most {limits.MAX_RECORD_BYTES:,} bytes. Good records of a bulk
request are accepted even when others are not. No answer ever repeats a value that was sent.
"""

# Answers that any operation may give, besides its own 202.
_PROBLEMS: Final = {
    "400": "The body, its encoding or a header cannot be read.",
    "401": "The API key is missing or not one of this resource's.",
    "404": "There is no such resource.",
    "405": "The resource does not know this method.",
    "408": "The body took too long to arrive.",
    "413": "The body is too large, as sent or after decompression.",
    "415": "The media type or the content encoding is not supported.",
    "422": "Nothing in the body is valid; `errors` says where and why.",
    "429": "Too many requests; repeat after `Retry-After` seconds.",
    "500": "The service is not set up rightly; its operator has been told.",
    "503": "Not published in time, so not accepted; repeat after `Retry-After` seconds.",
}
_BODY_PROBLEMS: Final = ("400", "408", "413", "415", "422")


def build_openapi(resources: Mapping[str, Resource]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of an endpoint that serves these resources."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = dict(_SHARED_SCHEMAS)
    for resource in resources.values():
        paths[f"/v1/{resource.name}"] = {"post": _post(resource)}
        paths[f"/v1/{resource.name}/events/{{event_id}}"] = {"get": _state(resource)}
        segments = "".join(f"/{{{name}}}" for name in resource.key)
        paths[f"/v1/{resource.name}{segments}"] = {"delete": _delete(resource)}
        schemas.update(_components(resource))
    paths["/livez"] = {"get": _health("The process is up.", failing=False)}
    paths["/readyz"] = {"get": _health("Its keys and its topic are reachable.", failing=True)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Vitalflow",
            "version": "1",
            "summary": "Health records to BigQuery within seconds",
            "description": _DESCRIPTION,
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": resource.name, "description": resource.description}
            for resource in resources.values()
        ],
        "security": [{"apiKey": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
            "schemas": schemas,
            "responses": {status: _problem(text, status) for status, text in _PROBLEMS.items()},
        },
    }


def _components(resource: Resource) -> Iterator[tuple[str, Any]]:
    """Yield the contract and its `$defs` as components; without a base URI of their own."""
    schema = bounded(resource.schema)
    for name, definition in schema.pop("$defs", {}).items():
        yield f"{resource.name}.{name}", _rebased(definition, resource.name)
    del schema["$schema"], schema["$id"]
    if resource.unknown_fields == "reject":
        schema["additionalProperties"] = False
    schema["propertyNames"] = {"not": {"enum": [column.name for column in SYSTEM_COLUMNS]}}
    yield resource.name, _rebased(schema, resource.name)


def _rebased(node: Any, resource: str) -> Any:
    if isinstance(node, list):
        return [_rebased(item, resource) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value.replace("#/$defs/", f"#/components/schemas/{resource}.")
        if key == "$ref"
        else _rebased(value, resource)
        for key, value in node.items()
    }


def _post(resource: Resource) -> dict[str, Any]:
    record = {"$ref": f"#/components/schemas/{resource.name}"}
    many = {"type": "array", "items": record, "minItems": 1, "maxItems": limits.MAX_BODY_RECORDS}
    return {
        "operationId": f"send_{resource.name}",
        "tags": [resource.name],
        "summary": f"Send {resource.title.lower()}: one record or many",
        "parameters": [_IDEMPOTENCY_KEY, _CONTENT_ENCODING],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"oneOf": [record, many]}},
                NDJSON: {"schema": {"type": "string", "description": "One record a line."}},
            },
        },
        "responses": _responses(*_BODY_PROBLEMS),
    }


def _state(resource: Resource) -> dict[str, Any]:
    state = {"schema": {"$ref": "#/components/schemas/EventState"}}
    statuses = ("401", "404", "405", "429", "500", "503")
    return {
        "operationId": f"state_of_{resource.name}_event",
        "tags": [resource.name],
        "summary": "Ask what became of a record, by its event id",
        "description": (
            "Answers for what the same key sent; anything else is `unknown`. A service of its own "
            "serves it: where nothing joins the two under one name, at another address."
        ),
        "parameters": [
            {
                "name": "event_id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "format": "uuid"},
            }
        ],
        "responses": {"200": {"description": "What is known of it.", "content": {JSON: state}}}
        | {status: {"$ref": f"#/components/responses/{status}"} for status in statuses},
    }


def _delete(resource: Resource) -> dict[str, Any]:
    properties = bounded(resource.schema)["properties"]
    return {
        "operationId": f"delete_{resource.name}",
        "tags": [resource.name],
        "summary": "Send a tombstone: the record is no longer current",
        "parameters": [
            *(
                {
                    "name": name,
                    "in": "path",
                    "required": True,
                    "schema": _rebased(properties[name], resource.name),
                }
                for name in resource.key
            ),
            _IDEMPOTENCY_KEY,
        ],
        "responses": _responses("400", "422"),
    }


def _responses(*own: str) -> dict[str, Any]:
    accepted = {
        "description": "Accepted and published, all or in part.",
        "headers": {"X-Request-Id": {"schema": {"type": "string", "format": "uuid"}}},
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Accepted"}}},
    }
    statuses = sorted({*own, "401", "404", "405", "429", "500", "503"})
    return {"202": accepted} | {
        status: {"$ref": f"#/components/responses/{status}"} for status in statuses
    }


def _problem(description: str, status: str) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": description,
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in ("429", "503"):
        response["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
    return response


def _health(description: str, *, failing: bool) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {"description": description, "content": {JSON: {"schema": {"type": "object"}}}}
    }
    if failing:
        responses["503"] = {"$ref": "#/components/responses/503"}
    return {"tags": ["health"], "security": [], "summary": description, "responses": responses}


_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": (
        "A repeat with the same key gives its records the same event ids: they count once."
    ),
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_CONTENT_ENCODING: Final = {
    "name": "Content-Encoding",
    "in": "header",
    "schema": {"type": "string", "enum": ["gzip", "x-gzip", "identity", ""]},
}
_RECORD_ERROR: Final = {
    "type": "object",
    "required": ["path", "rule", "message"],
    "properties": {
        "path": {"type": "string", "description": "JSONPath of the value."},
        "rule": {"type": "string", "description": "The rule that it breaks."},
        "message": {"type": "string", "description": "What the rule asks for."},
    },
}
_ERRORS_TRUNCATED: Final = {
    "type": "boolean",
    "description": "True where there are more errors than an answer lists.",
}
_SHARED_SCHEMAS: Final = {
    "RecordError": _RECORD_ERROR,
    "Accepted": {
        "type": "object",
        "required": ["request_id", "accepted", "rejected", "records"],
        "properties": {
            "request_id": {"type": "string", "format": "uuid"},
            "accepted": {"type": "integer", "minimum": 1},
            "rejected": {"type": "integer", "minimum": 0},
            "errors_truncated": _ERRORS_TRUNCATED,
            "records": {
                "type": "array",
                "description": "One entry a record, in the order of the body.",
                "items": {
                    "type": "object",
                    "required": ["index"],
                    "properties": {
                        "index": {"type": "integer", "minimum": 0},
                        "event_id": {"type": "string", "format": "uuid"},
                        "errors": {
                            "type": "array",
                            "items": {"$ref": "#/components/schemas/RecordError"},
                        },
                    },
                },
            },
        },
    },
    "EventState": {
        "type": "object",
        "required": ["event_id", "state", "request_id"],
        "properties": {
            "event_id": {"type": "string", "format": "uuid"},
            "state": {"type": "string", "enum": ["accepted", "loaded", "dead_lettered", "unknown"]},
            "accepted_ts": {"type": "string", "format": "date-time"},
            "published_ts": {"type": "string", "format": "date-time"},
            "failed_ts": {"type": "string", "format": "date-time"},
            "stage": {"type": "string", "description": "Of a dead letter: the step that failed."},
            "code": {"type": "string", "description": "Of a dead letter: stable, for programs."},
            "errors": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/RecordError"},
            },
            "may_be_in_flight": {
                "type": "boolean",
                "description": "Of an unknown event: whether it may have been accepted lately.",
            },
            "request_id": {"type": "string", "format": "uuid"},
        },
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457 problem details.",
        "required": ["type", "title", "status", "code", "request_id"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string", "description": "Stable; meant for programs."},
            "errors_truncated": _ERRORS_TRUNCATED,
            "request_id": {"type": "string", "format": "uuid"},
            "errors": {
                "type": "array",
                "items": {
                    "allOf": [
                        {"$ref": "#/components/schemas/RecordError"},
                        {
                            "type": "object",
                            "properties": {"index": {"type": "integer", "minimum": 0}},
                        },
                    ]
                },
            },
        },
    },
}
