"""Faults on demand: what a client sees of each, what is stored, and that the next call succeeds."""

import time
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types, writer

from emulators.bigquery import BigQueryEmulator
from emulators.bigquery.rest import HTTP_ERRORS
from emulators.faults import BadRuleError
from tests.fixtures.bigquery import F, append_request, default_stream, descriptor, message_class

STATUSES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
WRITER = descriptor("Row", [("id", F.TYPE_STRING)])
Row = message_class(WRITER)


@pytest.fixture
def table(bigquery_client: bigquery.Client, dataset: str) -> str:
    schema = [bigquery.SchemaField("id", "STRING", "REQUIRED")]
    definition = bigquery.Table(f"{bigquery_client.project}.{dataset}.rows", schema=schema)
    bigquery_client.create_table(definition)
    return f"{dataset}.rows"


@pytest.fixture
def ids(bigquery_client: bigquery.Client, table: str) -> Callable[[], list[str]]:
    def read() -> list[str]:
        rows = bigquery_client.query(f"SELECT id FROM {table} ORDER BY id").result()
        return [row["id"] for row in rows]

    return read


@pytest.fixture
def append(write_client: BigQueryWriteClient, table: str) -> Callable[..., Any]:
    stream = default_stream(*table.split("."))

    def send(*names: str) -> types.AppendRowsResponse:
        rows = [Row(id=name).SerializeToString() for name in names]
        request = append_request(rows, stream=stream, writer=WRITER)
        # Its own retry would send nothing: it reads on in an iterator that has ended.
        (response,) = write_client.append_rows(iter([request]), timeout=20, retry=None)
        return response

    return send


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after the effect"])
@pytest.mark.parametrize("status", STATUSES, ids=lambda status: status.name)
def test_append_call_fails_and_recovers(
    bigquery_emulator: BigQueryEmulator,
    append: Callable[..., Any],
    ids: Callable[[], list[str]],
    status: grpc.StatusCode,
    after_effect: bool,
) -> None:
    bigquery_emulator.faults.add(
        {
            "service": "bigquery_write",
            "method": "AppendRows",
            "status": status.name,
            "after_effect": after_effect,
            "calls": 1,
        }
    )
    with pytest.raises(exceptions.GoogleAPICallError) as caught:
        append("a")
    assert caught.value.grpc_status_code == status
    append("b")
    assert ids() == (["a", "b"] if after_effect else ["b"])


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after the effect"])
@pytest.mark.parametrize("status", STATUSES, ids=lambda status: status.name)
def test_append_is_answered_with_an_error_and_recovers(
    bigquery_emulator: BigQueryEmulator,
    append: Callable[..., Any],
    ids: Callable[[], list[str]],
    status: grpc.StatusCode,
    after_effect: bool,
) -> None:
    bigquery_emulator.faults.add(
        {
            "service": "bigquery_write",
            "method": "AppendRows.response",
            "status": status.name,
            "after_effect": after_effect,
            "calls": 1,
        }
    )
    assert append("a").error.code == status.value[0]
    assert not append("b").error.code
    assert ids() == (["a", "b"] if after_effect else ["b"])


@pytest.mark.parametrize("method", ["AppendRows", "AppendRows.response"])
@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after the effect"])
def test_connection_is_dropped_and_the_next_is_taken(
    bigquery_emulator: BigQueryEmulator,
    append: Callable[..., Any],
    ids: Callable[[], list[str]],
    method: str,
    after_effect: bool,
) -> None:
    rule = {"method": method, "drop_connection": True, "after_effect": after_effect, "calls": 1}
    bigquery_emulator.faults.add({"service": "bigquery_write", **rule})
    with pytest.raises(exceptions.ServiceUnavailable):
        append("a")
    # The channel may take one more call for the connection that it has not yet seen to be gone.
    retry = Retry(if_exception_type(exceptions.ServiceUnavailable), initial=0.1, timeout=10)
    retry(append)("b")
    assert ids() == (["a", "b"] if after_effect else ["b"])


def test_fault_of_every_method_strikes_an_append_once(
    bigquery_emulator: BigQueryEmulator, append: Callable[..., Any]
) -> None:
    rule = bigquery_emulator.faults.add({"service": "bigquery_write", "latency_ms": 1})
    append("a")
    assert bigquery_emulator.faults.fired(rule) == 1


@pytest.mark.parametrize("method", ["AppendRows", "AppendRows.response"])
def test_latency(
    bigquery_emulator: BigQueryEmulator, append: Callable[..., Any], method: str
) -> None:
    bigquery_emulator.faults.add({"method": method, "latency_ms": 300, "calls": 1})
    started = time.monotonic()
    append("a")
    assert time.monotonic() - started >= 0.3


