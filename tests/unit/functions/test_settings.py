import pytest

from functions.settings import SettingError, Settings
from schemas import limits

ENV = {"PROJECT_ID": "demo-project"}


def test_only_the_project_is_needed():
    assert Settings.from_env(ENV) == Settings(project_id="demo-project")


def test_googles_own_variable_names_the_project_too():
    assert Settings.from_env({"GOOGLE_CLOUD_PROJECT": "demo-project"}).project_id == "demo-project"


def test_an_empty_variable_counts_as_not_set():
    assert Settings.from_env(ENV | {"KEY_REFRESH_SECONDS": "", "PUBSUB_EMULATOR_HOST": ""}) == (
        Settings.from_env(ENV)
    )


def test_values_are_read():
    settings = Settings.from_env(
        ENV
        | {
            "PUBSUB_EMULATOR_HOST": "127.0.0.1:8085",
            "SECRET_MANAGER_EMULATOR_HOST": "[::1]:8086",
            "PUBSUB_ENDPOINT": "us-east1-pubsub.googleapis.com:443",
            "PUBLISH_TIMEOUT_SECONDS": "2.5",
            "PUBLISH_QUEUE_MESSAGES": "5000",
            "LOG_LEVEL": "debug",
        }
    )
    assert settings.pubsub_emulator_host == "127.0.0.1:8085"
    assert settings.secret_manager_emulator_host == "[::1]:8086"
    assert settings.pubsub_endpoint == "us-east1-pubsub.googleapis.com:443"
    assert settings.publish_timeout_seconds == 2.5
    assert settings.publish_queue_messages == 5000
    assert settings.log_level == "DEBUG"


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("PROJECT_ID", "", "is not set"),
        ("PROJECT_ID", "Demo", "is not a Google Cloud project id"),
        ("PUBSUB_EMULATOR_HOST", "http://localhost:8085", "must be host:port"),
        ("SECRET_MANAGER_EMULATOR_HOST", "localhost", "must be host:port"),
        ("KEY_REFRESH_SECONDS", "a minute", "must be a number"),
        ("KEY_REFRESH_SECONDS", "0", "must be from 1 "),
        ("KEY_REFRESH_SECONDS", "nan", "must be from 1 "),
        ("KEY_MAX_STALE_SECONDS", "59", "must not be less than KEY_REFRESH_SECONDS"),
        ("PUBLISH_TIMEOUT_SECONDS", "61", "must be from 0.1 to 60"),
        ("PUBLISH_QUEUE_MESSAGES", "999", "must be from 1,000"),
        ("PUBLISH_QUEUE_BYTES", str(2 * limits.MAX_BODY_BYTES - 1), "must be from 20,000,000"),
        ("BODY_MEMORY_BYTES", "1e9", "must be a number"),
        ("BODY_TIMEOUT_SECONDS", "-1", "must be from 0.1"),
        ("REFUSED_KEYS_PER_MINUTE", "-1", "must be from 0 "),
        ("RATE_LIMIT_PER_KEY", "1.5", "must be a number"),
        ("HEADER_TIMEOUT_SECONDS", "0", "must be from 1 "),
        ("MAX_CONNECTIONS", "0", "must be from 1 "),
        ("LOG_LEVEL", "LOUD", "must be one of DEBUG, INFO"),
    ],
)
def test_a_mistake_names_the_variable_and_what_is_wrong(variable, value, problem):
    with pytest.raises(SettingError) as caught:
        Settings.from_env(ENV | {variable: value})
    assert str(caught.value).startswith(f"{variable} ")
    assert problem in str(caught.value)
