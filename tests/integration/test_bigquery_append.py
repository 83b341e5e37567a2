"""AppendRows refuses as BigQuery does: these rows and requests, through Google's own client."""

import datetime
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types, writer
from google.rpc.status_pb2 import Status

from schemas.limits import STORAGE_WRITE_MAX_REQUEST_BYTES
from tests.fixtures.bigquery import F, append_request, default_stream, descriptor, message_class

Column = bigquery.SchemaField
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

SCHEMA = [
    Column("id", "STRING", "REQUIRED"),
    Column("count", "INTEGER"),
    Column("ratio", "FLOAT"),
    Column("ok", "BOOLEAN"),
    Column("raw", "BYTES"),
    Column("amount", "NUMERIC"),
    Column("day", "DATE"),
    Column("at", "TIMESTAMP"),
    Column("clock", "TIME"),
    Column("extra", "JSON"),
    Column("tags", "STRING", "REPEATED"),
    Column(
        "address",
        "RECORD",
        "REPEATED",
        fields=[
            Column("city", "STRING", "REQUIRED"),
            Column("geo", "RECORD", fields=[Column("lat", "FLOAT")]),
        ],
    ),
]
WRITER = descriptor(
    "Row",
    [
        ("id", F.TYPE_STRING),
        ("count", F.TYPE_INT64),
        ("ratio", F.TYPE_DOUBLE),
        ("ok", F.TYPE_BOOL),
        ("raw", F.TYPE_BYTES),
        ("amount", F.TYPE_STRING),
        ("day", F.TYPE_INT32),
        ("at", F.TYPE_INT64),
        ("clock", F.TYPE_STRING),
        ("extra", F.TYPE_STRING),
        ("tags", F.TYPE_STRING, F.LABEL_REPEATED),
        (
            "address",
            [("city", F.TYPE_STRING), ("geo", [("lat", F.TYPE_DOUBLE)])],
            F.LABEL_REPEATED,
        ),
    ],
)
Row = message_class(WRITER)

Append = Callable[..., list[types.AppendRowsResponse]]


@pytest.fixture
def table(bigquery_client: bigquery.Client, dataset: str) -> str:
    definition = bigquery.Table(f"{bigquery_client.project}.{dataset}.rows", schema=SCHEMA)
    bigquery_client.create_table(definition)
    return f"{dataset}.rows"


@pytest.fixture
def stream(table: str) -> str:
    return default_stream(*table.split("."))


@pytest.fixture
def ids(bigquery_client: bigquery.Client, table: str) -> Callable[[], list[str]]:
    def read() -> list[str]:
        rows = bigquery_client.query(f"SELECT id FROM {table} ORDER BY id").result()
        return [row["id"] for row in rows]

    return read


@pytest.fixture
def append(write_client: BigQueryWriteClient) -> Append:
    """Sends requests on one connection and returns the responses."""

    def send(*requests: types.AppendRowsRequest) -> list[types.AppendRowsResponse]:
        return list(write_client.append_rows(iter(requests), timeout=30))

    return send


def row(**fields: Any) -> bytes:
    return bytes(Row(**{"id": "a", **fields}).SerializeToString())


def test_every_type_comes_back_as_it_was_sent(
    append: Append, stream: str, bigquery_client: bigquery.Client, table: str
) -> None:
    sent = row(
        count=-(2**63),
        ratio=0.1,
        ok=True,
        raw=b"\x00\xff",
        amount="-12345678901234567890123456789.123456789",
        day=20_000,
        at=1_700_000_000_123_456,
        clock="23:59:59.999999",
        extra='{"a": {"b": [1, "x"]}}',
        tags=["one", "two"],
        address=[{"city": "Rome", "geo": {"lat": 41.9}}, {"city": "Oslo"}],
    )
    append(append_request([sent], stream=stream, writer=WRITER))
    (found,) = bigquery_client.query(
        f"SELECT *, JSON_VALUE(extra, '$.a.b[1]') AS b FROM {table}"
    ).result()
    assert dict(found) == {
        "id": "a",
        "count": -(2**63),
        "ratio": 0.1,
        "ok": True,
        "raw": b"\x00\xff",
        "amount": Decimal("-12345678901234567890123456789.123456789"),
        "day": datetime.date(2024, 10, 4),
        "at": EPOCH + datetime.timedelta(microseconds=1_700_000_000_123_456),
        "clock": datetime.time(23, 59, 59, 999_999),
        "extra": {"a": {"b": [1, "x"]}},
        "tags": ["one", "two"],
        "address": [{"city": "Rome", "geo": {"lat": 41.9}}, {"city": "Oslo", "geo": None}],
        "b": "x",
    }


