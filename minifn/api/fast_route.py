"""Answers the most frequent operation without Starlette's router, which costs as much."""

from starlette.types import ASGIApp, Receive, Scope, Send

from minifn.api.wire.operation import Endpoint


class FastRoute:
    """Tells the requests for `endpoint` by their path, which has one parameter.

    `path` is that of the route, with the parameter in braces.
    """

    def __init__(self, endpoint: Endpoint, path: str) -> None:
        self.endpoint = endpoint
        self._method = endpoint.operation.method
        self._before, _, rest = path.partition("{")
        self._param, _, self._after = rest.partition("}")

    def takes(self, scope: Scope) -> bool:
        """Tell whether a request is for the endpoint, and note the path's parameter in `scope`."""
        path: str = scope["path"]
        if scope["method"] != self._method or scope.get("root_path"):
            return False
        if not path.endswith(self._after) or not path.startswith(self._before):
            return False
        value = path[len(self._before) : -len(self._after)]
        if not value or "/" in value:
            return False
        scope["path_params"] = {self._param: value}
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
