"""Rows are in the table, or refused by BigQuery itself, or the bundle fails."""

import logging

import grpc
import pytest

from beam_pipeline.append_errors import TRANSIENT
from beam_pipeline.delivery import TableUnavailableError
from tests.fixtures.pipeline import SECRET, Hang, Refuse, RowErrors, StorageErrorCode

ROWS = [b"row-%03d" % n for n in range(500)]
POISON = {7, 250, 251, 499}
INVALID = grpc.StatusCode.INVALID_ARGUMENT
CONFIG_FAULTS = {
    "schema": Refuse(INVALID, StorageErrorCode.SCHEMA_MISMATCH_EXTRA_FIELDS),
    "no-table": Refuse(grpc.StatusCode.NOT_FOUND, StorageErrorCode.TABLE_NOT_FOUND, True),
    "no-permission": Refuse(grpc.StatusCode.PERMISSION_DENIED, ends_call=True),
}


def without(*indexes):
    return [row for index, row in enumerate(ROWS) if index not in indexes]


def named(rows):
    """BigQuery's answer to a request with poison: it names the rows."""
    found = [i for i, row in enumerate(rows) if row in {ROWS[p] for p in POISON}]
    return RowErrors(found) if found else None


def unnamed(ends_call):
    """The same, but no row is named."""

    def rule(rows):
        return Refuse(INVALID, ends_call=ends_call) if named(rows) else None

    return rule


def test_loads_rows(make_writer, fake_bigquery):
    writer = make_writer()
    delivery = writer.settle(writer.send(ROWS))
    assert fake_bigquery.loaded == ROWS
    assert (delivery.refused, delivery.retries) == ({}, 0)
    assert delivery.seconds > 0


def test_poison_rows_are_told_and_their_neighbours_loaded(make_writer, fake_bigquery):
    fake_bigquery.rule = named
    writer = make_writer()
    delivery = writer.settle(writer.send(ROWS))
    assert delivery.refused == dict.fromkeys(POISON, "FIELDS_ERROR")
    assert fake_bigquery.loaded == without(*POISON)
    assert delivery.retries == 1


def test_poison_in_what_is_left_is_told_too(make_writer, fake_bigquery):
    # Each answer names one row only.
    fake_bigquery.rule = lambda rows: RowErrors(named(rows).indexes[:1]) if named(rows) else None
    writer = make_writer()
    delivery = writer.settle(writer.send(ROWS))
    assert set(delivery.refused) == POISON
    assert fake_bigquery.loaded == without(*POISON)
    assert delivery.retries == len(POISON)


def test_all_rows_refused(make_writer, fake_bigquery):
    fake_bigquery.rule = lambda rows: RowErrors(range(len(rows)))
    writer = make_writer()
    assert len(writer.settle(writer.send(ROWS)).refused) == len(ROWS)
    assert fake_bigquery.loaded == []


@pytest.mark.parametrize("ends_call", [False, True], ids=["in-stream", "ends-call"])
def test_a_refused_request_is_halved_until_the_guilty_stand_alone(
    make_writer, fake_bigquery, ends_call
):
    fake_bigquery.rule = unnamed(ends_call)
    writer = make_writer()
    delivery = writer.settle(writer.send(ROWS))
    assert delivery.refused == dict.fromkeys(POISON, "INVALID_ARGUMENT")
    assert sorted(fake_bigquery.loaded) == without(*POISON)
    assert delivery.retries < 4 * len(POISON) * 9  # log2 of 500


def test_a_call_that_poison_ends_takes_no_other_request_along(make_writer, fake_bigquery):
    fake_bigquery.rule = unnamed(ends_call=True)
    writer = make_writer()
    deliveries = [writer.send([row]) for row in ROWS[:20]]
    refused = [bool(writer.settle(delivery).refused) for delivery in deliveries]
    assert refused == [index in POISON for index in range(20)]
    assert set(fake_bigquery.loaded) == set(without(*POISON)[:19])


