import time
import uuid

import orjson
import pytest

from functions.audit import EVENT_NAMESPACE, Clock, UuidV7, audit_columns, repeatable_ids


def test_ids_are_uuids_of_version_7_and_now():
    before = time.time_ns() // 1_000_000
    parsed = uuid.UUID(UuidV7().one())
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert before <= parsed.int >> 80 <= time.time_ns() // 1_000_000


def test_ids_grow_and_never_repeat():
    ids = UuidV7()
    made = [id_ for count in range(1, 100) for id_ in [ids.one(), *ids.take(count)]]
    assert made == sorted(set(made))


def test_ids_of_two_processes_differ():
    assert not set(UuidV7().take(1000)) & set(UuidV7().take(1000))


def test_ids_grow_though_the_clock_goes_back(monkeypatch):
    ids = UuidV7()
    first = ids.one()
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    assert ids.one() > first


def test_ids_borrow_the_next_millisecond_when_one_is_full(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    ids = UuidV7()
    first = ids.one()
    ids._low = (1 << 48) - 1
    second, third = ids.take(1) + ids.take(2)[:1]
    assert first < second < third
    assert uuid.UUID(third).int >> 80 == 10**12 + 1


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_767_323_045_678_901_999, "2026-01-02T03:04:05.678901Z"),
        (1_767_323_045_000_000_000, "2026-01-02T03:04:05.000000Z"),
        (1_767_323_045_999_999_999, "2026-01-02T03:04:05.999999Z"),
    ],
)
def test_the_clock_writes_microseconds_in_utc(monkeypatch, nanoseconds, text):
    monkeypatch.setattr(time, "time_ns", lambda: nanoseconds)
    clock = Clock()
    assert clock.now() == text
    assert clock.now() == text


def test_repeatable_ids_are_uuid5_of_all_their_parts():
    name = ("patients", "v1", "batch-7")
    expected = [
        str(uuid.uuid5(EVENT_NAMESPACE, f'["patients","v1","batch-7",{position}]'))
        for position in (0, 2)
    ]
    assert repeatable_ids(*name, positions=[0, 2]) == expected


def test_parts_of_repeatable_ids_cannot_run_into_each_other():
    assert repeatable_ids("a", "b,c", "d", positions=[0]) != (
        repeatable_ids("a", "b", "c,d", positions=[0])
    )
    quoted = repeatable_ids("a", 'b","c', positions=[0])
    assert quoted != repeatable_ids("a", "b", "c", positions=[0])


def test_audit_columns_are_json_even_with_a_strange_key_id():
    columns = audit_columns("2026-01-02T03:04:05.678901Z", 'a"b\\', "r", is_active=False)
    assert orjson.loads(b"{" + columns + b'e"}') == {
        "created_ts": "2026-01-02T03:04:05.678901Z",
        "updated_ts": "2026-01-02T03:04:05.678901Z",
        "created_by": 'a"b\\',
        "is_active": False,
        "request_id": "r",
        "event_id": "e",
    }