def test_googles_writer_recovers_from_a_dropped_connection(
    bigquery_emulator: BigQueryEmulator,
    write_client: BigQueryWriteClient,
    table: str,
    ids: Callable[[], list[str]],
) -> None:
    stream = default_stream(*table.split("."))
    template = append_request([], stream=stream, writer=WRITER)
    appending = writer.AppendRowsStream(write_client, template)

    def send(name: str) -> Any:
        request = append_request([Row(id=name).SerializeToString()], stream=stream)
        return appending.send(request).result(timeout=20)

    send("a")
    rule = {"service": "bigquery_write", "method": "AppendRows", "drop_connection": True}
    bigquery_emulator.faults.add({**rule, "calls": 1})
    with pytest.raises(exceptions.ServiceUnavailable):
        send("b")
    deadline = time.monotonic() + 10
    while ids() != ["a", "c"] and time.monotonic() < deadline:
        try:
            send("c")
        except exceptions.GoogleAPICallError:
            time.sleep(0.1)
    assert ids() == ["a", "c"]
    appending.close()


def test_rows_are_refused_by_the_value_of_a_column(
    bigquery_emulator: BigQueryEmulator, append: Callable[..., Any], ids: Callable[[], list[str]]
) -> None:
    refusal = {"table": "rows", "column": "id", "value": "poison"}
    rule = bigquery_emulator.faults.add({"refuse_rows": refusal})
    response = append("a", "poison", "b", "poison")
    assert [error.index for error in response.row_errors] == [1, 3]
    assert response.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    append("c")
    bigquery_emulator.faults.remove(rule)
    append("poison")
    assert ids() == ["c", "poison"]


def test_inserted_rows_are_refused_too(
    bigquery_emulator: BigQueryEmulator, bigquery_client: bigquery.Client, table: str
) -> None:
    refusal = {"table": "rows", "column": "id", "value": "poison"}
    bigquery_emulator.faults.add({"refuse_rows": refusal})
    full = f"{bigquery_client.project}.{table}"
    errors = bigquery_client.insert_rows_json(
        full, [{"id": "a"}, {"id": "poison"}], skip_invalid_rows=True
    )
    assert [error["index"] for error in errors] == [1]


def test_other_methods_of_the_write_service_fail_too(
    bigquery_emulator: BigQueryEmulator, write_client: BigQueryWriteClient, table: str
) -> None:
    stream = default_stream(*table.split("."))
    bigquery_emulator.faults.add(
        {"method": "GetWriteStream", "status": "PERMISSION_DENIED", "calls": 1}
    )
    with pytest.raises(exceptions.PermissionDenied):
        write_client.get_write_stream(name=stream, retry=None)
    assert write_client.get_write_stream(name=stream).name == stream


@pytest.mark.parametrize("status", STATUSES, ids=lambda status: status.name)
def test_rest_fails_and_recovers(
    bigquery_emulator: BigQueryEmulator, table: str, status: grpc.StatusCode
) -> None:
    bigquery_emulator.faults.add({"method": "tables.get", "status": status.name, "calls": 1})
    name = table.replace(".", "/tables/")
    url = f"{bigquery_emulator.rest_url}/bigquery/v2/projects/demo-project/datasets/{name}"
    answer = httpx.get(url)
    code, reason = HTTP_ERRORS.get(status, (500, "internalError"))
    assert answer.status_code == code
    assert answer.json()["error"]["errors"][0]["reason"] == reason
    assert httpx.get(url).status_code == 200


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after the effect"])
def test_rest_connection_is_dropped(
    bigquery_emulator: BigQueryEmulator,
    table: str,
    ids: Callable[[], list[str]],
    after_effect: bool,
) -> None:
    bigquery_emulator.faults.add(
        {
            "method": "tabledata.insertAll",
            "drop_connection": True,
            "after_effect": after_effect,
            "calls": 1,
        }
    )
    name = table.replace(".", "/tables/")
    url = f"{bigquery_emulator.rest_url}/bigquery/v2/projects/demo-project/datasets/{name}"
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{url}/insertAll", json={"rows": [{"json": {"id": "a"}}]})
    assert httpx.post(f"{url}/insertAll", json={"rows": [{"json": {"id": "b"}}]}).is_success
    assert ids() == (["a", "b"] if after_effect else ["b"])


def test_googles_client_waits_out_an_outage(
    bigquery_emulator: BigQueryEmulator, bigquery_client: bigquery.Client
) -> None:
    bigquery_emulator.faults.add({"method": "jobs.insert", "status": "UNAVAILABLE", "calls": 1})
    assert [row["n"] for row in bigquery_client.query("SELECT 1 AS n").result()] == [1]


@pytest.mark.parametrize("rule", [{"method": "tables.gett"}, {"service": "bigquery_reed"}])
def test_rule_for_what_is_not_served_is_refused(
    bigquery_emulator: BigQueryEmulator, rule: dict[str, str]
) -> None:
    with pytest.raises(BadRuleError):
        bigquery_emulator.faults.add({**rule, "status": "UNAVAILABLE"})
