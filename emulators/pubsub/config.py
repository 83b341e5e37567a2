"""Topics and subscriptions as clients configure them: defaults, bounds, and what may change."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final

import grpc
from google.pubsub_v1 import types

from emulators.pubsub.filters import parse_filter
from emulators.pubsub.names import check_name
from emulators.pubsub.policy import Policy
from emulators.rpc import StatusError, invalid, unimplemented

TopicConfig: Final[Any] = types.Topic.pb()
SubscriptionConfig: Final[Any] = types.Subscription.pb()

# https://cloud.google.com/pubsub/docs/subscription-properties
ACK_DEADLINE_DEFAULT: Final = 10
ACK_DEADLINE_MIN: Final = 10
ACK_DEADLINE_MAX: Final = 600
RETENTION_DEFAULT: Final = timedelta(days=7)
RETENTION_MIN: Final = timedelta(minutes=10)
RETENTION_MAX: Final = timedelta(days=31)
EXPIRATION_DEFAULT: Final = timedelta(days=31)
BACKOFF_MIN_DEFAULT: Final = timedelta(seconds=10)
BACKOFF_MAX: Final = timedelta(minutes=10)
ATTEMPTS_DEFAULT: Final = 5
ATTEMPTS_MIN: Final = 5
ATTEMPTS_MAX: Final = 100

TOPIC_UPDATABLE: Final = frozenset(
    {"labels", "message_retention_duration", "message_storage_policy", "kms_key_name"}
)
SUBSCRIPTION_UPDATABLE: Final = frozenset(
    {
        "ack_deadline_seconds",
        "dead_letter_policy",
        "expiration_policy",
        "labels",
        "message_retention_duration",
        "push_config",
        "retain_acked_messages",
        "retry_policy",
    }
)
_TOPIC_UNSUPPORTED: Final = (
    "schema_settings",
    "ingestion_data_source_settings",
    "message_transforms",
)
_SUBSCRIPTION_UNSUPPORTED: Final = (
    "bigquery_config",
    "bigtable_config",
    "cloud_storage_config",
    "enable_exactly_once_delivery",
    "message_transforms",
)


def complete_topic(config: Any) -> Any:
    """A copy of the topic as it is stored; raises StatusError for what cannot be."""
    _refuse_unsupported(config, _TOPIC_UNSUPPORTED)
    stored = TopicConfig()
    stored.CopyFrom(config)
    check_name("topics", stored.name)
    if stored.HasField("message_retention_duration"):
        _check_retention(stored.message_retention_duration.ToTimedelta())
    stored.state = types.Topic.State.ACTIVE
    return stored


def complete_subscription(config: Any) -> Any:
    """A copy of the subscription as it is stored, with its defaults; raises StatusError."""
    _refuse_unsupported(config, _SUBSCRIPTION_UNSUPPORTED)
    if config.push_config.push_endpoint:
        raise unimplemented("push subscriptions are not part of the emulator: use pull")
    stored = SubscriptionConfig()
    stored.CopyFrom(config)
    check_name("subscriptions", stored.name)
    parse_filter(stored.filter)
    stored.ack_deadline_seconds = stored.ack_deadline_seconds or ACK_DEADLINE_DEFAULT
    if not ACK_DEADLINE_MIN <= stored.ack_deadline_seconds <= ACK_DEADLINE_MAX:
        raise invalid(f"ack_deadline_seconds is from {ACK_DEADLINE_MIN} to {ACK_DEADLINE_MAX}")
    if not stored.HasField("message_retention_duration"):
        stored.message_retention_duration.FromTimedelta(RETENTION_DEFAULT)
    _check_retention(stored.message_retention_duration.ToTimedelta())
    if not stored.HasField("expiration_policy"):
        stored.expiration_policy.ttl.FromTimedelta(EXPIRATION_DEFAULT)
    _complete_retry(stored)
    _complete_dead_letters(stored)
    stored.state = types.Subscription.State.ACTIVE
    return stored


def policy_of(config: Any) -> Policy:
    """What of a complete subscription its backlog follows."""
    policy = Policy(ordered=config.enable_message_ordering)
    policy.retain_acked = config.retain_acked_messages
    if config.HasField("retry_policy"):
        policy.min_backoff = config.retry_policy.minimum_backoff.ToTimedelta().total_seconds()
        policy.max_backoff = config.retry_policy.maximum_backoff.ToTimedelta().total_seconds()
    if config.HasField("dead_letter_policy"):
        policy.max_attempts = config.dead_letter_policy.max_delivery_attempts
    return policy


def updated(stored: Any, update: Any, paths: Collection[str], updatable: Collection[str]) -> Any:
    """A copy of `stored` that has the fields `paths` of `update`, as the update_mask says."""
    if not paths:
        raise invalid("The update_mask must be set and name at least one field")
    fields = {path.partition(".")[0] for path in paths}
    if wrong := sorted(field for field in fields if field not in updatable):
        raise invalid(f"Invalid update_mask: {', '.join(wrong)} cannot be changed")
    change = type(stored)()
    change.CopyFrom(update)
    for field, _ in change.ListFields():
        if field.name not in fields:
            change.ClearField(field.name)
    result = type(stored)()
    result.CopyFrom(stored)
    for name in fields:
        result.ClearField(name)
    result.MergeFrom(change)
    return result


def _refuse_unsupported(config: Any, fields: Collection[str]) -> None:
    set_fields = {field.name for field, _ in config.ListFields()}
    if wrong := sorted(set_fields.intersection(fields)):
        raise unimplemented(f"{', '.join(wrong)} is not part of the emulator")


def _check_retention(retention: timedelta) -> None:
    if not RETENTION_MIN <= retention <= RETENTION_MAX:
        raise invalid("message_retention_duration is from 10 minutes to 31 days")


def _complete_retry(stored: Any) -> None:
    if not stored.HasField("retry_policy"):
        return
    retry = stored.retry_policy
    if not retry.HasField("minimum_backoff"):
        retry.minimum_backoff.FromTimedelta(BACKOFF_MIN_DEFAULT)
    if not retry.HasField("maximum_backoff"):
        retry.maximum_backoff.FromTimedelta(BACKOFF_MAX)
    low, high = retry.minimum_backoff.ToTimedelta(), retry.maximum_backoff.ToTimedelta()
    if not timedelta() <= low <= high <= BACKOFF_MAX:
        raise invalid("retry_policy: 0 s <= minimum_backoff <= maximum_backoff <= 600 s")


def _complete_dead_letters(stored: Any) -> None:
    if not stored.HasField("dead_letter_policy"):
        return
    policy = stored.dead_letter_policy
    if not policy.dead_letter_topic:
        stored.ClearField("dead_letter_policy")
        return
    policy.max_delivery_attempts = policy.max_delivery_attempts or ATTEMPTS_DEFAULT
    if not ATTEMPTS_MIN <= policy.max_delivery_attempts <= ATTEMPTS_MAX:
        raise StatusError(
            grpc.StatusCode.OUT_OF_RANGE,
            f"max_delivery_attempts is from {ATTEMPTS_MIN} to {ATTEMPTS_MAX}",
        )
