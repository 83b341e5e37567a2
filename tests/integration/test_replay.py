"""`python -m ops replay` against Pub/Sub and BigQuery, up to a kill in the middle of it."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import fastavro
import pytest

from ops import dead_letters
from ops.replay import main
from schemas.registry import SCHEMAS_DIR
from tests.fixtures.ops import PHI, dead_letter, patient

ROOT = SCHEMAS_DIR.parent
# As https://cloud.google.com/pubsub/docs/create-cloudstorage-subscription#avro gives it.
AVRO = {
    "type": "record",
    "namespace": "com.google.pubsub",
    "name": "PubsubMessageWithMetadata",
    "fields": [
        {"name": "subscription_name", "type": "string"},
        {"name": "message_id", "type": "string"},
        {"name": "publish_time", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "attributes", "type": {"type": "map", "values": "string"}},
        {"name": "data", "type": "bytes"},
    ],
}
MINUTE_US = 60_000_000
NEW_YEAR_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


@pytest.fixture
def replay(stack_file, capsys):
    """Run the command; return its exit code and all that it printed."""

    def run(*arguments):
        code = main([*map(str, arguments), f"--stack={stack_file}"])
        captured = capsys.readouterr()
        assert PHI not in captured.out + captured.err
        return code, captured.out + captured.err

    return run


@pytest.fixture
def received(patients_topic):
    """Return what the topic of patients was sent since the test's beginning."""
    clients, subscription = patients_topic

    def pull(wanted):
        messages = clients.pull(subscription, wanted) if wanted else []
        if messages:
            clients.acknowledge(subscription, *messages)
        assert clients.is_empty(subscription)
        return [item.message for item in messages]

    return pull


def letters(count, **columns):
    return [dead_letter(patient(f"e-{n}"), event_id=f"e-{n}", **columns) for n in range(count)]


def test_dry_run_counts_and_publishes_nothing(warehouse, replay, received):
    warehouse.insert(
        "dead_letters",
        *letters(3),
        *letters(2, error_code="row_refused", failed_ts="2026-01-03T00:00:00Z"),
    )

    code, text = replay("dead-letters")

    assert code == 0
    rows = [line.split() for line in text.splitlines() if "patients" in line]
    size = len(patient("e-0"))
    assert rows == [
        ["patients", "invalid_record", "2026-01-02", "3", f"{3 * size:,}"],
        ["patients", "row_refused", "2026-01-03", "2", f"{2 * size:,}"],
    ]
    assert "Nothing was published" in text
    assert received(0) == []


def test_payload_and_attributes_stay_as_they_were(warehouse, replay, received):
    [letter] = letters(1, attributes={"traceparent": "00-1"})
    warehouse.insert("dead_letters", letter)

    code, text = replay("dead-letters", "--publish")

    assert code == 0
    assert "Published 1 record(s) in 1 message(s)." in text
    [message] = received(1)
    assert message.data == patient("e-0")
    original = json.loads(letter["attributes"])
    added = {"replay_of": letter["dead_letter_id"], "attempt": "2"}
    new = {"dedup_id": message.attributes["dedup_id"]}
    assert dict(message.attributes) == original | added | new
    assert new["dedup_id"] != original["dedup_id"]


def test_lines_of_one_pack_have_ids_of_their_own(warehouse, replay, received):
    warehouse.insert("dead_letters", *letters(3, message_id="m-pack"))

    replay("dead-letters", "--publish")

    assert len({message.attributes["dedup_id"] for message in received(3)}) == 3


def test_resolved_ones_are_left_unless_again(warehouse, replay, received):
    warehouse.insert("dead_letters", *letters(2))
    warehouse.load("e-0")

    replay("dead-letters", "--publish")
    [message] = received(1)
    assert json.loads(message.data)["event_id"] == "e-1"

    replay("dead-letters", "--publish", "--again")
    assert len(received(2)) == 2


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        (["--code", "row_refused"], ["id-1"]),
        (["--code", "row_refused", "--code", "invalid_json"], ["id-1", "id-2"]),
        (["--stage", "decode"], ["id-2"]),
        (["--resource", "plans"], ["id-3"]),
        (["--since", "2026-01-05"], ["id-1", "id-2", "id-3"]),
        (["--until", "2026-01-05"], ["id-0"]),
        (["--since", "2026-01-05", "--until", "2026-01-07"], ["id-1", "id-2"]),
        (["--id", "id-1", "--id", "id-3"], ["id-1", "id-3"]),
        (["--id", "id-1", "--code", "invalid_json"], []),
    ],
    ids=" ".join,
)
def test_choice(warehouse, connection, choice, chosen):
    insert_assorted(warehouse)
    parser = argparse.ArgumentParser()
    dead_letters.add_arguments(parser, ["patients", "plans"])

    store = dead_letters.DeadLetters(connection)
    found = store.chosen(dead_letters.selection(parser.parse_args(choice)))

    assert {letter.id for letter in found} == set(chosen)


