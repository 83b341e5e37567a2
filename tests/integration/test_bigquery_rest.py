"""REST of the emulator through google-cloud-bigquery and `bq`: tables, views, queries, inserts."""

import datetime
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from emulators.bigquery import BigQueryEmulator
from schemas.bigquery import load_tables, load_views
from tests.fixtures.bigquery import rest_client

Column = bigquery.SchemaField

SCHEMA = [
    Column("id", "STRING", "REQUIRED", description="The key."),
    Column("count", "INTEGER"),
    Column("amount", "NUMERIC"),
    Column("ok", "BOOLEAN"),
    Column("day", "DATE"),
    Column("raw", "BYTES"),
    Column("extra", "JSON"),
    Column("address", "RECORD", "REPEATED", fields=[Column("city", "STRING", "REQUIRED")]),
    Column("created_ts", "TIMESTAMP", "REQUIRED"),
    Column("is_active", "BOOLEAN", "REQUIRED"),
]
CREATED = "2026-01-02T03:04:05.678901Z"
CURRENT = "ROW_NUMBER() OVER (PARTITION BY id ORDER BY created_ts DESC, count DESC)"

Insert = Callable[..., Sequence[dict[str, Any]]]


@pytest.fixture
def table(bigquery_client: bigquery.Client, dataset: str) -> str:
    definition = bigquery.Table(f"{bigquery_client.project}.{dataset}.rows", schema=SCHEMA)
    definition.description = "Rows."
    definition.time_partitioning = bigquery.TimePartitioning(
        field="created_ts", expiration_ms=86_400_000
    )
    definition.clustering_fields = ["id"]
    bigquery_client.create_table(definition)
    return f"{dataset}.rows"


@pytest.fixture
def query(bigquery_client: bigquery.Client) -> Callable[..., list[dict[str, Any]]]:
    def run(sql: str, **values: Any) -> list[dict[str, Any]]:
        parameters = [bigquery.ScalarQueryParameter(name, *typed) for name, typed in values.items()]
        config = bigquery.QueryJobConfig(query_parameters=parameters)
        return [dict(row) for row in bigquery_client.query(sql, job_config=config).result()]

    return run


Query = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def insert(bigquery_client: bigquery.Client, table: str) -> Insert:
    def send(*rows: dict[str, Any], **options: Any) -> Sequence[dict[str, Any]]:
        found = bigquery_client.get_table(table)
        errors: Sequence[dict[str, Any]] = bigquery_client.insert_rows_json(
            found, list(rows), row_ids=[None] * len(rows), **options
        )
        return errors

    return send


def row(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"id": name, "created_ts": CREATED, "is_active": True, **fields}


def test_table_definition_survives(bigquery_client: bigquery.Client, table: str) -> None:
    found = bigquery_client.get_table(table)
    assert [(f.name, f.mode, f.description) for f in found.schema[:2]] == [
        ("id", "REQUIRED", "The key."),
        ("count", "NULLABLE", None),
    ]
    assert found.schema[7].fields[0].mode == "REQUIRED"
    assert found.time_partitioning.field == "created_ts"
    assert found.time_partitioning.expiration_ms == 86_400_000
    assert found.clustering_fields == ["id"]
    assert found.description == "Rows."
    assert found.num_rows == 0


def test_every_generated_table_and_view_can_be_made(
    bigquery_client: bigquery.Client, dataset: str, query: Query
) -> None:
    project = bigquery_client.project
    for table in load_tables():
        reference = {"projectId": project, "datasetId": dataset, "tableId": table["tableId"]}
        body = {**table, "tableReference": reference}
        bigquery_client.create_table(bigquery.Table.from_api_repr(body))
    for view in load_views(project, dataset, dataset):
        made = bigquery.Table(f"{project}.{view.dataset}.{view.name}")
        made.view_query = view.sql
        bigquery_client.create_table(made)
        assert query(f"SELECT COUNT(*) AS n FROM {view.dataset}.{view.name}") == [{"n": 0}]


VIEWS = {
    "nested select": (
        f"SELECT * EXCEPT (age) FROM (SELECT *, {CURRENT} AS age FROM `{{}}`)"
        " WHERE age = 1 AND is_active"
    ),
    "qualify": f"SELECT * FROM (SELECT * FROM `{{}}` WHERE TRUE QUALIFY {CURRENT} = 1) "
    "WHERE is_active",
    "qualify alone": f"SELECT * FROM `{{}}` QUALIFY {CURRENT} = 1 AND is_active",
}


