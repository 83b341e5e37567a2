"""What the process does before and after the job: it checks, it tells, it ends."""

import logging

import pytest

from beam_pipeline.log_limit import LimitedLogger
from beam_pipeline.main import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--project is required"),
        (["--project=demo-project", "--dataset=a-b"], "--dataset must be a dataset's name"),
        (["--project=demo-project", "--append_timeout_seconds=-1"], "--append_timeout_seconds"),
    ],
)
def test_a_wrong_setting_ends_it_at_once(arguments, said, capsys):
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_a_wrong_contract_ends_it_at_once(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("VITALFLOW_SCHEMAS", str(tmp_path))
    assert main(["--project=demo-project"]) == 2
    assert "schema.json" in capsys.readouterr().err


def test_a_warning_is_not_repeated_within_a_minute(caplog, monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr("beam_pipeline.log_limit.time.monotonic", lambda: now[0])
    log = LimitedLogger("test")
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            log.warning("%s failed with %s", "a", "UNAVAILABLE")
        log.warning("%s failed with %s", "b", "UNAVAILABLE")
        now[0] += 60
        log.warning("%s failed with %s", "a", "UNAVAILABLE")
    assert [record.getMessage() for record in caplog.records] == [
        "a failed with UNAVAILABLE (0 more since the last line)",
        "b failed with UNAVAILABLE (0 more since the last line)",
        "a failed with UNAVAILABLE (4 more since the last line)",
    ]
