"""Requests made from the API's own description, right and wrong: each is answered as it says."""

import gzip
import os
from collections import Counter

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from schemas import limits
from schemas.openapi import JSON, NDJSON, build_openapi
from schemas.registry import load_registry
from tests.fixtures.endpoint import KEY

# `make abuse` asks for more.
CASES = int(os.environ.get("VITALFLOW_OPENAPI_CASES", "300"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    positive_data_acceptance,
]


@schemathesis.serializer(NDJSON)
def lines(context, value):
    """Return an NDJSON body, of which the description says only that it is text."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


def compressed(request):
    """Make true what the request's Content-Encoding says."""
    if request.headers.get("Content-Encoding") in ("gzip", "x-gzip") and request.body:
        body = request.body if isinstance(request.body, bytes) else request.body.encode()
        request.body = gzip.compress(body, compresslevel=1)
        request.headers["Content-Length"] = str(len(request.body))
    return request


def operations():
    """What this process serves: another answers where an event is."""
    document = build_openapi(load_registry())
    for path in document["paths"].values():
        if "post" in path:  # else a good part of the time makes bodies of 10,001 records
            _, many = path["post"]["requestBody"]["content"][JSON]["schema"]["oneOf"]
            assert many.pop("maxItems") == limits.MAX_BODY_RECORDS
    schema = schemathesis.openapi.from_dict(document)
    found = (result.ok() for result in schema.get_all_operations())
    return [operation for operation in found if "/events/" not in operation.path]


@pytest.mark.timeout(1_800)
def test_every_generated_request_is_answered_as_described(start_endpoint, subtests):
    endpoint = start_endpoint(REFUSED_KEYS_PER_MINUTE="0")
    served = operations()
    share = -(-CASES // sum(2 for operation in served if operation.method != "get"))
    counts = Counter()

    def checks(case, answer):
        """Leave out what cannot be described: what text holds, and that a bulk is taken in part."""
        left_out = []
        if case.media_type == NDJSON:
            left_out = [positive_data_acceptance, negative_data_rejection]
        elif answer.status_code == 202 and answer.json()["rejected"]:
            left_out = [negative_data_rejection]
        return [check for check in CHECKS if check not in left_out]

    def run(operation, mode, session):
        @settings(
            max_examples=share,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
            database=None,
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def answered_as_described(case):
            headers = {"x-api-key": KEY}
            answer = case.call(
                endpoint.url, session=session, headers=headers, auth=compressed, timeout=20
            )
            counts[mode, answer.status_code] += 1
            case.validate_response(answer, checks=checks(case, answer))

        answered_as_described()

    with requests.Session() as session:
        session.trust_env = False
        for operation in served:
            for mode in GenerationMode:
                if mode.is_negative and operation.method == "get":
                    continue  # it takes nothing that could be wrong
                with subtests.test(operation=operation.label, mode=mode.value):
                    run(operation, mode, session)
    assert sum(counts.values()) >= CASES
    assert {status for _, status in counts} >= {200, 202, 400, 401, 415, 422}
    assert endpoint.process.poll() is None
    assert "exception" not in endpoint.log.read_text()
    assert endpoint.peak_memory() < 300_000_000