def test_stream_and_schema_are_sent_once(
    append: Append, stream: str, ids: Callable[[], list[str]]
) -> None:
    responses = append(
        append_request([row(id="a")], stream=stream, writer=WRITER),
        append_request([row(id="b")]),
        append_request([row(id="c")], stream=stream),
    )
    assert not any(response.error.code for response in responses)
    assert ids() == ["a", "b", "c"]


def test_googles_writer_works(
    write_client: BigQueryWriteClient, stream: str, ids: Callable[[], list[str]]
) -> None:
    appending = writer.AppendRowsStream(
        write_client, append_request([], stream=stream, writer=WRITER)
    )
    futures = [appending.send(append_request([row(id=name)], stream=stream)) for name in "abc"]
    for future in futures:
        future.result(timeout=20)
    appending.close()
    assert ids() == ["a", "b", "c"]


def test_many_connections_are_served_at_once(
    write_client: BigQueryWriteClient, stream: str, ids: Callable[[], list[str]]
) -> None:
    appending = [
        writer.AppendRowsStream(write_client, append_request([], stream=stream, writer=WRITER))
        for _ in range(16)
    ]
    for number, one in enumerate(appending):
        one.send(append_request([row(id=f"{number:02}")], stream=stream)).result(timeout=20)
    for one in appending:
        one.close()
    assert ids() == [f"{number:02}" for number in range(16)]


def test_queries_and_appends_at_once_lose_nothing(
    write_client: BigQueryWriteClient, stream: str, bigquery_client: bigquery.Client, table: str
) -> None:
    writers, appends, rows = 4, 15, 20

    def write(number: int) -> None:
        requests = [
            append_request([row(id=f"{number}-{i}-{j}") for j in range(rows)], stream=stream)
            for i in range(appends)
        ]
        requests[0].proto_rows.writer_schema = types.ProtoSchema(proto_descriptor=WRITER)
        responses = list(write_client.append_rows(iter(requests), timeout=60))
        assert not any(response.error.code for response in responses)

    counts: list[int] = []
    with ThreadPoolExecutor(writers) as threads:
        futures = [threads.submit(write, number) for number in range(writers)]
        while not all(future.done() for future in futures):
            (found,) = bigquery_client.query(f"SELECT COUNT(*) AS n FROM {table}").result()
            counts.append(found["n"])
        for future in futures:
            future.result()
    # An append is seen as a whole or not at all.
    assert counts == sorted(counts)
    assert all(count % rows == 0 for count in counts)
    assert bigquery_client.get_table(table).num_rows == writers * appends * rows


