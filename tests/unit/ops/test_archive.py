import io
from datetime import UTC, datetime
from types import SimpleNamespace

import google.cloud.storage
import pytest

from ops.archive import ArchiveError, ArchiveRange, archive_files


def at(day, hour=0):
    return datetime(2026, 1, day, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "may_hold"),
    [
        # Begun at the end of the 9th, it was open into the 10th at most.
        ("patients/2026-01-09/23_59_59Z_a.avro", False),
        ("patients/2026-01-10/00_00_00Z_a.avro", True),
        ("2026-01-10/00_00_00Z_a.avro", True),
        # A backlog is written late.
        ("patients/2026-02-01/00_00_00Z_a.avro", True),
        ("patients/2026-13-01/00_00_00Z_a.avro", True),
        ("patients/a.avro", True),
        ("2026-01-01", True),
    ],
)
def test_files_that_ended_before_the_range_are_not_opened(name, may_hold):
    assert ArchiveRange(since=at(11)).may_hold(name) is may_hold
    assert ArchiveRange(until=at(11)).may_hold(name)


@pytest.mark.parametrize(
    ("published", "resource", "holds"),
    [
        (at(2), "patients", True),
        (at(1, 23), "patients", False),
        (at(3), "patients", False),
        (at(2, 23), "plans", False),
    ],
)
def test_range_of_messages(published, resource, holds):
    chosen = ArchiveRange(at(2), at(3), ("patients",))

    assert chosen.holds(published, resource) is holds
    assert ArchiveRange().holds(published, resource)


def test_files_of_a_bucket(monkeypatch):
    class FakeClient:
        def __init__(self, project):
            assert project == "demo-project"

        def list_blobs(self, bucket, prefix):
            assert (bucket, prefix) == ("archive", "patients/2026-01")
            names = ["patients/2026-01-02/b.avro", "patients/2026-01-01/a.avro", "patients/x.txt"]
            return [
                SimpleNamespace(name=name, open=lambda _, name=name: io.BytesIO(name.encode()))
                for name in names
            ]

    monkeypatch.setattr(google.cloud.storage, "Client", FakeClient)

    files = archive_files("gs://archive/patients/2026-01", "demo-project")

    read = []
    for file in files:
        with file.open() as stream:
            read.append((file.name, stream.read().decode()))
    assert read == [
        ("patients/2026-01-01/a.avro",) * 2,
        ("patients/2026-01-02/b.avro",) * 2,
    ]


def test_folder_without_files(tmp_path):
    with pytest.raises(ArchiveError, match=r"holds no \.avro files"):
        archive_files(str(tmp_path), "demo-project")
