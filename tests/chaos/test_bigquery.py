"""BigQuery fails: refused rows become dead letters, and everything else waits for it."""

from contextlib import ExitStack

import pytest
from google.cloud import bigquery

from emulators.provision import provision_bigquery


def test_refused_row(trial, system):
    """Of each bulk request one row is refused: it alone becomes a dead letter."""
    run = trial("BigQuery refuses a row", resources=("patients",))
    with ExitStack() as rules:
        for number in range(1, 60):
            key = f"{run.account.run}-{number}-7"
            refusal = {"table": "patients", "column": "patient_id", "value": key}
            rules.enter_context(system.fault("bigquery_write", refuse_rows=refusal))
        with run.sending() as traffic:
            traffic.wait_for_records(1500)
        verdict = run.check()
    assert 0 < verdict.dead < verdict.loaded


def fails(status, calls=30, **more):
    return {"method": "AppendRows", "status": status, "calls": calls, **more}


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("BigQuery over quota", fails("RESOURCE_EXHAUSTED")),
        ("BigQuery unavailable", fails("UNAVAILABLE")),
        ("BigQuery denies permission", fails("PERMISSION_DENIED")),
        ("Stream's connection is cut", fails(None, calls=5, drop_connection=True)),
        ("Append done, stream closed", fails("ABORTED", calls=5, after_effect=True)),
    ],
    ids=["quota", "unavailable", "denied", "cut", "closed"],
)
def test_appends_fail(trial, name, rule):
    """Without a verdict on a row, no record becomes a dead letter, however long it lasts."""
    run = trial(name)
    with run.sending() as traffic, run.fault("bigquery_write", **rule) as fault:
        run.wait_for_strikes("bigquery_write", fault, min(rule["calls"], 8))
        traffic.wait_for_records(600)
    verdict = run.check()
    assert set(run.account.answers) <= {"202", "503 publish_timeout"}
    assert verdict.dead == 0


def test_request_is_refused(trial, system):
    """A refusal that names no row is traced to its rows, and they were good."""
    run = trial("BigQuery refuses a request", resources=("patients",))
    rule = {"method": "AppendRows.response", "status": "INVALID_ARGUMENT"}
    with run.sending() as traffic:
        run.wait_for_loaded()
        with run.fault("bigquery_write", calls=3, **rule) as fault:
            run.wait_for_strikes("bigquery_write", fault, 3)
        traffic.wait_for_records(run.account.accepted + 600)
    assert run.check().dead == 0


def test_table_is_missing_and_then_made(trial, system):
    run = trial("BigQuery's table missing, then made", resources=("plans",))
    system.sql.delete_table(f"{system.info['dataset']}.plans")
    with run.sending() as traffic:
        traffic.wait_for_records(1200)
        run.wait_for_failed_batches(1)
        names = (system.info[name] for name in ("project", "dataset", "ops_dataset"))
        provision_bigquery(system.info["bigquery_rest"], *names)
    assert run.check().dead == 0


def test_column_is_added_under_the_writer(trial, system):
    """The connection that is open goes on with the schema that its rows were made for."""
    run = trial("Column added under the writer", resources=("patients",))
    with run.sending() as traffic:
        run.wait_for_loaded()
        table = system.sql.get_table(f"{system.info['dataset']}.patients")
        table.schema = [*table.schema, bigquery.SchemaField("added_later", "STRING")]
        system.sql.update_table(table, ["schema"])
        run.over()
        traffic.wait_for_records(run.account.accepted + 600)
    assert run.check().dead == 0


def test_dead_letters_cannot_be_written(trial, system):
    """A dead letter that finds no place keeps its message in Pub/Sub, with its neighbours."""
    run = trial("BigQuery refuses a row, and dead letters are away", resources=("patients",))
    ops = system.info["ops_dataset"]
    refusal = {"table": "patients", "column": "patient_id", "value": f"{run.account.run}-3-0"}
    with system.fault("bigquery_write", refuse_rows=refusal):
        system.sql.delete_table(f"{ops}.dead_letters")
        with run.sending():
            run.wait_for_failed_batches(1)
            names = (system.info[name] for name in ("project", "dataset", "ops_dataset"))
            provision_bigquery(system.info["bigquery_rest"], *names)
        verdict = run.check()
    assert verdict.dead == 1
