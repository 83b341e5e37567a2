"""The connection pairs answers with requests, and tells everyone when it breaks."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from beam_pipeline.append_errors import (
    TRANSIENT,
    AppendUnavailableError,
    RequestRefusedError,
    RowsRefusedError,
)
from beam_pipeline.storage_write import StorageWriteSink, close_shared_streams
from tests.fixtures.pipeline import SECRET, TABLE, Hang, Refuse, RowErrors, StorageErrorCode

CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
DATA_CODE = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def stream(sink, descriptor):
    return sink.shared_stream(TABLE, descriptor)


def test_names_the_stream_in_every_request_and_the_schema_in_the_first(stream, fake_bigquery):
    for row in (b"1", b"2"):
        stream.append([row]).wait(5)
    first, second = fake_bigquery.requests
    assert {first.write_stream, second.write_stream} == {f"{TABLE}/streams/_default"}
    assert first.proto_rows.writer_schema.proto_descriptor.name == "Row"
    assert first.trace_id
    assert not second.proto_rows.HasField("writer_schema")
    assert fake_bigquery.connections == 1


def test_sends_the_schema_until_rows_were_read_by_it(stream, fake_bigquery):
    fake_bigquery.script += [Refuse(DATA_CODE), RowErrors([0])]
    for error in (RequestRefusedError, RowsRefusedError):
        with pytest.raises(error):
            stream.append([b"row"]).wait(5)
    stream.append([b"row"]).wait(5)
    has_schema = [r.proto_rows.HasField("writer_schema") for r in fake_bigquery.requests]
    assert has_schema == [True, True, False]
    assert fake_bigquery.connections == 1


def test_shares_one_stream_a_table(sink, descriptor):
    assert sink.shared_stream(TABLE, descriptor) is sink.shared_stream(TABLE, descriptor)
    assert sink.shared_stream(TABLE, descriptor) is not sink.private_stream(TABLE, descriptor)


def test_answers_reach_their_own_requests_across_threads(stream, fake_bigquery):
    fake_bigquery.rule = lambda rows: RowErrors([0]) if rows[0].startswith(b"bad") else None
    rows = [f"{'bad' if n % 3 else 'good'}-{n}".encode() for n in range(300)]

    def refused(row: bytes) -> bool:
        try:
            stream.append([row]).wait(10)
        except RowsRefusedError:
            return True
        return False

    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(refused, rows))
    assert verdicts == [row.startswith(b"bad") for row in rows]
    assert fake_bigquery.connections == 1


@pytest.mark.parametrize("ends_call", [False, True], ids=["in-stream", "ends-call"])
@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_reads_every_status(stream, fake_bigquery, code, ends_call):
    fake_bigquery.script.append(Refuse(code, ends_call=ends_call))
    expected = RequestRefusedError if code is DATA_CODE else AppendUnavailableError
    with pytest.raises(expected) as caught:
        stream.append([b"row"]).wait(5)
    assert SECRET not in str(caught.value)
    if code is not DATA_CODE:
        assert caught.value.code == code.name
        assert caught.value.is_transient == (code.name in TRANSIENT)
    stream.append([b"row"]).wait(5)  # and it goes on
    assert fake_bigquery.connections == 1 + ends_call


@pytest.mark.parametrize("ends_call", [False, True], ids=["in-stream", "ends-call"])
@pytest.mark.parametrize(
    "storage_code", [code for code in StorageErrorCode if code], ids=lambda code: code.name
)
def test_reads_bigquerys_own_code_as_no_fault_of_the_rows(
    stream, fake_bigquery, storage_code, ends_call
):
    fake_bigquery.script.append(Refuse(DATA_CODE, storage_code, ends_call))
    with pytest.raises(AppendUnavailableError, match=storage_code.name) as caught:
        stream.append([b"row"]).wait(5)
    assert not caught.value.is_transient
    assert SECRET not in str(caught.value)


def test_reads_row_errors(stream, fake_bigquery):
    fake_bigquery.script.append(RowErrors([0, 2]))
    with pytest.raises(RowsRefusedError) as caught:
        stream.append([b"1", b"2", b"3"]).wait(5)
    assert caught.value.codes == {0: "FIELDS_ERROR", 2: "FIELDS_ERROR"}
    assert fake_bigquery.loaded == []


def test_names_a_row_error_code_that_is_newer_than_the_client(stream, fake_bigquery):
    fake_bigquery.script.append(RowErrors([0], code=77))
    with pytest.raises(RowsRefusedError) as caught:
        stream.append([b"1"]).wait(5)
    assert caught.value.codes == {0: "ROW_ERROR_CODE_77"}


@pytest.mark.parametrize("index", [-1, 1, 500])
def test_row_errors_of_rows_that_were_not_sent_refuse_the_request(stream, fake_bigquery, index):
    fake_bigquery.script.append(RowErrors([index]))
    with pytest.raises(RequestRefusedError):
        stream.append([b"1"]).wait(5)


def test_a_break_fails_all_that_are_on_their_way(stream, fake_bigquery):
    fake_bigquery.script.extend([None] * 5 + [Refuse(grpc.StatusCode.UNAVAILABLE, ends_call=True)])
    appends = [stream.append([b"%d" % n]) for n in range(20)]
    outcomes = [_code_of(append) for append in appends]
    assert set(outcomes[5:]) == {"UNAVAILABLE"}
    # What was acknowledged is loaded; of the rest nobody knows.
    assert outcomes.count("") <= len(fake_bigquery.loaded) == 5


def _code_of(append) -> str:
    try:
        append.wait(5)
    except AppendUnavailableError as error:
        return error.code
    return ""


def test_no_answer_in_time_breaks_the_connection_for_all(stream, fake_bigquery):
    fake_bigquery.script.append(Hang())
    first, second = stream.append([b"1"]), stream.append([b"2"])
    with pytest.raises(AppendUnavailableError, match="DEADLINE_EXCEEDED"):
        first.wait(0.2)
    with pytest.raises(AppendUnavailableError, match="DEADLINE_EXCEEDED"):
        second.wait(0.2)
    stream.append([b"3"]).wait(5)
    assert fake_bigquery.connections == 2


def test_an_unreachable_server_is_unavailable(descriptor):
    stream = StorageWriteSink("127.0.0.1:1").private_stream(TABLE, descriptor)
    with pytest.raises(AppendUnavailableError, match="UNAVAILABLE"):
        stream.append([b"1"]).wait(5)


def test_closing_ends_the_threads(stream, fake_bigquery):
    stream.append([b"1"]).wait(5)
    readers = [t for t in threading.enumerate() if t.name == "append-rows-reader"]
    assert readers
    close_shared_streams()
    for reader in readers:
        reader.join(5)
    assert not any(reader.is_alive() for reader in readers)
