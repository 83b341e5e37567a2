"""A Flask application under gunicorn, as Cloud Run's Python quickstart starts it.

https://cloud.google.com/run/docs/quickstarts/build-and-deploy/deploy-python-service and
https://flask.palletsprojects.com/en/stable/deploying/gunicorn/.
"""

import json
import os
import uuid
from datetime import UTC, datetime

from flask import Flask, request
from flask.typing import ResponseReturnValue
from google.cloud import pubsub_v1  # type: ignore[attr-defined]  # a namespace package

from benchmarks.peers.secret import access_api_key

app = Flask(__name__)
publisher = pubsub_v1.PublisherClient()
topic = publisher.topic_path(os.environ["PROJECT_ID"], "patients")
api_key = access_api_key()


@app.post("/")
def ingest() -> ResponseReturnValue:
    """Publish a record, or each line of NDJSON."""
    if request.headers.get("x-api-key") != api_key:
        return {"error": "unauthorized"}, 401
    if request.mimetype == "application/x-ndjson":
        records = [json.loads(line) for line in request.get_data().splitlines()]
    else:
        records = [request.get_json()]
    if not all(record.get("patient_id") for record in records):
        return {"error": "patient_id is required"}, 400
    now = datetime.now(UTC).isoformat()
    futures = []
    for record in records:
        record |= {"created_ts": now, "updated_ts": now, "created_by": "v1", "is_active": True}
        record["event_id"] = str(uuid.uuid4())
        futures.append(publisher.publish(topic, json.dumps(record).encode(), resource="patients"))
    return {"message_ids": [future.result() for future in futures]}, 202