@pytest.mark.parametrize("sql", VIEWS.values(), ids=VIEWS.keys())
@pytest.mark.parametrize("way", ["rest", "ddl"])
def test_view_shows_the_newest_row_of_each_key(
    bigquery_client: bigquery.Client,
    table: str,
    insert: Insert,
    query: Query,
    *,
    sql: str,
    way: str,
) -> None:
    insert(
        row("a", count=1, address=[{"city": "Rome"}]),
        row("a", count=2, address=[{"city": "Oslo"}]),
        row("b", count=1),
        row("b", count=2, is_active=False),
    )
    dataset = table.partition(".")[0]
    select = sql.format(f"{bigquery_client.project}.{table}")
    if way == "rest":
        view = bigquery.Table(f"{bigquery_client.project}.{dataset}.seen")
        view.view_query = select
        bigquery_client.create_table(view)
        shown = bigquery_client.get_table(view)
        assert (shown.table_type, shown.view_query) == ("VIEW", select)
    else:
        query(f"CREATE VIEW {dataset}.seen AS {select}")
    (found,) = query(f"SELECT * FROM {dataset}.seen")
    assert (found["id"], found["count"], found["address"]) == ("a", 2, [{"city": "Oslo"}])


def test_queries_that_analysts_write(insert: Insert, table: str, query: Query) -> None:
    insert(
        row("a", count=1, amount="1.10", extra={"k": {"x": "y"}}, address=[{"city": "Rome"}]),
        row("b", count=2, amount=2.2, day="2026-1-2", extra='{"k": 1}'),
    )
    assert query(f"SELECT id, JSON_VALUE(extra, '$.k.x') AS x FROM {table} ORDER BY id") == [
        {"id": "a", "x": "y"},
        {"id": "b", "x": None},
    ]
    assert query(f"SELECT id, a.city FROM {table}, UNNEST(address) a") == [
        {"id": "a", "city": "Rome"}
    ]
    assert query(
        f"SELECT id FROM {table} WHERE count > @least AND created_ts < @before",
        least=("INT64", 1),
        before=("TIMESTAMP", datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)),
    ) == [{"id": "b"}]
    (partition,) = query(
        "SELECT partition_id, total_rows "
        f"FROM {table.partition('.')[0]}.INFORMATION_SCHEMA.PARTITIONS WHERE table_name = 'rows'"
    )
    assert partition == {"partition_id": "20260102", "total_rows": 2}


def test_count_of_rows_follows_inserts_and_deletes(
    bigquery_client: bigquery.Client, insert: Insert, table: str, query: Query
) -> None:
    insert(*(row(str(n)) for n in range(5)))
    assert bigquery_client.get_table(table).num_rows == 5
    query(f"DELETE FROM {table} WHERE id < '2'")
    assert bigquery_client.get_table(table).num_rows == 3


SCHEMA_CHANGES = {
    "a column goes": (SCHEMA[:-1], "is_active"),
    "a type changes": ([*SCHEMA[:-1], Column("is_active", "STRING", "REQUIRED")], "type"),
    "a mode tightens": ([SCHEMA[0], Column("count", "INTEGER", "REQUIRED"), *SCHEMA[2:]], "mode"),
    "a required column comes": ([*SCHEMA, Column("new", "STRING", "REQUIRED")], "required"),
}


@pytest.mark.parametrize(("schema", "message"), SCHEMA_CHANGES.values(), ids=SCHEMA_CHANGES.keys())
def test_schema_cannot_break_its_table(
    bigquery_client: bigquery.Client, table: str, schema: list[Any], message: str
) -> None:
    found = bigquery_client.get_table(table)
    found.schema = schema
    with pytest.raises(exceptions.BadRequest, match=message):
        bigquery_client.update_table(found, ["schema"])
    assert len(bigquery_client.get_table(table).schema) == len(SCHEMA)


def test_schema_can_grow_and_relax(
    bigquery_client: bigquery.Client, table: str, insert: Insert, query: Query
) -> None:
    insert(row("a"))
    found = bigquery_client.get_table(table)
    found.schema = [*SCHEMA[:-1], Column("is_active", "BOOLEAN"), Column("new", "STRING")]
    bigquery_client.update_table(found, ["schema"])
    assert not insert({"id": "b", "created_ts": CREATED, "new": "x"})
    assert query(f"SELECT id, is_active, new FROM {table} ORDER BY id") == [
        {"id": "a", "is_active": True, "new": None},
        {"id": "b", "is_active": None, "new": "x"},
    ]


