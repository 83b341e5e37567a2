"""The few messages and calls of Pub/Sub and Secret Manager that an endpoint needs, over grpc.aio.

Google's client libraries cost about a second each to import, which a cold start cannot afford. The
messages are declared here by their public contracts (googleapis: google/pubsub/v1/pubsub.proto,
google/cloud/secretmanager/v1/{service,resources}.proto); fields that are not named are kept out.
`tests/contract/test_google_rpc.py` proves them equal, byte by byte, to those of the libraries.
"""

from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

_Field = descriptor_pb2.FieldDescriptorProto
_OPTIONAL, _REPEATED = _Field.LABEL_OPTIONAL, _Field.LABEL_REPEATED
_BYTES, _STRING = _Field.TYPE_BYTES, _Field.TYPE_STRING
_INT32, _INT64 = _Field.TYPE_INT32, _Field.TYPE_INT64
_ENUM, _MESSAGE = _Field.TYPE_ENUM, _Field.TYPE_MESSAGE

# (package, message): [(number, name, type, label, type name)]
_MESSAGES: Final[dict[tuple[str, str], list[tuple[int, str, Any, Any, str]]]] = {
    ("google.pubsub.v1", "PubsubMessage"): [
        (1, "data", _BYTES, _OPTIONAL, ""),
        (2, "attributes", _MESSAGE, _REPEATED, "PubsubMessage.AttributesEntry"),
    ],
    ("google.pubsub.v1", "PublishRequest"): [
        (1, "topic", _STRING, _OPTIONAL, ""),
        (2, "messages", _MESSAGE, _REPEATED, "PubsubMessage"),
    ],
    ("google.pubsub.v1", "PublishResponse"): [(1, "message_ids", _STRING, _REPEATED, "")],
    ("google.pubsub.v1", "GetTopicRequest"): [(1, "topic", _STRING, _OPTIONAL, "")],
    ("google.pubsub.v1", "Topic"): [(1, "name", _STRING, _OPTIONAL, "")],
    ("google.cloud.secretmanager.v1", "ListSecretVersionsRequest"): [
        (1, "parent", _STRING, _OPTIONAL, ""),
        (2, "page_size", _INT32, _OPTIONAL, ""),
        (3, "page_token", _STRING, _OPTIONAL, ""),
        (4, "filter", _STRING, _OPTIONAL, ""),
    ],
    ("google.cloud.secretmanager.v1", "SecretVersion"): [
        (1, "name", _STRING, _OPTIONAL, ""),
        (4, "state", _ENUM, _OPTIONAL, "SecretVersion.State"),
    ],
    ("google.cloud.secretmanager.v1", "ListSecretVersionsResponse"): [
        (1, "versions", _MESSAGE, _REPEATED, "SecretVersion"),
        (2, "next_page_token", _STRING, _OPTIONAL, ""),
    ],
    ("google.cloud.secretmanager.v1", "AccessSecretVersionRequest"): [
        (1, "name", _STRING, _OPTIONAL, ""),
    ],
    ("google.cloud.secretmanager.v1", "SecretPayload"): [(1, "data", _BYTES, _OPTIONAL, "")],
    ("google.cloud.secretmanager.v1", "AccessSecretVersionResponse"): [
        (1, "name", _STRING, _OPTIONAL, ""),
        (2, "payload", _MESSAGE, _OPTIONAL, "SecretPayload"),
    ],
}
_STATES: Final = ("STATE_UNSPECIFIED", "ENABLED", "DISABLED", "DESTROYED")
ENABLED: Final = _STATES.index("ENABLED")


