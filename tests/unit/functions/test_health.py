import grpc
import pytest

from functions import health as health_module
from tests.fixtures.endpoint import assert_problem, example


@pytest.fixture
def _no_cache(monkeypatch):
    monkeypatch.setattr(health_module, "CACHE_SECONDS", 0)


async def test_the_process_is_alive_whatever_it_depends_on(producer, google):
    google.always |= {"GetTopic": grpc.StatusCode.UNAVAILABLE, "List": grpc.StatusCode.UNAVAILABLE}
    response = await producer.get("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})
    assert response.headers["x-request-id"]


async def test_the_endpoint_is_ready_with_its_keys_and_its_topic(producer):
    response = await producer.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/openapi.json", "/docs"])
async def test_head_is_answered_like_get(producer, path):
    assert (await producer.head(path)).status_code == 200


@pytest.mark.usefixtures("_no_cache")
@pytest.mark.parametrize(
    ("method", "failed"),
    [
        ("GetTopic", ["topic audit_log", "topic patients"]),
        ("List", ["keys of patients"]),
    ],
)
async def test_what_cannot_be_reached_is_named(make_producer, google, method, failed):
    producer = await make_producer("patients")
    google.always[method] = grpc.StatusCode.UNAVAILABLE
    document = assert_problem(await producer.get("/readyz"), 503, "not_ready")
    assert document["failed"] == failed
    google.always[method] = None
    assert (await producer.get("/readyz")).status_code == 200


@pytest.mark.usefixtures("_no_cache")
async def test_an_endpoint_without_its_first_key_is_ready(make_producer, google):
    producer = await make_producer("patients")
    google.set_keys("patients-api-key")
    assert (await producer.get("/readyz")).status_code == 200
    assert_problem(await producer.post("/v1/patients", json={}), 401, "unauthorized")


async def test_many_probes_look_once(make_producer, google):
    producer = await make_producer("patients")
    google.failures["GetTopic"].append(grpc.StatusCode.NOT_FOUND)
    for _ in range(5):
        assert_problem(await producer.get("/readyz"), 503, "not_ready")


@pytest.mark.parametrize("heals_by", ["publish", "GetTopic"])
async def test_a_refused_publish_fails_readiness_until_one_works(
    make_producer, google, monkeypatch, heals_by
):
    producer = await make_producer("patients")
    record = example("patients", "minimal")
    assert (await producer.get("/readyz")).status_code == 200
    google.failures["Publish"].append(grpc.StatusCode.PERMISSION_DENIED)
    assert_problem(await producer.post("/v1/patients", json=record), 500, "publish_refused")
    document = assert_problem(await producer.get("/readyz"), 503, "not_ready")
    assert document["failed"] == ["topic patients"]
    if heals_by == "publish":
        assert (await producer.post("/v1/patients", json=record)).status_code == 202
    else:
        monkeypatch.setattr(health_module, "CACHE_SECONDS", 0)
    assert (await producer.get("/readyz")).status_code == 200
