import json
import logging

import pytest

from functions import logging as endpoint_logging
from functions.logging import JsonFormatter, OncePerMinute, configure, fields, get_logger


def line(name: str = "vitalflow.app", message: str = "a message", exc_info=None, **extra) -> dict:
    logger = logging.getLogger(name)
    record = logger.makeRecord(
        name, logging.WARNING, "file.py", 1, message, (), exc_info, extra=extra or None
    )
    return json.loads(JsonFormatter().format(record))


def test_a_line_is_json_with_its_severity_and_fields():
    assert line(**fields(request_id="r", status=422)) == {
        "severity": "WARNING",
        "message": "a message",
        "logger": "vitalflow.app",
        "request_id": "r",
        "status": 422,
    }


def test_an_exception_is_told_without_its_words():
    try:
        int("SSN 123-45-6789")
    except ValueError as error:
        entry = line(exc_info=(type(error), error, error.__traceback__))
    assert entry["exception"] == "ValueError"
    assert "test_an_exception_is_told_without_its_words" in entry["frames"][0]
    assert "6789" not in json.dumps(entry)


def test_of_a_librarys_message_only_the_first_line_is_told():
    entry = line("asyncio", "Task exception was never retrieved\nfuture: ValueError('6789')")
    assert entry["message"] == "Task exception was never retrieved"


@pytest.fixture
def _root_as_before():
    root, ours = logging.getLogger(), logging.getLogger("vitalflow")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before


@pytest.mark.usefixtures("_root_as_before")
def test_lines_go_to_standard_output_from_the_level_that_is_set(capsys):
    configure("INFO")
    get_logger("app").info("told")
    get_logger("app").debug("not told")
    logging.getLogger("grpc").info("not told")
    (only,) = capsys.readouterr().out.splitlines()
    assert json.loads(only)["message"] == "told"


def test_a_lasting_condition_is_logged_once_a_minute_with_its_count(monkeypatch, caplog):
    now = 100.0
    monkeypatch.setattr(endpoint_logging.time, "monotonic", lambda: now)
    log = OncePerMinute(get_logger("app"), logging.WARNING, "a condition")
    for _ in range(3):
        log("one", status="X")
    log("other")
    now += 60
    log("one", status="Y")
    assert [(r.fields["about"], r.fields["times"]) for r in caplog.records] == [
        ("one", 1),
        ("other", 1),
        ("one", 3),
    ]
