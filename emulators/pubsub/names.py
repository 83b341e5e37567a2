"""Which names Pub/Sub takes: https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names."""

import re
from typing import Final

from emulators.rpc import invalid

DELETED_TOPIC: Final = "_deleted-topic_"

_PROJECT: Final = r"projects/[a-z](?:[a-z0-9.:-]*[a-z0-9])?"
_ID: Final = r"(?!goog)[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}"
_VALID: Final = {
    collection: re.compile(rf"{_PROJECT}/{collection}/{_ID}")
    for collection in ("topics", "subscriptions")
}
_VALID_PROJECT: Final = re.compile(_PROJECT)


def check_name(collection: str, name: str) -> str:
    """The name itself, if it can be one of `collection` ("topics", "subscriptions")."""
    if not _VALID[collection].fullmatch(name):
        raise invalid(
            f"Invalid [{collection}] name: it has the form projects/PROJECT/{collection}/ID, where "
            "ID starts with a letter, not with goog, and has 3 to 255 of A-Z a-z 0-9 - _ . ~ + %"
        )
    return name


def check_project(name: str) -> str:
    """The name itself, if it can be `projects/PROJECT`."""
    if not _VALID_PROJECT.fullmatch(name):
        raise invalid("Invalid [projects] name: it has the form projects/PROJECT")
    return name


def short_id(name: str) -> str:
    """The last part of a full name."""
    return name.rpartition("/")[2]


def project_id(name: str) -> str:
    """The project of a full name."""
    return name.split("/")[1]
