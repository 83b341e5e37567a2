"""Tells `bq` and Google's other generated clients what the emulator serves.

They ask an endpoint that is not Google's for its discovery document
(https://developers.google.com/discovery/v1/reference/apis) and call nothing that is not in it.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

PATHS: Final = ("/$discovery/rest", "/discovery/v1/apis/bigquery/v2/rest")
_SERVICE_PATH: Final = "bigquery/v2/"
_ANY: Final = "JsonObject"
# Every query parameter of the methods served. Which method knows which, the server says.
_OPTIONS: Final = (
    "accessPolicyVersion",
    "all",
    "allUsers",
    "alt",
    "autodetectSchema",
    "dataFormat",
    "datasetView",
    "deleteContents",
    "fields",
    "filter",
    "formatOptions.timestampOutputFormat",
    "formatOptions.useInt64Timestamp",
    "key",
    "location",
    "maxCreationTime",
    "maxResults",
    "minCreationTime",
    "pageToken",
    "parentJobId",
    "prettyPrint",
    "projection",
    "quotaUser",
    "selectedFields",
    "startIndex",
    "stateFilter",
    "timeoutMs",
    "userIp",
    "view",
)
_WITH_BODY: Final = ("POST", "PUT", "PATCH")


def document(root: str, routes: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """The document of these routes ({"tables.get": ("GET", path)}) under a root URL."""
    resources: dict[str, Any] = {}
    for name, (verb, path) in routes.items():
        resource, _, method = name.partition(".")
        methods = resources.setdefault(resource, {"methods": {}})["methods"]
        methods[method] = _method(name, verb, path.removeprefix(f"/{_SERVICE_PATH}"))
    return {
        "kind": "discovery#restDescription",
        "id": "bigquery:v2",
        "name": "bigquery",
        "version": "v2",
        "protocol": "rest",
        "rootUrl": f"{root}/",
        "servicePath": _SERVICE_PATH,
        "basePath": f"/{_SERVICE_PATH}",
        "baseUrl": f"{root}/{_SERVICE_PATH}",
        "batchPath": "batch/bigquery/v2",
        "parameters": {name: {"type": "string", "location": "query"} for name in _OPTIONS},
        "schemas": {_ANY: {"id": _ANY, "type": "object", "properties": {}}},
        "resources": resources,
    }


def _method(name: str, verb: str, path: str) -> dict[str, Any]:
    order = re.findall(r"\{(\w+)\}", path)
    method: dict[str, Any] = {
        "id": f"bigquery.{name}",
        "path": path,
        "httpMethod": verb,
        "parameters": {
            key: {"type": "string", "location": "path", "required": True} for key in order
        },
        "parameterOrder": order,
        "response": {"$ref": _ANY},
    }
    if verb in _WITH_BODY:
        method["request"] = {"$ref": _ANY}
    if name == "jobs.insert":  # A load brings its file along.
        upload = f"/upload/{_SERVICE_PATH}{path}"
        protocols = {kind: {"multipart": True, "path": upload} for kind in ("simple", "resumable")}
        method["supportsMediaUpload"] = True
        method["mediaUpload"] = {"accept": ["*/*"], "protocols": protocols}
    return method
