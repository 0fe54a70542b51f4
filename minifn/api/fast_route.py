"""Answers the most frequent operation without Starlette's router, which costs as much."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from minifn.api.wire.operation import Endpoint


class FastRoute:
    """Tells the requests for `endpoint` by their path, which has one parameter.

    `path` is that of the route, with the parameter in braces.
    """

    def __init__(self, endpoint: Endpoint, path: str) -> None:
        self.endpoint = endpoint
        self._method = endpoint.operation.method
        before, self._param, after = re.split("[{}]", path)
        self._match = re.compile(f"{re.escape(before)}([^/]+){re.escape(after)}").fullmatch

    def takes(self, scope: Scope) -> bool:
        """Tell whether a request is for the endpoint, and note the path's parameter in `scope`."""
        if scope["method"] != self._method or scope.get("root_path"):
            return False
        found = self._match(scope["path"])
        if found is None:
            return False
        scope["path_params"] = {self._param: found[1]}
        return True


class FastRoutes:
    """Middleware that answers for fast routes, and passes everything else to the router.

    It must be the innermost middleware. The endpoints answer their own errors, so the router's
    error handling is not needed.
    """

    def __init__(self, app: ASGIApp, routes: tuple[FastRoute, ...]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for route in self._routes:
                if route.takes(scope):
                    return await route.endpoint(scope, receive, send)
        await self._app(scope, receive, send)