def insert_assorted(warehouse):
    assorted = [
        {"failed_ts": "2026-01-04T00:00:00Z"},
        {"failed_ts": "2026-01-05T00:00:00Z", "error_code": "row_refused", "stage": "append"},
        {"failed_ts": "2026-01-06T23:59:59Z", "error_code": "invalid_json", "stage": "decode"},
        {"failed_ts": "2026-01-07T00:00:00Z", "resource": "plans"},
    ]
    for n, columns in enumerate(assorted):
        ids = {"dead_letter_id": f"id-{n}", "event_id": f"e-{n}"}
        warehouse.insert("dead_letters", dead_letter(patient(f"e-{n}"), **ids, **columns))


def test_ids_from_a_file(warehouse, replay, received, tmp_path):
    insert_assorted(warehouse)
    ids = tmp_path / "ids"
    ids.write_text("id-0\nid-2\n\n")

    replay("dead-letters", "--publish", "--ids-from", ids)

    assert {json.loads(m.data)["event_id"] for m in received(2)} == {"e-0", "e-2"}


def test_empty_file_of_ids_chooses_nothing(warehouse, replay, tmp_path):
    insert_assorted(warehouse)
    ids = tmp_path / "ids"
    ids.write_text("\n")

    assert replay("dead-letters", "--ids-from", ids) == (0, "Nothing to replay.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dead-letters", "--code", "no_such_code"],
        ["dead-letters", "--resource", "no_such_resource"],
        ["dead-letters", "--stage", "reading"],
        ["dead-letters", "--since", "yesterday"],
        ["dead-letters", "--limit", "0"],
        ["dead-letters", "--rate", "0"],
        ["dead-letters", "--rate", "nan"],
        ["archive"],
    ],
    ids=" ".join,
)
def test_wrong_call(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_missing_topic_stops_with_its_name(warehouse, replay, connection, provisioned_pubsub):
    warehouse.insert("dead_letters", *letters(2))
    provisioned_pubsub.faults.add({"method": "Publish", "status": "NOT_FOUND"})

    code, text = replay("dead-letters", "--publish")

    assert code == 1
    assert "Published 0 record(s)" in text
    assert "Stopped: topic patients: NotFound" in text


def test_resume_leaves_out_what_was_acknowledged(
    warehouse, replay, received, provisioned_pubsub, tmp_path
):
    file = tmp_path / "resume"
    warehouse.insert("dead_letters", *letters(10))

    code, text = replay("dead-letters", "--publish", "--resume", file, "--limit", "4")
    assert (code, len(received(4))) == (0, 4)
    provisioned_pubsub.faults.add({"method": "Publish", "status": "PERMISSION_DENIED", "calls": 1})
    code, text = replay("dead-letters", "--publish", "--resume", file)
    assert code == 1
    assert f"--resume {file}" in text
    code, text = replay("dead-letters", "--publish", "--resume", file)
    assert (code, len(received(6))) == (0, 6)
    assert replay("dead-letters", "--publish", "--resume", file) == (0, "Nothing to replay.\n")


def test_limit_counts_what_was_resumed(warehouse, replay, received, tmp_path):
    file = tmp_path / "resume"
    warehouse.insert("dead_letters", *letters(10))

    for _ in range(3):
        replay("dead-letters", "--publish", "--resume", file, "--limit", "4")

    assert len(received(4)) == 4


def test_resume_file_of_another_replay_is_refused(replay, tmp_path):
    file = tmp_path / "resume"
    file.write_text("something else\n")

    code, text = replay("dead-letters", "--publish", "--resume", file)

    assert code == 2
    assert "is not the resume file of this replay" in text


def start(stack_file, *arguments):
    command = [sys.executable, "-m", "ops", "replay", *map(str, arguments)]
    return subprocess.Popen(
        [*command, f"--stack={stack_file}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT], ids=lambda kill: kill.name)
def test_interrupted_replay_goes_on_where_it_was(
    warehouse, replay, stack_file, patients_topic, kill
):
    file, batch, count = stack_file.with_name("resume"), 50, 400
    rows = letters(count)
    warehouse.insert("dead_letters", *rows)
    arguments = ["dead-letters", "--publish", "--resume", file, "--rate", batch]
    process = start(stack_file, *arguments)
    deadline = time.monotonic() + 60
    while not file.exists() or file.read_bytes().count(b"\n") <= batch:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)

    os.kill(process.pid, kill)
    output, _ = process.communicate(timeout=30)

    done = file.read_bytes().count(b"\n") - 1
    assert 0 < done < count
    if kill is signal.SIGINT:
        assert process.returncode == 130
        assert "Interrupted. Go on with --resume" in output
        assert PHI not in output
    code, text = replay("dead-letters", "--publish", "--resume", file)
    assert code == 0
    assert f"Published {count - done:,} record(s)" in text
    clients, subscription = patients_topic
    # Repeats, if there are any, come after the first of each.
    messages = clients.pull(subscription, count)
    messages += clients.pull(subscription, seconds=1)
    copies = Counter(message.message.attributes["replay_of"] for message in messages)
    assert copies.keys() == {row["dead_letter_id"] for row in rows}
    assert sum(copies.values()) - count <= batch
    assert max(copies.values()) <= 2


def archived(number, subscription="projects/p/subscriptions/patients-archive", **changes):
    message = {
        "subscription_name": subscription,
        "message_id": f"{number:04}",
        "publish_time": NEW_YEAR_US + number * MINUTE_US,
        "attributes": {"resource": "patients", "content_type": "application/json"},
        "data": patient(f"e-{number}"),
    }
    return message | changes


@pytest.fixture
def archive(tmp_path):
    """Write files of messages below an archive's root; return the root."""

    def write(files, schema=AVRO):
        root = tmp_path / "archive"
        for name, messages in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                fastavro.writer(stream, schema, messages, codec="null")
        return root

    return write


def test_archive_is_published_as_it_was(replay, archive, received):
    pack = patient("e-7") + b"\n" + patient("e-8")
    packed = {"resource": "patients", "content_type": "application/x-ndjson", "attempt": "2"}
    root = archive(
        {
            "patients/2026-01-01/00_00_00Z_a.avro": [archived(1), archived(2)],
            "patients/2026-01-01/00_05_00Z_b.avro": [archived(7, data=pack, attributes=packed)],
        }
    )

    code, text = replay("archive", root)
    assert code == 0
    [row] = [line.split() for line in text.splitlines() if "patients" in line]
    assert row[:4] == ["patients", "archive", "2026-01-01", "4"]

    code, text = replay("archive", root, "--publish")
    assert (code, "Published 4 record(s) in 3 message(s)." in text) == (0, True)
    first, second, third = sorted(received(3), key=lambda m: m.attributes["replay_of"])
    assert first.data == patient("e-1")
    assert dict(first.attributes) == archived(1)["attributes"] | {
        "replay_of": "0001",
        "attempt": "2",
        "dedup_id": first.attributes["dedup_id"],
    }
    assert second.attributes["replay_of"] == "0002"
    assert third.data == pack
    assert third.attributes["attempt"] == "3"
    assert third.attributes["content_type"] == "application/x-ndjson"


def test_archive_by_time_and_resource(replay, archive, received):
    plans = "projects/p/subscriptions/plans-archive"
    root = archive(
        {
            "patients/2026-01-01/00_00_00Z_a.avro": [archived(n) for n in range(10)],
            "plans/2026-01-01/00_00_00Z_a.avro": [archived(4, plans)],
            # Begun long before the range: its messages cannot be of it, and it is not opened.
            "patients/2025-12-01/00_00_00Z_a.avro": [archived(5)],
        }
    )

    replay(
        "archive", root, "--publish", "--resource", "patients",
        "--since", "2026-01-01T00:03Z", "--until", "2026-01-01T00:06Z",
    )  # fmt: skip

    assert [m.attributes["replay_of"] for m in received(3)] == ["0003", "0004", "0005"]


def test_archive_goes_on_where_it_was(replay, archive, received, tmp_path):
    file = tmp_path / "resume"
    root = archive({"a.avro": [archived(n) for n in range(5)]})

    replay("archive", root, "--publish", "--until", "2026-01-01T00:02Z", "--resume", file)
    assert len(received(2)) == 2
    replay("archive", root, "--publish", "--resume", file)

    assert sorted(m.attributes["replay_of"] for m in received(3)) == ["0002", "0003", "0004"]


def test_one_file_of_another_subscription_by_its_attribute(replay, archive, received):
    root = archive({"a.avro": [archived(1, "projects/p/subscriptions/copies")]})

    replay("archive", root / "a.avro", "--publish")

    assert len(received(1)) == 1


def without_metadata(archive):
    schema = {"type": "record", "name": "PubsubMessage", "fields": [AVRO["fields"][4]]}
    return archive({"a.avro": [{"data": patient("e-1")}]}, schema)


def cut_short(archive):
    root = archive({"a.avro": [archived(n) for n in range(50)]})
    (root / "a.avro").write_bytes((root / "a.avro").read_bytes()[:-500])
    return root


def not_avro(archive):
    root = archive({})
    root.mkdir()
    (root / "a.avro").write_bytes(patient("e-1"))
    return root


def unknown_resource(archive):
    return archive({"a.avro": [archived(1, "projects/p/subscriptions/copies", attributes={})]})


def no_files(archive):
    return archive({})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (without_metadata, "a.avro has no metadata"),
        (cut_short, "a.avro cannot be read"),
        (not_avro, "a.avro cannot be read"),
        (unknown_resource, "a.avro, message 1: neither"),
        (no_files, "holds no .avro files"),
    ],
)
def test_unreadable_archive_publishes_nothing(replay, archive, received, make, reason):
    code, text = replay("archive", make(archive), "--publish")

    assert code == 2
    assert reason in text
    assert received(0) == []
