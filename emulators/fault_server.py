"""Connects a FaultInjector to the servers that suffer its faults and to the HTTP that controls it.

POST   /faults        one rule as JSON -> 201 {"id": ...}; a bad rule -> 400 problem
GET    /faults        every rule, with how often it fired
DELETE /faults[/id]   one rule, or all of them -> 204
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulators.connections import break_connection, parse_grpc_peer
from emulators.faults import BadRuleError, Fault, FaultInjector

Handler = Any  # grpc.RpcMethodHandler, whose stubs know no aio behaviours.
Context = Any  # grpc.aio.ServicerContext of whatever messages.


async def before(fault: Fault, context: Context) -> None:
    """To be awaited before the work of a gRPC call: waits, and fails unless it is to fail later."""
    if fault.latency:
        await asyncio.sleep(fault.latency)
    if fault.fails and not fault.after_effect:
        await _fail(fault, context)


async def after(fault: Fault, context: Context) -> None:
    """To be awaited between the work and the answer: fails what is to fail then."""
    if fault.fails and fault.after_effect:
        await _fail(fault, context)


async def _fail(fault: Fault, context: Context) -> None:
    if fault.drop:
        break_connection(*parse_grpc_peer(context.peer()))
    # Of a dropped call, the client sees no status of ours: it can only find the connection gone.
    code = fault.status or grpc.StatusCode.UNAVAILABLE
    await context.abort(code, f"injected fault: {code.name}")


class FaultInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # Generic in stubs alone.
    """Applies the faults of the calls that have one request.

    Bidirectional streams pass: there a fault strikes a message, so their servicers ask the
    injector themselves, message by message. `names` maps gRPC's services to the injector's.
    """

    def __init__(self, faults: FaultInjector, names: dict[str, str]) -> None:
        self._faults = faults
        self._names = names

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wraps the handler of a call; gRPC calls this for each."""
        handler = await continuation(handler_call_details)
        path = handler_call_details.method
        service, _, method = path.removeprefix("/").partition("/")
        if handler is None or handler.unary_unary is None or service not in self._names:
            return handler
        fault = self._faults.take(self._names[service], method)
        return _faulty(handler, fault) if fault.latency or fault.fails else handler


def _faulty(handler: Handler, fault: Fault) -> Handler:
    async def serve(request: Any, context: Context) -> Any:
        await before(fault, context)
        response = await handler.unary_unary(request, context)
        await after(fault, context)
        return response

    return grpc.unary_unary_rpc_method_handler(
        serve,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def fault_routes(faults: FaultInjector) -> list[Route]:
    """The routes that control the injector, to be mounted in any ASGI app."""

    async def add(request: Request) -> Response:
        try:
            rule_id = faults.add(json.loads(await request.body()))
        except BadRuleError as error:
            return _problem(400, "bad_rule", error.problems)
        except ValueError:
            return _problem(400, "bad_json", ["the body is not JSON"])
        return JSONResponse({"id": rule_id}, 201, {"Location": f"/faults/{rule_id}"})

    async def show(_: Request) -> Response:
        return JSONResponse({"faults": faults.rules()})

    async def remove(request: Request) -> Response:
        if not faults.remove(request.path_params["rule_id"]):
            return _problem(404, "no_such_rule", ["no rule has this id"])
        return Response(status_code=204)

    async def clear(_: Request) -> Response:
        faults.clear()
        return Response(status_code=204)

    return [
        Route("/faults", add, methods=["POST"]),
        Route("/faults", show, methods=["GET"]),
        Route("/faults", clear, methods=["DELETE"]),
        Route("/faults/{rule_id}", remove, methods=["DELETE"]),
    ]


def build_admin_app(faults: FaultInjector) -> Starlette:
    """The whole admin app of an emulator process."""

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(routes=[Route("/livez", livez), *fault_routes(faults)])


def _problem(status: int, code: str, errors: list[str]) -> Response:
    return JSONResponse(
        {"type": "about:blank", "status": status, "code": code, "title": code, "errors": errors},
        status,
        media_type="application/problem+json",
    )
