import orjson
import pytest

from benchmarks import records
from schemas.validation import Validator


@pytest.mark.parametrize("size", [200, 1_024])
def test_records_are_valid_and_about_as_large_as_asked_for(real_registry, size):
    for resource in real_registry.values():
        record = records.sized(resource, size)
        assert Validator(resource).is_valid(record)
        assert abs(len(orjson.dumps(record)) - size) < 60


def test_a_record_grows_by_its_lists(real_registry):
    claim = records.sized(real_registry["claims"], 16_000)

    assert Validator(real_registry["claims"]).is_valid(claim)
    assert abs(len(orjson.dumps(claim)) - 16_000) < 60


@pytest.mark.parametrize(("share", "bad"), [(0.0, 0), (0.25, 25), (1.0, 100)])
def test_the_share_of_invalid_records_is_exact(real_registry, share, bad):
    resource = real_registry["patients"]
    mixture = records.mixed(resource, records.sized(resource, 200), 100, share)
    validator = Validator(resource)

    assert sum(not validator.is_valid(record) for record in mixture) == bad


def test_variants_differ_in_their_keys(real_registry):
    resource = real_registry["patients"]
    made = list(records.variants(resource, records.sized(resource, 200), 50))

    assert len({record["patient_id"] for record in made}) == 50


def test_a_request_says_how_long_it_is():
    request = records.bulk_request("/v1/patients", [{"a": 1}, {"b": 2}])
    head, _, body = request.partition(b"\r\n\r\n")

    assert body == b'{"a":1}\n{"b":2}'
    assert b"Content-Length: 15" in head
    assert b"Content-Type: application/x-ndjson" in head
