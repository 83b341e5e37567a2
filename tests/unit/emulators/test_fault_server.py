from collections.abc import AsyncIterator

import httpx
import pytest

from emulators.fault_server import build_admin_app
from emulators.faults import FaultInjector


@pytest.fixture
def faults() -> FaultInjector:
    return FaultInjector({"pubsub": ["Publish"]})


@pytest.fixture
async def admin(faults) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=build_admin_app(faults))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        yield client


async def test_rule_is_set_listed_and_removed(admin, faults):
    answer = await admin.post("/faults", json={"status": "UNAVAILABLE", "calls": 1})
    assert answer.status_code == 201
    rule_id = answer.json()["id"]
    assert answer.headers["location"] == f"/faults/{rule_id}"
    faults.take("pubsub", "Publish")
    assert (await admin.get("/faults")).json()["faults"] == [
        {"id": rule_id, "status": "UNAVAILABLE", "calls": 1, "fired": 1, "active": False}
    ]
    assert (await admin.delete(f"/faults/{rule_id}")).status_code == 204
    assert (await admin.delete(f"/faults/{rule_id}")).status_code == 404
    assert faults.rules() == []


async def test_all_rules_are_removed_at_once(admin, faults):
    for _ in range(3):
        faults.add({"latency_ms": 1})
    assert (await admin.delete("/faults")).status_code == 204
    assert faults.rules() == []


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"{", "bad_json", "not JSON"),
        (b"\xff", "bad_json", "not JSON"),
        (b"[]", "bad_rule", "JSON object"),
        (b'{"status": "BROKEN"}', "bad_rule", "status is one of"),
        (b'{"status": "INTERNAL", "method": "Pull"}', "bad_rule", "method is"),
    ],
    ids=["json", "bytes", "list", "status", "method"],
)
async def test_bad_rule_is_a_problem_that_says_why(admin, faults, body, code, reason):
    answer = await admin.post("/faults", content=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (400, code)
    assert reason in problem["errors"][0]
    assert faults.rules() == []


async def test_process_is_alive(admin):
    assert (await admin.get("/livez")).status_code == 200