BAD_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "date before year 1": ({"day": -719_163}, "day"),
    "date after year 9999": ({"day": 2_932_897}, "day"),
    "timestamp before year 1": ({"at": -62_135_596_800_000_001}, "at"),
    "timestamp after year 9999": ({"at": 253_402_300_800_000_000}, "at"),
    "numeric with 30 digits": ({"amount": "1" + "0" * 29}, "amount"),
    "numeric with 10 decimals": ({"amount": "0.0000000001"}, "amount"),
    "numeric that is a word": ({"amount": "SECRET"}, "amount"),
    "numeric that is not a number": ({"amount": "NaN"}, "amount"),
    "json that is cut": ({"extra": '{"SECRET":'}, "extra"),
    "json that is empty": ({"extra": ""}, "extra"),
    "time of day 25": ({"clock": "25:00:00"}, "clock"),
    "time with a zone": ({"clock": "12:00:00Z"}, "clock"),
    "nested required": ({"address": [{"city": "SECRET"}, {"geo": {"lat": 1}}]}, "address.city"),
}
GOOD_ROWS: dict[str, dict[str, Any]] = {
    "date of year 1": {"day": -719_162},
    "date of year 9999": {"day": 2_932_896},
    "timestamp of year 1": {"at": -62_135_596_800_000_000},
    "timestamp of year 9999": {"at": 253_402_300_799_999_999},
    "numeric with 29 digits": {"amount": "9" * 29 + ".999999999"},
    "numeric with zeros behind": {"amount": "0.1000000000000"},
    "numeric with exponent": {"amount": "-1.5e3"},
    "json that is a word": {"extra": '"word"'},
    "time without leading zeros": {"clock": "1:2:3"},
}


