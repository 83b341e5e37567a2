"""What the environment decides for the target that answers for the state of an event."""

from collections.abc import Mapping
from dataclasses import dataclass

from functions.settings import Reader, Settings


@dataclass(frozen=True)
class StatusSettings:
    """Its configuration besides the endpoint's; each field is the variable of its name."""

    endpoint: Settings
    dataset: str = "healthcare"
    ops_dataset: str = "healthcare_ops"
    # An emulator's URL, which is asked in plain text and without credentials.
    bigquery_emulator_host: str | None = None
    # For all queries of one request together.
    status_timeout_seconds: float = 10
    # How far back ids without a time in them are looked for: those of an Idempotency-Key.
    status_lookback_days: int = 30
    # What one key may ask; each question is a query.
    status_requests_per_minute: int = 60

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "StatusSettings":
        """Read the variables.

        Raises:
            SettingError: A variable is missing, malformed or out of its range.
        """
        read = Reader(env)
        return cls(
            endpoint=Settings.from_env(env),
            dataset=read.dataset("DATASET", cls.dataset),
            ops_dataset=read.dataset("OPS_DATASET", cls.ops_dataset),
            bigquery_emulator_host=read.url("BIGQUERY_EMULATOR_HOST"),
            status_timeout_seconds=read.number(
                "STATUS_TIMEOUT_SECONDS", cls.status_timeout_seconds, 0.1, 60
            ),
            status_lookback_days=read.integer(
                "STATUS_LOOKBACK_DAYS", cls.status_lookback_days, 1, 3_650
            ),
            status_requests_per_minute=read.integer(
                "STATUS_REQUESTS_PER_MINUTE", cls.status_requests_per_minute, 1, 100_000
            ),
        )
