"""From HTTP to BigQuery, through the real endpoint, Pub/Sub, Beam and Google's clients."""

import json
import uuid

import pytest

from schemas.registry import SCHEMAS_DIR, load_registry

REGISTRY = load_registry()


def example(resource, case):
    return json.loads((SCHEMAS_DIR / "examples" / resource / f"{case}.json").read_bytes())


def passing(resource):
    paths = sorted((SCHEMAS_DIR / "examples" / resource).glob("*.pass.json"))
    return [json.loads(path.read_bytes()) for path in paths]


def unique():
    return f"e2e-{uuid.uuid4().hex[:12]}"


def patient(**changes):
    return example("patients", "minimal.pass") | {"patient_id": unique()} | changes


@pytest.mark.parametrize("name", REGISTRY)
def test_every_example_reaches_its_table(system, name):
    answer = system.send(name, passing(name))

    assert answer.status_code == 202, answer.text
    sent = {entry["event_id"] for entry in answer.json()["records"]}
    rows = system.wait_for(
        "SELECT event_id, created_by, is_active, schema_version, updated_ts, publish_ts"
        f" FROM healthcare.{name}_events WHERE request_id = @request",
        lambda rows: len(rows) == len(sent),
        request=answer.json()["request_id"],
    )
    assert {row["event_id"] for row in rows} == sent
    for row in rows:
        assert row["created_by"] == "local"
        assert row["is_active"] is True
        assert row["schema_version"] == REGISTRY[name].version
        assert row["updated_ts"] < row["publish_ts"]


def test_values_arrive_as_they_were_sent(system):
    plan = example("plans", "sample.pass") | {"objectId": unique(), "colour": {"hex": "#fff"}}

    assert system.send("plans", plan).status_code == 202

    [row] = system.wait_for(
        "SELECT plan_type, creation_date, org, plan_cost_shares.deductible AS deductible,"
        " ARRAY_LENGTH(linked_plan_services) AS services,"
        " linked_plan_services[OFFSET(0)].linked_service.name AS first_service,"
        " JSON_VALUE(additional_fields, '$.colour.hex') AS colour"
        " FROM healthcare.plans_current WHERE object_id = @id",
        bool,
        id=plan["objectId"],
    )
    assert str(row["creation_date"]) == "2017-12-12"
    assert row["deductible"] == 2000
    assert (row["plan_type"], row["org"]) == ("inNetwork", "example.com")
    assert row["first_service"] == plan["linkedPlanServices"][0]["linkedService"]["name"]
    assert row["services"] == len(plan["linkedPlanServices"])
    assert row["colour"] == "#fff"


def test_good_records_of_a_bulk_request_are_kept(system):
    records = [patient(), patient(birth_date="yesterday"), patient()]

    answer = system.send(
        "patients",
        b"\n".join(json.dumps(record).encode() for record in records),
        content_type="application/x-ndjson",
    )

    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (2, 1)
    [entry] = [entry for entry in body["records"] if "errors" in entry]
    assert entry["index"] == 1
    assert entry["errors"][0]["path"] == "$.birth_date"
    assert "yesterday" not in answer.text
    rows = system.wait_for(
        "SELECT patient_id FROM healthcare.patients_current WHERE request_id = @request",
        lambda rows: len(rows) == 2,
        request=body["request_id"],
    )
    assert {row["patient_id"] for row in rows} == {r["patient_id"] for r in records[::2]}


def test_compressed_bulk_of_several_messages(system):
    records = [patient() for _ in range(1_100)]

    answer = system.send_gzip("patients", records)

    assert answer.status_code == 202
    rows = system.wait_for(
        "SELECT COUNT(*) AS n, COUNT(DISTINCT patient_id) AS patients"
        " FROM healthcare.patients WHERE request_id = @request",
        lambda rows: rows[0]["n"] == len(records),
        request=answer.json()["request_id"],
    )
    assert rows == [{"n": 1_100, "patients": 1_100}]


def test_repeat_with_an_idempotency_key_counts_once(system):
    record, key = patient(), unique()

    answers = [system.send("patients", record, idempotency_key=key) for _ in range(3)]

    ids = {entry["event_id"] for answer in answers for entry in answer.json()["records"]}
    assert len(ids) == 1
    sql = "SELECT COUNT(*) AS n FROM healthcare.{} WHERE patient_id = @id"
    stored = system.wait_for(
        sql.format("patients"), lambda rows: rows[0]["n"] == 3, id=record["patient_id"]
    )
    assert stored == [{"n": 3}]
    for view in ("patients_events", "patients_current"):
        assert system.query(sql.format(view), id=record["patient_id"]) == [{"n": 1}]


def test_newest_state_is_current_and_a_tombstone_ends_it(system):
    record = patient(gender="female")
    key = record["patient_id"]
    current = "SELECT gender FROM healthcare.patients_current WHERE patient_id = @id"

    assert system.send("patients", record).status_code == 202
    assert system.send("patients", record | {"gender": "other"}).status_code == 202
    rows = system.wait_for(current, lambda rows: rows == [{"gender": "other"}], id=key)
    assert rows == [{"gender": "other"}]

    assert system.delete("patients", key).status_code == 202
    assert system.wait_for(current, lambda rows: not rows, id=key) == []
    history = system.query(
        "SELECT gender, is_active FROM healthcare.patients_events WHERE patient_id = @id"
        " ORDER BY updated_ts",
        id=key,
    )
    assert history == [
        {"gender": "female", "is_active": True},
        {"gender": "other", "is_active": True},
        {"gender": None, "is_active": False},
    ]


def test_keys_of_another_resource_are_useless(system):
    answer = system.send("patients", patient(), x_api_key=system.info["api_keys"]["plans"])

    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"
