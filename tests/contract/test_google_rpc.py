"""The endpoint's own message classes are, byte for byte, those of Google's libraries."""

import importlib
import inspect
from pathlib import Path

import pytest
from google.cloud import secretmanager_v1
from google.pubsub_v1 import types as pubsub_types

from functions import google_rpc

TOPIC = "projects/demo-project/topics/patients"
SECRET = "projects/demo-project/secrets/patients-api-key"
CASES = {
    "PublishRequest": (
        pubsub_types.PublishRequest,
        {
            "topic": TOPIC,
            "messages": [
                {"data": b"\x00\xff{}", "attributes": {"op": "upsert"}},
                {"data": b"", "attributes": {}},
                {"attributes": {"key_id": "µ"}},
            ],
        },
    ),
    "PublishResponse": (pubsub_types.PublishResponse, {"message_ids": ["1", "22"]}),
    "GetTopicRequest": (pubsub_types.GetTopicRequest, {"topic": TOPIC}),
    "TopicResponse": (pubsub_types.Topic, {"name": TOPIC}),
    "ListSecretVersionsRequest": (
        secretmanager_v1.ListSecretVersionsRequest,
        {"parent": SECRET, "page_size": 25, "page_token": "t", "filter": "state:ENABLED"},
    ),
    "ListSecretVersionsResponse": (
        secretmanager_v1.ListSecretVersionsResponse,
        {
            "versions": [{"name": f"{SECRET}/versions/{n}", "state": n} for n in range(4)],
            "next_page_token": "t",
        },
    ),
    "AccessSecretVersionRequest": (
        secretmanager_v1.AccessSecretVersionRequest,
        {"name": f"{SECRET}/versions/1"},
    ),
    "AccessSecretVersionResponse": (
        secretmanager_v1.AccessSecretVersionResponse,
        {"name": f"{SECRET}/versions/1", "payload": {"data": b"\x00\xffkey"}},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_messages_are_encoded_alike(name):
    official, values = CASES[name]
    ours = getattr(google_rpc, name)
    encoded = official.serialize(official(values))
    assert ours(**values).SerializeToString(deterministic=True) == encoded
    assert official.deserialize(ours.FromString(encoded).SerializeToString()) == official(values)


@pytest.mark.parametrize("name", CASES)
def test_every_field_has_the_number_and_the_type_of_the_official_one(name):
    official, _ = CASES[name]
    ours = getattr(google_rpc, name).DESCRIPTOR
    assert ours.full_name == official.pb().DESCRIPTOR.full_name
    _compare(ours, official.pb().DESCRIPTOR)


def _compare(ours, official) -> None:
    for field in ours.fields:
        theirs = official.fields_by_name[field.name]
        assert (field.number, field.type, field.is_repeated) == (
            theirs.number,
            theirs.type,
            theirs.is_repeated,
        )
        if field.message_type:
            _compare(field.message_type, theirs.message_type)


def test_fields_that_are_not_named_here_do_no_harm():
    full = pubsub_types.Topic(name=TOPIC, labels={"a": "b"}, kms_key_name="k")
    assert google_rpc.TopicResponse.FromString(pubsub_types.Topic.serialize(full)).name == TOPIC


def test_the_state_of_a_version_has_the_official_number():
    assert secretmanager_v1.SecretVersion.State.ENABLED == google_rpc.ENABLED


@pytest.mark.parametrize(
    ("module", "methods"),
    [
        ("google.pubsub_v1.services.publisher.transports.grpc_asyncio", ["Publish", "GetTopic"]),
        (
            "google.cloud.secretmanager_v1.services.secret_manager_service.transports.grpc_asyncio",
            ["ListSecretVersions", "AccessSecretVersion"],
        ),
    ],
)
def test_methods_are_called_by_their_official_names(module, methods):
    source = inspect.getsource(importlib.import_module(module))
    ours = "".join(path.read_text() for path in Path(google_rpc.__file__).parent.glob("*.py"))
    for method in methods:
        (path,) = [line.strip() for line in source.splitlines() if f'/{method}"' in line]
        service = path.strip('",').rpartition("/")[0]
        assert f'"{service}"' in ours
        assert f'f"{{service}}/{method}"' in ours