BAD_INSERTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown column": (row(surplus="SECRET"), "surplus", "no such field"),
    "unknown nested column": (
        row(address=[{"city": "x", "zip": "SECRET"}]),
        "address.zip",
        "no such field",
    ),
    "required column missing": (
        {"created_ts": CREATED, "is_active": True},
        "id",
        "Missing required field",
    ),
    "required column null": (row(created_ts=None), "created_ts", "Missing required field"),
    "nested required missing": (row(address=[{}]), "address.city", "Missing required field"),
    "word for a number": (row(count="SECRET"), "count", "integer"),
    "fraction for a number": (row(count=1.5), "count", "integer"),
    "number beyond INT64": (row(count=str(2**63)), "count", "integer"),
    "money out of scale": (row(amount="0.0000000001"), "amount", "numeric"),
    "no such day": (row(day="2026-02-30"), "day", "date"),
    "word for a boolean": (row(ok="SECRET"), "ok", "boolean"),
    "not base64": (row(raw="SECRET!"), "raw", "bytes"),
    "not JSON": (row(extra="{SECRET"), "extra", "json"),
    "one for many": (row(address={"city": "x"}), "address", "repeated"),
    "text for a record": (row(address=["SECRET"]), "address", "record"),
}


@pytest.mark.parametrize(
    ("bad", "location", "message"), BAD_INSERTS.values(), ids=BAD_INSERTS.keys()
)
def test_bad_insert_is_refused_and_stops_the_others(
    insert: Insert,
    query: Query,
    table: str,
    *,
    bad: dict[str, Any],
    location: str,
    message: str,
) -> None:
    refused = insert(row("before"), bad)
    (stopped, invalid) = sorted(refused, key=lambda error: error["index"])
    assert stopped["errors"][0]["reason"] == "stopped"
    (error,) = invalid["errors"]
    assert (error["reason"], error["location"]) == ("invalid", location)
    assert message in error["message"]
    assert "SECRET" not in json.dumps(refused)
    assert query(f"SELECT id FROM {table}") == []


def test_skip_invalid_rows_writes_the_others(insert: Insert, query: Query, table: str) -> None:
    bad = [row("b", count="x"), row("d", surplus=1)]
    errors = insert(row("a"), bad[0], row("c"), bad[1], skip_invalid_rows=True)
    assert [error["index"] for error in errors] == [1, 3]
    assert query(f"SELECT id FROM {table} ORDER BY id") == [{"id": "a"}, {"id": "c"}]


def test_unknown_values_are_ignored_on_request(insert: Insert, query: Query, table: str) -> None:
    assert not insert(row("a", surplus=1), ignore_unknown_values=True)
    assert query(f"SELECT id FROM {table}") == [{"id": "a"}]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"{", 400, id="not JSON"),
        pytest.param(b'{"rows": {}}', 400, id="rows not a list"),
        pytest.param(b'{"rows": [], "x": "' + b" " * 10_000_000 + b'"}', 413, id="over 10 MB"),
        pytest.param(b'{"rows": [' + b"{}," * 50_000 + b"{}]}", 400, id="over 50,000 rows"),
    ],
)
def test_insert_that_is_no_request(
    bigquery_emulator: BigQueryEmulator, table: str, body: bytes, status: int
) -> None:
    name = table.replace(".", "/tables/")
    url = f"{bigquery_emulator.rest_url}/bigquery/v2/projects/demo-project/datasets/{name}"
    assert httpx.post(f"{url}/insertAll", content=body).status_code == status


def test_insert_into_a_missing_table(bigquery_client: bigquery.Client, dataset: str) -> None:
    with pytest.raises(exceptions.NotFound):
        bigquery_client.insert_rows_json(
            f"{bigquery_client.project}.{dataset}.none", [{"a": 1}], retry=None
        )


def test_client_finds_the_emulator_by_its_variable(
    bigquery_emulator: BigQueryEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery_emulator.rest_url)
    client = rest_client("")
    assert [row["n"] for row in client.query("SELECT 1 AS n").result()] == [1]
    client.close()


@pytest.mark.skipif(shutil.which("bq") is None, reason="bq is not installed")
def test_bq_queries(bigquery_emulator: BigQueryEmulator, tmp_path: Path) -> None:
    command = [
        "bq",
        "--oauth_access_token=none",
        "--api",
        bigquery_emulator.rest_url,
        "--project_id",
        "demo-project",
    ]
    command += ["--format", "json", "query", "--use_legacy_sql=false", "SELECT 1 AS n"]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout.splitlines()[-1]) == [{"n": "1"}]


def test_state_is_kept_between_runs(tmp_path: Path) -> None:
    for run in (1, 2):
        with BigQueryEmulator(data_dir=tmp_path) as emulator:
            client = rest_client(emulator.rest_url)
            if run == 1:
                client.create_dataset("kept")
                client.create_table(bigquery.Table("demo-project.kept.rows", schema=SCHEMA))
                view = bigquery.Table("demo-project.kept.seen")
                view.view_query = "SELECT id FROM `demo-project.kept.rows`"
                client.create_table(view)
            client.insert_rows_json("demo-project.kept.rows", [row(str(run))])
            found = [one["id"] for one in client.query("SELECT id FROM kept.seen").result()]
            client.close()
    assert sorted(found) == ["1", "2"]