@pytest.mark.parametrize(("fields", "path"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_bad_row_is_named_and_nothing_is_written(
    append: Append,
    stream: str,
    ids: Callable[[], list[str]],
    fields: dict[str, Any],
    path: str,
) -> None:
    bad = row(id="bad", **fields)
    (response, next_response) = append(
        append_request([row(id="before"), bad, row(id="after")], stream=stream, writer=WRITER),
        append_request([row(id="next")]),
    )
    assert response.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    (error,) = response.row_errors
    assert error.index == 1
    assert error.code == types.RowError.RowErrorCode.FIELDS_ERROR
    assert f"Field {path}:" in error.message
    assert "SECRET" not in str(response)
    assert not next_response.error.code
    assert ids() == ["next"]


@pytest.mark.parametrize("fields", GOOD_ROWS.values(), ids=GOOD_ROWS.keys())
def test_row_at_the_limit_is_written(
    append: Append, stream: str, ids: Callable[[], list[str]], fields: dict[str, Any]
) -> None:
    (response,) = append(append_request([row(**fields)], stream=stream, writer=WRITER))
    assert not response.error.code, response
    assert ids() == ["a"]


@pytest.mark.parametrize(
    "serialized",
    [
        pytest.param(Row(count=1).SerializeToString(), id="required column missing"),
        pytest.param(b"\x0a\x05a", id="cut"),
        pytest.param(b"\x0a\x02\xff\xfe", id="string is not UTF-8"),
        pytest.param(b"", id="empty"),
    ],
)
def test_bad_bytes_are_a_row_error(append: Append, stream: str, serialized: bytes) -> None:
    (response,) = append(append_request([serialized, row()], stream=stream, writer=WRITER))
    assert [error.index for error in response.row_errors] == [0]


def test_every_bad_row_is_named(append: Append, stream: str) -> None:
    rows = [row(), row(day=2_932_897), row(), row(clock="x"), row(amount="x")]
    (response,) = append(append_request(rows, stream=stream, writer=WRITER))
    assert [error.index for error in response.row_errors] == [1, 3, 4]


@pytest.mark.parametrize("over", [0, 1], ids=["at the limit", "over the limit"])
def test_request_size(append: Append, stream: str, ids: Callable[[], list[str]], over: int) -> None:
    size = STORAGE_WRITE_MAX_REQUEST_BYTES + over

    def sized(padding: int) -> types.AppendRowsRequest:
        rows = [row(raw=b"x" * padding)]
        return append_request(rows, stream=stream, writer=WRITER)

    def length(request: types.AppendRowsRequest) -> int:
        return len(types.AppendRowsRequest.serialize(request))

    request = sized(size - 1_000)
    request = sized(size - 1_000 + size - length(request))
    assert length(request) == size
    (response, _) = append(request, append_request([row(id="b")], stream=stream, writer=WRITER))
    if over:
        assert response.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert "too large" in response.error.message
    assert ids() == (["b"] if over else ["a", "b"])


def test_missing_table_ends_the_call(append: Append, dataset: str) -> None:
    with pytest.raises(exceptions.NotFound) as caught:
        append(append_request([row()], stream=default_stream(dataset, "none"), writer=WRITER))
    (status,) = [
        value
        for key, value in caught.value.errors[0].trailing_metadata()
        if key == "grpc-status-details-bin"
    ]
    assert _storage_error(Status.FromString(status)) == "TABLE_NOT_FOUND"


def test_table_that_goes_away_ends_the_call(
    append: Append, stream: str, bigquery_client: bigquery.Client, table: str
) -> None:
    def requests() -> Iterator[types.AppendRowsRequest]:
        yield append_request([row()], stream=stream, writer=WRITER)
        bigquery_client.delete_table(table)
        yield append_request([row()])

    with pytest.raises(exceptions.NotFound):
        append(*requests())


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", exceptions.InvalidArgument),
        ("nonsense", exceptions.InvalidArgument),
        ("projects/p/datasets/d/tables/t/streams/0123456789abcdef", exceptions.NotFound),
    ],
    ids=["not named", "malformed", "unknown"],
)
def test_stream_that_is_not_there_ends_the_call(
    append: Append, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        append(append_request([row()], stream=name, writer=WRITER))


REFUSED_SCHEMAS = {
    "column that the table lacks": (
        [("id", F.TYPE_STRING), ("surplus", F.TYPE_STRING)],
        "extra fields: 'surplus'",
    ),
    "nested column that the table lacks": (
        [
            ("id", F.TYPE_STRING),
            ("address", [("city", F.TYPE_STRING), ("zip", F.TYPE_STRING)], F.LABEL_REPEATED),
        ],
        "extra fields: 'address.zip'",
    ),
    "string for a number": ([("id", F.TYPE_STRING), ("count", F.TYPE_STRING)], "field count"),
    "number for a string": ([("id", F.TYPE_INT64)], "field id"),
    "string for a timestamp": ([("id", F.TYPE_STRING), ("at", F.TYPE_STRING)], "field at"),
    "one for many": ([("id", F.TYPE_STRING), ("tags", F.TYPE_STRING)], "Field tags"),
    "many for one": (
        [("id", F.TYPE_STRING), ("count", F.TYPE_INT64, F.LABEL_REPEATED)],
        "Field count",
    ),
    "scalar for a record": (
        [("id", F.TYPE_STRING), ("address", F.TYPE_STRING, F.LABEL_REPEATED)],
        "field address",
    ),
}


@pytest.mark.parametrize(
    ("fields", "message"), REFUSED_SCHEMAS.values(), ids=REFUSED_SCHEMAS.keys()
)
def test_writer_schema_that_does_not_fit_is_refused(
    append: Append,
    stream: str,
    ids: Callable[[], list[str]],
    fields: Sequence[Any],
    message: str,
) -> None:
    other = descriptor("Row", fields)
    rows = [bytes(message_class(other)().SerializeToString())]
    (response, following) = append(
        append_request(rows, stream=stream, writer=other),
        append_request([row(id="b")], stream=stream, writer=WRITER),
    )
    assert response.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert message in response.error.message
    extra = "extra fields" in message
    assert _storage_error(response.error) == ("SCHEMA_MISMATCH_EXTRA_FIELDS" if extra else None)
    assert not following.error.code
    assert ids() == ["b"]


def test_column_names_match_without_regard_to_case(
    append: Append, stream: str, ids: Callable[[], list[str]]
) -> None:
    upper = descriptor("Row", [("ID", F.TYPE_STRING)])
    rows = [message_class(upper)(ID="x").SerializeToString()]
    append(append_request(rows, stream=stream, writer=upper))
    assert ids() == ["x"]


def test_offset_on_the_default_stream_is_refused(
    append: Append, stream: str, ids: Callable[[], list[str]]
) -> None:
    (response,) = append(append_request([row()], stream=stream, writer=WRITER, offset=0))
    assert response.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert ids() == []


def test_offsets_of_a_committed_stream(
    append: Append, write_client: BigQueryWriteClient, stream: str, ids: Callable[[], list[str]]
) -> None:
    parent = stream.removesuffix("/streams/_default")
    committed = types.WriteStream(type_=types.WriteStream.Type.COMMITTED)
    name = write_client.create_write_stream(parent=parent, write_stream=committed).name
    first, again, beyond, second = append(
        append_request([row(id="a")], stream=name, writer=WRITER, offset=0),
        append_request([row(id="a")], offset=0),
        append_request([row(id="c")], offset=5),
        append_request([row(id="b")], offset=1),
    )
    assert first.append_result.offset == 0
    assert again.error.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
    assert beyond.error.code == grpc.StatusCode.OUT_OF_RANGE.value[0]
    assert second.append_result.offset == 1
    assert ids() == ["a", "b"]


def test_writer_is_told_once_that_the_schema_has_changed(
    write_client: BigQueryWriteClient,
    stream: str,
    bigquery_client: bigquery.Client,
    table: str,
) -> None:
    wider = descriptor("Row", [("id", F.TYPE_STRING), ("added", F.TYPE_STRING)])
    changed = bigquery_client.get_table(table)

    def requests() -> Iterator[types.AppendRowsRequest]:
        yield append_request([row(id="a")], stream=stream, writer=WRITER)
        yield append_request([row(id="b")])
        changed.schema = [*changed.schema, Column("added", "STRING")]
        bigquery_client.update_table(changed, ["schema"])
        yield append_request([row(id="c")])
        yield append_request([row(id="d")])
        rows = [message_class(wider)(id="e", added="new").SerializeToString()]
        yield append_request(rows, writer=wider)

    told = [response.updated_schema for response in write_client.append_rows(requests())]
    # The requests run ahead of their answers: which of them is the first to see it, is open.
    (schema,) = [schema for schema in told if schema.fields]
    assert schema.fields[-1].name == "added"
    assert schema.fields[-2].fields[0].name == "city"
    found = bigquery_client.query(f"SELECT id, added FROM {table} ORDER BY id").result()
    assert [tuple(one.values()) for one in found][3:] == [("d", None), ("e", "new")]


def _storage_error(status: Any) -> str | None:
    detail = types.StorageError.pb(types.StorageError())
    for packed in status.details:
        if packed.Unpack(detail):
            return types.StorageError.StorageErrorCode(detail.code).name
    return None


def test_stream_describes_nested_columns(write_client: BigQueryWriteClient, stream: str) -> None:
    schema = write_client.get_write_stream(name=stream).table_schema
    address = schema.fields[-1]
    assert address.type_ == types.TableFieldSchema.Type.STRUCT
    assert [field.name for field in address.fields] == ["city", "geo"]


def test_arrow_rows_are_not_taken(append: Append, stream: str) -> None:
    request = types.AppendRowsRequest(
        write_stream=stream, arrow_rows=types.AppendRowsRequest.ArrowData()
    )
    (response,) = append(request)
    assert response.error.code == grpc.StatusCode.UNIMPLEMENTED.value[0]


def test_table_is_read_back_by_the_storage_api(
    append: Append, stream: str, read_client: Any
) -> None:
    append(append_request([row(id=str(n)) for n in range(100)], stream=stream, writer=WRITER))
    session = read_client.create_read_session(
        parent="projects/demo-project",
        read_session=types.ReadSession(
            table=stream.removesuffix("/streams/_default"), data_format=types.DataFormat.ARROW
        ),
        max_stream_count=1,
    )
    rows = read_client.read_rows(session.streams[0].name)
    assert sum(message.row_count for message in rows) == 100
