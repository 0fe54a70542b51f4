"""The HTTP API: Appwrite's wire contract, translated to services and back."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute

from minifn.api import docs
from minifn.api.cors import Cors
from minifn.api.domains import Domains
from minifn.api.fast_route import FastRoute
from minifn.api.git_http import GitHttp
from minifn.api.mounts import refusal
from minifn.api.operations import (
    account,
    catalog,
    console,
    deployments,
    events,
    executions,
    executions_v0,
    functions,
    health,
    openapi,
    project,
    rules,
    templates,
    usage,
    usage_metrics,
    variables,
    vcs,
)
from minifn.api.realtime import Realtime
from minifn.api.wire.operation import Context, Endpoint, Operation
from minifn.errors import RouteNotFound
from minifn.parts import Parts

#: Every operation; the ones called most come first, because routes are tried in order, and fixed paths come before
#: paths with a parameter in the same place.
OPERATIONS: tuple[Operation, ...] = (
    *executions.OPERATIONS,
    *catalog.OPERATIONS,
    *templates.OPERATIONS,
    *usage.OPERATIONS,
    *usage_metrics.OPERATIONS,
    *functions.OPERATIONS,
    *vcs.OPERATIONS,
    *deployments.OPERATIONS,
    *variables.OPERATIONS,
    *project.OPERATIONS,
    *rules.OPERATIONS,
    *events.OPERATIONS,
    *account.OPERATIONS,
    *console.OPERATIONS,
    *health.OPERATIONS,
    *openapi.OPERATIONS,
)
#: What clients of 0.x get in place of an operation, by its method and path.
LEGACY = {(operation.method, operation.path): operation for operation in executions_v0.OPERATIONS}


def create_app(parts: Parts) -> Starlette:
    """Return the API below /v1, git below /git and the documentation below /docs as an ASGI application.

    Its lifespan starts and stops `parts`, of which nothing is used before the first request.
    """

    context = Context(parts, OPERATIONS)

    def endpoint(operation: Operation) -> Endpoint:
        old = LEGACY.get((operation.method, operation.path))
        return Endpoint(operation, context, Endpoint(old, context) if old else None)

    create_execution = endpoint(executions.CREATE)
    app = Starlette(
        routes=[
            Route(
                f"/v1{operation.path}",
                create_execution if operation is executions.CREATE else endpoint(operation),
                methods=[operation.method],
                name=operation.name,
            )
            for operation in OPERATIONS
        ]
        + [
            WebSocketRoute("/v1/realtime", Realtime(context)),
            Mount("/git", GitHttp(context)),
            *docs.ROUTES,
        ],
        middleware=[
            Middleware(Domains, parts),
            Middleware(Cors),
            Middleware(FastRoute, create_execution),
        ],
        exception_handlers={405: _no_route, 404: _no_route},
        lifespan=parts.lifespan,
    )
    app.router.redirect_slashes = False
    return app


async def _no_route(request: Request, exc: Exception) -> Response:
    """Answer unknown paths, and known ones with another method, as Appwrite does: 404, outside the API as a page."""
    answer = refusal(RouteNotFound(), request.scope)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers)
