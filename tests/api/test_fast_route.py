"""Creating an execution skips the router; every other request goes through it."""

import asyncio
from typing import Any, cast

import pytest
from starlette.types import Receive, Scope, Send

from minifn.api import OPERATIONS
from minifn.api.fast_route import FastRoute, FastRoutes
from minifn.api.wire.operation import Endpoint


def receiver(scope: dict[str, Any]) -> tuple[str, Any]:
    """Return what receives the request, `endpoint` or `router`, and the path's parameters."""
    seen: list[tuple[str, Any]] = []

    class Noted:
        operation = next(operation for operation in OPERATIONS if operation.fast)

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(("endpoint", scope.get("path_params")))

    async def router(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(("router", scope.get("path_params")))

    async def unused(*_: Any) -> Any:
        raise AssertionError

    endpoint = Noted()
    route = FastRoute(cast("Endpoint", endpoint), f"/v1{endpoint.operation.path}")
    asyncio.run(FastRoutes(router, (route,))(scope, unused, unused))
    return seen[0]


def test_an_execution_skips_the_router() -> None:
    """With the function's id, as the router would have given it."""
    scope = {"type": "http", "method": "POST", "path": "/v1/functions/f1/executions"}
    assert receiver(scope) == ("endpoint", {"functionId": "f1"})


@pytest.mark.parametrize(
    "change",
    [
        {"method": "GET"},
        {"type": "websocket"},
        {"path": "/v1/functions/f1/executions/"},
        {"path": "/v1/functions//executions"},
        {"path": "/v1/functions/f1/deployments/executions"},
        {"path": "/v1/functions/executions"},
        {"path": "/v1/functions/f1/executions/e1"},
        {"root_path": "/mounted"},
    ],
)
def test_every_other_request_goes_to_the_router(change: dict[str, str]) -> None:
    """So does a request to an app that is mounted below a path, where paths begin elsewhere."""
    scope = {"type": "http", "method": "POST", "path": "/v1/functions/f1/executions", **change}
    assert receiver(scope) == ("router", None)
