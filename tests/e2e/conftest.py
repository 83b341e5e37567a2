"""The whole stack, serving the shipped resources and the one that the README adds."""

import gzip
import json
import os
import re
import shutil
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from emulators.stack import Stack
from schemas.generate import main as generate
from schemas.registry import SCHEMAS_DIR, SCHEMAS_DIR_VARIABLE

README = SCHEMAS_DIR.parent / "README.md"
PATIENCE_SECONDS = 90


def readme_contract() -> dict[str, Any]:
    """Return the contract that the README tells its reader to write."""
    [block] = re.findall(r"<!-- vitals -->\n +```json\n(.*?)\n +```", README.read_text(), re.DOTALL)
    return json.loads(textwrap.dedent(block))


@dataclass(frozen=True)
class System:
    """The running stack, as a producer and an analyst reach it."""

    info: dict[str, Any]
    http: httpx.Client
    sql: bigquery.Client
    logs: Path

    def send(self, resource: str, body: Any, **headers: str) -> httpx.Response:
        """POST a record, a list of them, or bytes as they stand."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(
            f"/v1/{resource}",
            content=content,
            headers={"x-api-key": self.info["api_keys"][resource]}
            | {"content-type": "application/json"}
            | names,
        )

    def send_gzip(self, resource: str, records: list[Any]) -> httpx.Response:
        body = gzip.compress(json.dumps(records).encode())
        return self.send(resource, body, content_encoding="gzip")

    def delete(self, resource: str, key: str) -> httpx.Response:
        headers = {"x-api-key": self.info["api_keys"][resource]}
        return self.http.delete(f"/v1/{resource}/{key}", headers=headers)

    def query(self, sql: str, **parameters: str | list[str]) -> list[dict[str, Any]]:
        config = bigquery.QueryJobConfig(
            query_parameters=[
                bigquery.ArrayQueryParameter(name, "STRING", value)
                if isinstance(value, list)
                else bigquery.ScalarQueryParameter(name, "STRING", value)
                for name, value in parameters.items()
            ]
        )
        return [dict(row) for row in self.sql.query(sql, job_config=config).result()]

    def wait_for(
        self, sql: str, enough: Callable[[list[dict[str, Any]]], bool], **parameters: Any
    ) -> list[dict[str, Any]]:
        """Ask until the rows are as wanted; the last rows are returned either way."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not enough(rows := self.query(sql, **parameters)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.3)
        return rows

    def fault(self, service: str, **rule: Any) -> None:
        """Inject a fault into `pubsub`, `bigquery` (REST) or `bigquery_write` (appends)."""
        url = f"{self.info['faults'][service.partition('_')[0]]}/faults"
        httpx.post(url, json={"service": service} | rule, trust_env=False).raise_for_status()


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    schemas = folder / "schemas"
    shutil.copytree(SCHEMAS_DIR, schemas, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (schemas / "resources" / "vitals.schema.json").write_text(json.dumps(readme_contract()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SCHEMAS_DIR_VARIABLE, str(schemas))
        assert generate([]) == 0
        stack = Stack(Path(folder, "stack"))
        with stack:
            os.environ.pop(SCHEMAS_DIR_VARIABLE)  # the other tests of this process want the shipped
            with (
                httpx.Client(
                    base_url=stack.info["endpoint"], timeout=30, trust_env=False
                ) as client,
                bigquery.Client(
                    project=stack.info["project"],
                    credentials=AnonymousCredentials(),
                    client_options={"api_endpoint": stack.info["bigquery_rest"]},
                ) as sql,
            ):
                yield System(stack.info, client, sql, stack.folder / "logs")


@pytest.fixture(autouse=True)
def no_faults(system: System) -> Iterator[None]:
    """Leave no fault behind for the next test."""
    yield
    for url in system.info["faults"].values():
        httpx.delete(f"{url}/faults", trust_env=False).raise_for_status()