def test_a_table_that_has_taken_nothing_yet_makes_no_row_guilty(make_writer, fake_bigquery):
    fake_bigquery.rule = lambda _: Refuse(INVALID)
    writer = make_writer(deadline=0.3)
    with pytest.raises(TableUnavailableError, match="INVALID_ARGUMENT"):
        writer.settle(writer.send(ROWS))


def test_the_first_row_of_a_table_is_tried_until_the_table_is_mended(make_writer, fake_bigquery):
    fake_bigquery.script.extend([Refuse(INVALID)] * 5)
    writer = make_writer()
    assert writer.settle(writer.send([b"row"])).refused == {}
    assert fake_bigquery.loaded == [b"row"]


def test_a_lone_row_is_guilty_where_the_table_takes_others(make_writer, fake_bigquery):
    writer = make_writer()
    writer.settle(writer.send([b"good"]))
    fake_bigquery.rule = lambda _: Refuse(INVALID)
    assert writer.settle(writer.send([b"bad"])).refused == {0: "INVALID_ARGUMENT"}


@pytest.mark.parametrize("ends_call", [False, True], ids=["in-stream", "ends-call"])
@pytest.mark.parametrize("code", TRANSIENT)
def test_transient_errors_are_tried_again(make_writer, fake_bigquery, code, ends_call):
    failure = Refuse(grpc.StatusCode[code], ends_call=ends_call)
    fake_bigquery.script.extend([failure] * 3)
    writer = make_writer()
    delivery = writer.settle(writer.send(ROWS))
    assert fake_bigquery.loaded == ROWS
    assert (delivery.refused, delivery.retries) == ({}, 3)


@pytest.mark.parametrize("fault", CONFIG_FAULTS.values(), ids=CONFIG_FAULTS)
def test_faults_of_the_table_are_tried_again_and_never_the_rows_fault(
    make_writer, fake_bigquery, fault
):
    writer = make_writer()
    writer.settle(writer.send([b"before"]))
    fake_bigquery.script.extend([fault] * 3)
    assert writer.settle(writer.send(ROWS)).refused == {}
    assert fake_bigquery.loaded == [b"before", *ROWS]


@pytest.mark.parametrize(
    "fault",
    [*CONFIG_FAULTS.values(), Refuse(grpc.StatusCode.UNAVAILABLE, ends_call=True), Hang()],
    ids=[*CONFIG_FAULTS, "down", "silent"],
)
def test_what_stays_broken_fails_the_bundle_in_bounded_time(make_writer, fake_bigquery, fault):
    fake_bigquery.rule = lambda _: fault
    writer = make_writer(answer=0.1, deadline=0.5)
    with pytest.raises(TableUnavailableError) as caught:
        writer.settle(writer.send(ROWS))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert fake_bigquery.loaded == []


def test_a_break_among_many_on_their_way_loses_nothing(make_writer, fake_bigquery):
    fake_bigquery.script.extend([None] * 3 + [Refuse(grpc.StatusCode.INTERNAL, ends_call=True)])
    writer = make_writer()
    deliveries = [writer.send(ROWS[start : start + 50]) for start in range(0, 500, 50)]
    for delivery in deliveries:
        assert writer.settle(delivery).refused == {}
    assert set(fake_bigquery.loaded) == set(ROWS)


def test_pauses_grow_and_are_not_in_step(make_writer, fake_bigquery):
    pauses = []
    fake_bigquery.script.extend([Refuse(grpc.StatusCode.UNAVAILABLE)] * 8)
    writer = make_writer(deadline=60)
    writer._sleep = pauses.append  # the fixture's own takes no notes
    writer.settle(writer.send([b"row"]))
    assert len(pauses) == 8
    for n, pause in enumerate(pauses):
        longest = min(5.0, 0.1 * 2**n)
        assert longest / 2 <= pause <= longest


def test_the_log_says_it_once_a_minute_and_holds_no_text_of_bigquerys(
    make_writer, fake_bigquery, caplog
):
    fake_bigquery.script.extend([Refuse(grpc.StatusCode.RESOURCE_EXHAUSTED)] * 5)
    writer = make_writer()
    with caplog.at_level(logging.WARNING):
        writer.settle(writer.send([b"row"]))
    assert len(caplog.records) <= 1
    assert SECRET not in caplog.text
