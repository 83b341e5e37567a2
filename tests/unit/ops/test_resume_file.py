import pytest

from ops.resume_file import ResumeFile, ResumeFileError

REPLAY = "dead letters of demo-project.healthcare_ops"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "replay.resume"


def write(path, *marks):
    with ResumeFile(path, REPLAY) as file:
        file.add(marks)


def test_marks_are_there_next_time(path):
    write(path, "a", "b")
    write(path, "c")

    assert ResumeFile(path, REPLAY).marks == {"a", "b", "c"}


def test_marks_are_on_the_disk_at_once(path):
    with ResumeFile(path, REPLAY) as file:
        file.add(["a"])
        assert ResumeFile(path, REPLAY).marks == {"a"}


def test_looking_makes_no_file(path):
    assert ResumeFile(path, REPLAY).marks == set()
    assert not path.exists()


@pytest.mark.parametrize("cut", range(1, 12))
def test_kill_while_writing_costs_the_last_mark_at_most(path, cut):
    write(path, "first-mark", "second-mark")
    path.write_bytes(path.read_bytes()[:-cut])

    assert ResumeFile(path, REPLAY).marks == {"first-mark"}

    write(path, "third-mark")
    assert ResumeFile(path, REPLAY).marks == {"first-mark", "third-mark"}


def test_kill_while_writing_the_head(path):
    write(path)
    path.write_bytes(path.read_bytes()[:-5])

    write(path, "a")

    assert ResumeFile(path, REPLAY).marks == {"a"}


@pytest.mark.parametrize(
    "text",
    [b"some,other\nfile\n", b"no newline", b'{"vitalflow_replay": 1, "of": "another"}\na\n'],
)
def test_file_of_something_else_is_left_alone(path, text):
    path.write_bytes(text)

    with pytest.raises(ResumeFileError):
        ResumeFile(path, REPLAY)
    assert path.read_bytes() == text
