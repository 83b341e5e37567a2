"""Asks Cloud Monitoring how much waits in the pipeline's subscriptions, and for how long."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

MESSAGES: Final = "pubsub.googleapis.com/subscription/num_undelivered_messages"
OLDEST_SECONDS: Final = "pubsub.googleapis.com/subscription/oldest_unacked_message_age"
CALL_SECONDS: Final = 20.0
# Points come once a minute and some minutes late.
_WINDOW_SECONDS: Final = 600


@dataclass(slots=True)
class Backlog:
    """Of one subscription; None where Monitoring has no recent point."""

    messages: int | None = None
    oldest_seconds: int | None = None


class BacklogReader:
    """Reads the newest points of the subscriptions' metrics.

    Args:
        client: Google's MetricServiceClient.
        project: Whose subscriptions.
    """

    def __init__(self, client: Any, project: str) -> None:
        self._client, self._project = client, project

    def read(self, subscriptions: Iterable[str]) -> dict[str, Backlog]:
        """Return the backlog of each."""
        backlogs = {name: Backlog() for name in subscriptions}
        for name, value in self._newest(MESSAGES):
            if name in backlogs:
                backlogs[name].messages = value
        for name, value in self._newest(OLDEST_SECONDS):
            if name in backlogs:
                backlogs[name].oldest_seconds = value
        return backlogs

    def _newest(self, metric: str) -> Iterable[tuple[str, int]]:
        now = int(time.time())
        request = {
            "name": f"projects/{self._project}",
            "filter": f'metric.type = "{metric}"',
            "interval": {
                "start_time": {"seconds": now - _WINDOW_SECONDS},
                "end_time": {"seconds": now},
            },
        }
        for series in self._client.list_time_series(request=request, timeout=CALL_SECONDS):
            if series.points:  # the newest comes first
                name = series.resource.labels["subscription_id"]
                yield name, series.points[0].value.int64_value
