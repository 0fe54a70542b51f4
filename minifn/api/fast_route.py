"""Answers the operation called most without Starlette's router, which costs as much as it does."""

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send


class FastRoute:
    """Middleware that calls the endpoint of `route`, and passes everything else to the router.

    It must be the innermost middleware. The path of `route` has one parameter. Its endpoint answers
    its own errors, so the router's error handling is not needed.
    """

    def __init__(self, app: ASGIApp, route: Route) -> None:
        self._app = app
        self._endpoint = route.app
        self._methods: set[str] = route.methods or set()
        (self._param,) = route.param_convertors
        self._before, self._after = route.path.split(f"{{{self._param}}}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["method"] in self._methods
            and not scope.get("root_path")
        ):
            before, after, path = self._before, self._after, scope["path"]
            if path.endswith(after) and path.startswith(before):
                value = path[len(before) : -len(after)]
                if value and "/" not in value:
                    scope["path_params"] = {self._param: value}
                    return await self._endpoint(scope, receive, send)
        await self._app(scope, receive, send)
