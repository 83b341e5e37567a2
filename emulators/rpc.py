"""What every gRPC service of the stack shares: refusals with a status, handlers, a server."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

import grpc

from emulators.fault_server import FaultInterceptor
from emulators.faults import FaultInjector

Context: TypeAlias = Any  # grpc.aio.ServicerContext of whatever messages.
# Quoted: only the stubs know the type parameters.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Handlers: TypeAlias = Mapping[str, Handler]

# Larger than what any limit of Google's admits, so that the limit's own refusal is what answers.
MAX_REQUEST_BYTES: Final = 64 * 1024 * 1024
OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    # Two servers on one port would share its calls at random; a taken port has to be an error.
    ("grpc.so_reuseport", 0),
    # Clients that keep an idle stream alive may ping as often as Google's servers let them.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class StatusError(Exception):
    """Ends a call with a gRPC status; the message goes to the client."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> StatusError:
    """The request can never succeed as it stands."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> StatusError:
    """What the request names does not exist."""
    return StatusError(grpc.StatusCode.NOT_FOUND, message)


def already_exists(message: str) -> StatusError:
    """What the request would create is there."""
    return StatusError(grpc.StatusCode.ALREADY_EXISTS, message)


def failed_precondition(message: str) -> StatusError:
    """The state of what the request names forbids it."""
    return StatusError(grpc.StatusCode.FAILED_PRECONDITION, message)


def unimplemented(message: str) -> StatusError:
    """Google has this; the emulator does not."""
    return StatusError(grpc.StatusCode.UNIMPLEMENTED, message)


def unary(serve: Callable[..., Any], request_type: Any, *, with_context: bool = False) -> Handler:
    """Handler of a unary call from `serve(request[, context])`, a function or a coroutine one.

    `request_type` is the plain protobuf class: proto-plus would cost more than the work itself.
    """
    awaits = inspect.iscoroutinefunction(serve)

    async def answer(request: Any, context: Context) -> Any:
        try:
            response = serve(request, context) if with_context else serve(request)
            return await response if awaits else response
        except StatusError as error:
            await context.abort(error.code, error.message)

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=request_type.FromString, response_serializer=serialize
    )


def serialize(message: Any) -> bytes:
    """The wire form of a protobuf message."""
    data: bytes = message.SerializeToString()
    return data


def build_server(
    faults: FaultInjector, services: Mapping[str, tuple[str, Handlers]]
) -> "grpc.aio.Server":
    """An unstarted server; `services` maps gRPC's name to the fault injector's and the handlers."""
    names = {full_name: name for full_name, (name, _) in services.items()}
    server = grpc.aio.server(interceptors=[FaultInterceptor(faults, names)], options=OPTIONS)
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(full_name, dict(handlers))
            for full_name, (_, handlers) in services.items()
        ]
    )
    return server


def page(names: Collection[str], size: int, token: str, maximum: int) -> tuple[list[str], str]:
    """One page of `names`, which are in order, and the token of the next page or "".

    The token is the last name of the page before, so that what is created in between shifts
    nothing; once that very name is deleted, the list has to be begun again.
    """
    if size < 0:
        raise invalid("page_size must not be negative")
    ordered = list(names)
    if token:
        if token not in ordered:
            raise invalid("page_token does not come from this list")
        ordered = ordered[ordered.index(token) + 1 :]
    kept = ordered[: min(size or maximum, maximum)]
    return kept, kept[-1] if len(kept) < len(ordered) else ""
