"""FastAPI under uvicorn with Google's publisher client.

https://fastapi.tiangolo.com/deployment/manually/ and https://cloud.google.com/pubsub/docs/publisher;
the publisher's future is awaited, so that no thread waits for it.
"""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from google.cloud import pubsub_v1  # type: ignore[attr-defined]  # a namespace package
from pydantic import BaseModel, ConfigDict

from benchmarks.peers.secret import access_api_key


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Make the client and read the key."""
    app.state.publisher = pubsub_v1.PublisherClient()
    app.state.api_key = access_api_key()
    yield


app = FastAPI(lifespan=lifespan)
topic = f"projects/{os.environ['PROJECT_ID']}/topics/patients"


class Patient(BaseModel):
    """A patient; unknown fields are kept."""

    model_config = ConfigDict(extra="allow")

    patient_id: str
    name: dict[str, Any]


async def check_key(x_api_key: Annotated[str, Header()]) -> None:
    """Refuse a wrong key."""
    if x_api_key != app.state.api_key:
        raise HTTPException(401)


@app.post("/", status_code=202, dependencies=[Depends(check_key)])
async def ingest(patient: Patient) -> dict[str, list[str]]:
    """Publish a record."""
    return await publish([patient.model_dump(mode="json")])


@app.post("/bulk", status_code=202, dependencies=[Depends(check_key)])
async def ingest_bulk(request: Request) -> dict[str, list[str]]:
    """Publish each line of NDJSON."""
    body = await request.body()
    patients = [Patient.model_validate_json(line) for line in body.splitlines()]
    return await publish([patient.model_dump(mode="json") for patient in patients])


async def publish(records: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Publish and wait for every acknowledgement."""
    now = datetime.now(UTC).isoformat()
    futures = []
    for record in records:
        record |= {"created_ts": now, "updated_ts": now, "created_by": "v1", "is_active": True}
        record["event_id"] = str(uuid.uuid4())
        data = json.dumps(record).encode()
        future = app.state.publisher.publish(topic, data, resource="patients")
        futures.append(asyncio.wrap_future(future))
    return {"message_ids": list(await asyncio.gather(*futures))}
