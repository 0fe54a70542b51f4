"""The HTTP API: Appwrite's wire contract, translated to services and back."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute

from minifn.api import console_pages, docs
from minifn.api.cors import Cors
from minifn.api.direct import Direct
from minifn.api.domains import Domains, FunctionDomains
from minifn.api.fast_route import FastRoute, FastRoutes
from minifn.api.git_http import GitHttp
from minifn.api.hosts import path_below
from minifn.api.mounts import refusal
from minifn.api.operations import (
    account,
    all_executions,
    build_logs,
    catalog,
    console,
    console_session,
    deployment_executions,
    deployment_files,
    deployments,
    events,
    executions,
    function_overview,
    functions,
    health,
    live_logs,
    nodes,
    openapi,
    operator_keys,
    planned_runs,
    project,
    project_keys,
    rules,
    server_health,
    templates,
    usage,
    usage_metrics,
    variables,
    vcs,
)
from minifn.api.other_services import route_not_found
from minifn.api.realtime import Realtime
from minifn.api.wire.operation import Context, Endpoint, Operation
from minifn.parts import Parts

#: Where the API's paths begin.
ROOT = "/v1"
#: Every operation. Routes are tried in order, so those called most come first, and fixed paths come
#: before paths with a parameter in the same place.
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
    *project_keys.OPERATIONS,
    *rules.OPERATIONS,
    *events.OPERATIONS,
    *account.OPERATIONS,
    *console.OPERATIONS,
    *health.OPERATIONS,
    *all_executions.OPERATIONS,
    *live_logs.OPERATIONS,
    *function_overview.OPERATIONS,
    *deployment_files.OPERATIONS,
    *deployment_executions.OPERATIONS,
    *server_health.OPERATIONS,
    *planned_runs.OPERATIONS,
    *operator_keys.OPERATIONS,
    *build_logs.OPERATIONS,
    *nodes.OPERATIONS,
    *console_session.OPERATIONS,
    *openapi.OPERATIONS,
)


def create_app(parts: Parts) -> Starlette:
    """Return the API, git, the console and the documentation as one ASGI application.

    They are below /v1, /git, /console and /docs. The lifespan of the application starts and stops
    `parts`, of which nothing is used before the first request. A server that can use `state.direct`
    has it answer the most frequent requests without ASGI.
    """

    context = Context(parts, OPERATIONS)
    endpoints = [Endpoint(operation, context) for operation in OPERATIONS]
    fast = tuple(
        FastRoute(endpoint, f"{ROOT}{endpoint.operation.path}")
        for endpoint in endpoints
        if endpoint.operation.fast
    )
    functions = FunctionDomains(context)
    app = Starlette(
        routes=[
            *map(_route, endpoints),
            WebSocketRoute(f"{ROOT}/realtime", Realtime(context)),
            Mount("/git", GitHttp(context)),
            *console_pages.ROUTES,
            *docs.ROUTES,
        ],
        middleware=[
            Middleware(Domains, functions),
            Middleware(Cors),
            Middleware(FastRoutes, fast),
        ],
        exception_handlers={405: _no_route, 404: _no_route},
        lifespan=parts.lifespan,
    )
    app.router.redirect_slashes = False
    app.state.direct = Direct(parts, functions, fast)
    return app


def _route(endpoint: Endpoint) -> Route:
    operation = endpoint.operation
    return Route(
        f"{ROOT}{operation.path}",
        endpoint,
        methods=[operation.method],
        name=operation.name,
    )


async def _no_route(request: Request, exc: Exception) -> Response:
    """Answer unknown paths and methods with 404, as Appwrite does; outside the API with a page."""
    answer = refusal(route_not_found(path_below(request.scope)), request.scope)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers)