def _build_pool() -> descriptor_pool.DescriptorPool:
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for (package, name), fields in _MESSAGES.items():
        file = files.setdefault(
            package,
            descriptor_pb2.FileDescriptorProto(
                name=f"vitalflow/{package}.proto", package=package, syntax="proto3"
            ),
        )
        message = file.message_type.add(name=name)
        for number, field, type_, label, type_name in fields:
            full_name = f".{package}.{type_name}" if type_name else None
            message.field.add(
                name=field, number=number, type=type_, label=label, type_name=full_name
            )
        if name == "PubsubMessage":
            entry = message.nested_type.add(name="AttributesEntry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type=_STRING, label=_OPTIONAL)
            entry.field.add(name="value", number=2, type=_STRING, label=_OPTIONAL)
        if name == "SecretVersion":
            states = message.enum_type.add(name="State")
            for number, state in enumerate(_STATES):
                states.value.add(name=state, number=number)
    # Private: the libraries register the same names in the default pool, in tests and tools.
    pool = descriptor_pool.DescriptorPool()
    for file in files.values():
        pool.Add(file)
    return pool


_POOL: Final = _build_pool()


def _message(package: str, name: str) -> Any:
    # Any: these classes exist only at run time.
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{package}.{name}"))


PubsubMessage: Final = _message("google.pubsub.v1", "PubsubMessage")
PublishRequest: Final = _message("google.pubsub.v1", "PublishRequest")
PublishResponse: Final = _message("google.pubsub.v1", "PublishResponse")
GetTopicRequest: Final = _message("google.pubsub.v1", "GetTopicRequest")
TopicResponse: Final = _message("google.pubsub.v1", "Topic")
_SECRETS_PACKAGE: Final = "google.cloud.secretmanager.v1"
ListSecretVersionsRequest: Final = _message(_SECRETS_PACKAGE, "ListSecretVersionsRequest")
ListSecretVersionsResponse: Final = _message(_SECRETS_PACKAGE, "ListSecretVersionsResponse")
AccessSecretVersionRequest: Final = _message(_SECRETS_PACKAGE, "AccessSecretVersionRequest")
AccessSecretVersionResponse: Final = _message(_SECRETS_PACKAGE, "AccessSecretVersionResponse")


class RpcError(Exception):
    """A call failed; only its status is kept, as the server's text may repeat what was sent."""

    def __init__(self, status: grpc.StatusCode) -> None:
        super().__init__(status.name)
        self.status = status


class Rpc:
    """One method of a Google API, called with the routing header that Google's clients send."""

    def __init__(
        self, channel: grpc.aio.Channel, method: str, response: Any, routing_field: str
    ) -> None:
        self._call = channel.unary_unary(method, None, response.FromString)
        self._routing_field = routing_field

    async def __call__(self, request: bytes | Message, routing: str, timeout: float) -> Any:  # noqa: ASYNC109 (gRPC enforces it)
        """Call the method.

        Args:
            request: The request, or its encoded form.
            routing: The resource name that the request is about.
            timeout: Seconds until the call fails with DEADLINE_EXCEEDED.

        Raises:
            RpcError: Any status but OK.
        """
        body = request if isinstance(request, bytes) else request.SerializeToString()
        metadata = _routing_metadata(self._routing_field, routing)
        try:
            return await self._call(body, timeout=timeout, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise RpcError(error.code()) from None


@lru_cache(maxsize=1_024)
def _routing_metadata(field: str, value: str) -> grpc.aio.Metadata:
    # https://google.aip.dev/client-libraries/4222: a slash is not encoded.
    return grpc.aio.Metadata(("x-goog-request-params", f"{field}={quote(value)}"))


_CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A lost connection is tried again within a request's deadline (gRPC's own pace: 1 to 120 s).
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A peer that is gone without a word is noticed; not pinged oftener than Google's servers allow.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # The publisher and the key ring decide what is tried again.
    ("grpc.enable_retries", 0),
    # Processes and services do not share connections: one that hangs stops one.
    ("grpc.use_local_subchannel_pool", 1),
)
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


def google_credentials() -> Any:
    """Return the application default credentials; blocks, so call it at start.

    Raises:
        google.auth.exceptions.DefaultCredentialsError: There are none.
    """
    import google.auth  # noqa: PLC0415 (not needed with emulators, and slow to import)

    credentials, _ = google.auth.default(scopes=_SCOPES)
    return credentials


def open_channel(endpoint: str, credentials: Any | None) -> grpc.aio.Channel:
    """Open a channel to Google, or without credentials one in plain text to an emulator.

    Call it within the running loop of the process that uses it: gRPC does not survive a fork.
    """
    if credentials is None:
        return grpc.aio.insecure_channel(endpoint, _CHANNEL_OPTIONS)
    import google.auth.transport.grpc  # noqa: PLC0415 (as above)
    import google.auth.transport.requests  # noqa: PLC0415 (as above)

    plugin = google.auth.transport.grpc.AuthMetadataPlugin(  # type: ignore[no-untyped-call] # untyped
        credentials,
        google.auth.transport.requests.Request(),
        default_host=endpoint.rpartition(":")[0],
    )
    composite = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(), grpc.metadata_call_credentials(plugin)
    )
    return grpc.aio.secure_channel(endpoint, composite, _CHANNEL_OPTIONS)
