"""The textbook Cloud Function: Functions Framework, Flask, and a publish that is waited for.

https://cloud.google.com/functions/docs/tutorials/pubsub and
https://cloud.google.com/pubsub/docs/publisher, with the key cached in a global as
https://cloud.google.com/functions/docs/bestpractices/tips tells.
"""

import json
import os
import uuid
from datetime import UTC, datetime
from functools import cache

import flask
import functions_framework
from flask.typing import ResponseReturnValue
from google.cloud import pubsub_v1  # type: ignore[attr-defined]  # a namespace package

from benchmarks.peers.secret import access_api_key


@cache
def publisher() -> pubsub_v1.PublisherClient:
    """Return the client; made by the first request, as gRPC does not survive gunicorn's fork."""
    return pubsub_v1.PublisherClient()


@cache
def api_key() -> str:
    """Return the key."""
    return access_api_key()


@functions_framework.http
def ingest(request: flask.Request) -> ResponseReturnValue:
    """Publish a record, or each line of NDJSON."""
    if request.headers.get("x-api-key") != api_key():
        return {"error": "unauthorized"}, 401
    if request.mimetype == "application/x-ndjson":
        records = [json.loads(line) for line in request.get_data().splitlines()]
    else:
        records = [request.get_json()]
    if not all(record.get("patient_id") for record in records):
        return {"error": "patient_id is required"}, 400
    topic = publisher().topic_path(os.environ["PROJECT_ID"], "patients")
    now = datetime.now(UTC).isoformat()
    futures = []
    for record in records:
        record |= {"created_ts": now, "updated_ts": now, "created_by": "v1", "is_active": True}
        record["event_id"] = str(uuid.uuid4())
        data = json.dumps(record).encode("utf-8")
        futures.append(publisher().publish(topic, data, resource="patients"))
    return {"message_ids": [future.result() for future in futures]}, 202
