"""The execution of a function skips the router: which paths do, and that nothing else changes."""

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from minifn.api.fast_route import FastRoute


def route(scope: dict[str, Any]) -> tuple[str, Any]:
    """Return who is given the request, `endpoint` or `router`, and the path's parameters."""
    seen: list[tuple[str, Any]] = []

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(("endpoint", scope.get("path_params")))

    async def router(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(("router", scope.get("path_params")))

    async def unused(*_: Any) -> Any:
        raise AssertionError

    asyncio.run(FastRoute(router, endpoint)(scope, unused, unused))
    return seen[0]


def test_an_execution_goes_straight_to_its_endpoint() -> None:
    """With the function's id, as the router would have given it."""
    scope = {"type": "http", "method": "POST", "path": "/v1/functions/f1/executions"}
    assert route(scope) == ("endpoint", {"functionId": "f1"})


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
def test_everything_else_is_for_the_router(change: dict[str, str]) -> None:
    """Also what is mounted below a path of an embedding app, where paths begin elsewhere."""
    scope = {"type": "http", "method": "POST", "path": "/v1/functions/f1/executions", **change}
    assert route(scope) == ("router", None)
