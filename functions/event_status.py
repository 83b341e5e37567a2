"""Looks up in BigQuery what became of one event of one producer."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import google.auth.exceptions
import requests.exceptions
from google.api_core.exceptions import GoogleAPIError
from google.cloud import bigquery

from schemas.registry import AUDIT_LOG

LOADED: Final = "loaded"
DEAD_LETTERED: Final = "dead_lettered"
ACCEPTED: Final = "accepted"
UNKNOWN: Final = "unknown"

# What is accepted arrives within so long, if all is well; as in the view `reconciliation`.
IN_FLIGHT: Final = timedelta(minutes=15)
# Clocks of endpoints may differ from the ids that they make by so much.
_CLOCK_SLACK: Final = timedelta(hours=1)
# An id's time and random part; what follows counts up within a request.
_PREFIX_CHARS: Final = 24
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[57][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

# BigQuery could not be asked, or not in time. Any may pass by itself.
UNAVAILABLE: Final = (
    GoogleAPIError,  # it answered with an error, or the client gave up
    google.auth.exceptions.GoogleAuthError,  # no token
    requests.exceptions.RequestException,  # no connection
    TimeoutError,  # the query takes longer than the request may
)

Found = dict[str, Any]


def is_event_id(text: str) -> bool:
    """Tell whether an endpoint could have made this id."""
    return _UUID.fullmatch(text) is not None


def time_of(event_id: str) -> datetime | None:
    """Return when an id was made, if it says so: UUIDv7 does, that of an Idempotency-Key not."""
    if event_id[14] != "7":
        return None
    milliseconds = int(event_id[:8] + event_id[9:13], 16)
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:  # beyond the year 9999
        return datetime.max.replace(tzinfo=UTC)


class EventStatus:
    """The tables in which an event can be found.

    Args:
        client: Of BigQuery.
        dataset: Where records are, as `project.dataset`.
        ops_dataset: Where dead letters and audit events are, as `project.dataset`.
        timeout: Seconds for all queries about one event.
        lookback: How old an event may be whose id does not tell its time.
    """

    def __init__(
        self,
        client: bigquery.Client,
        dataset: str,
        ops_dataset: str,
        timeout: float,
        lookback: timedelta,
    ) -> None:
        self._client = client
        self._dataset, self._ops = dataset, ops_dataset
        self._timeout = timeout
        self._lookback = lookback

    def check(self) -> None:
        """Ask for nothing; raises one of UNAVAILABLE."""
        self._query("SELECT 1", {}, time.monotonic() + self._timeout)

    def find(self, resource: str, key_id: str, event_id: str) -> Found:
        """Return the event's state and what there is to tell of it.

        One that another key sent is unknown: its existence is not this producer's business. The
        tables are asked one after the other, as most events are found in the first.

        Raises:
            One of UNAVAILABLE.
        """
        now = datetime.now(UTC)
        made = time_of(event_id)
        if made is not None and made > now + _CLOCK_SLACK:
            return {"state": UNKNOWN, "may_be_in_flight": False}
        start = made - _CLOCK_SLACK if made else now - self._lookback
        parameters: dict[str, Any] = {
            "resource": resource,
            "key_id": key_id,
            "event_id": event_id,
            "start": start,
            "end": made + _CLOCK_SLACK if made else now + _CLOCK_SLACK,
        }
        deadline = time.monotonic() + self._timeout
        return (
            self._loaded(resource, parameters, deadline)
            or self._dead_lettered(parameters, deadline)
            or self._accepted(event_id, parameters, deadline)
            or {
                "state": UNKNOWN,
                "may_be_in_flight": made is None or now - made < IN_FLIGHT,
            }
        )

    def _loaded(self, resource: str, parameters: Found, deadline: float) -> Found | None:
        sql = (
            f"SELECT created_ts, publish_ts FROM `{self._dataset}.{resource}`"  # noqa: S608  (of the registry)
            " WHERE event_id = @event_id AND created_by = @key_id"
            " AND created_ts BETWEEN @start AND @end ORDER BY publish_ts LIMIT 1"
        )
        for row in self._query(sql, parameters, deadline):
            times = {"accepted_ts": row["created_ts"], "published_ts": row["publish_ts"]}
            return {"state": LOADED} | {name: _text(moment) for name, moment in times.items()}
        return None

    def _dead_lettered(self, parameters: Found, deadline: float) -> Found | None:
        sql = (
            f"SELECT failed_ts, stage, error_code, errors FROM `{self._ops}.dead_letters`"  # noqa: S608  (our own)
            " WHERE resource = @resource AND event_id = @event_id AND key_id = @key_id"
            " AND failed_ts >= @start ORDER BY failed_ts DESC LIMIT 1"
        )
        for row in self._query(sql, parameters, deadline):
            errors = [
                {name: error[name] for name in ("path", "rule", "message")}
                for error in row["errors"]
            ]
            return {
                "state": DEAD_LETTERED,
                "failed_ts": _text(row["failed_ts"]),
                "stage": row["stage"],
                "code": row["error_code"],
                "errors": errors,
            }
        return None

    def _accepted(self, event_id: str, parameters: Found, deadline: float) -> Found | None:
        """Find the audit event that proves acceptance, which lists the first of many ids alone.

        The ids of a request without an Idempotency-Key count up from its first. Those of one with
        are no row: of them, only the ones that begin a message can be found.
        """
        first = "first_event_ids[SAFE_OFFSET(0)]"
        is_counted = time_of(event_id) is not None
        match = (
            f"STARTS_WITH({first}, @prefix) AND {first} <= @event_id"
            if is_counted
            else "@event_id IN UNNEST(first_event_ids)"
        )
        sql = (
            f"SELECT created_ts, accepted, {first} AS first_id FROM `{self._ops}.{AUDIT_LOG}`"  # noqa: S608  (our own)
            " WHERE resource = @resource AND created_by = @key_id AND accepted > 0"
            f" AND created_ts BETWEEN @start AND @end AND {match} ORDER BY first_id DESC LIMIT 1"
        )
        prefix = event_id[:_PREFIX_CHARS]
        for row in self._query(sql, parameters | {"prefix": prefix}, deadline):
            place = int(event_id[_PREFIX_CHARS:], 16) - int(row["first_id"][_PREFIX_CHARS:], 16)
            if not is_counted or place < row["accepted"]:
                return {"state": ACCEPTED, "accepted_ts": _text(row["created_ts"])}
        return None

    def _query(self, sql: str, parameters: Mapping[str, Any], deadline: float) -> Any:
        left = max(deadline - time.monotonic(), 0.1)
        config = bigquery.QueryJobConfig(
            query_parameters=[
                bigquery.ScalarQueryParameter(
                    name, "TIMESTAMP" if isinstance(value, datetime) else "STRING", value
                )
                for name, value in parameters.items()
                if f"@{name}" in sql
            ]
        )
        # Tried once: the producer may ask again, and is told when.
        once: dict[str, Any] = {"retry": None, "job_retry": None}
        return self._client.query_and_wait(
            sql, job_config=config, api_timeout=left, wait_timeout=left, **once
        )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
