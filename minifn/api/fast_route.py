"""Takes the operation that is called most past Starlette's router, which costs as much as the operation itself."""

from starlette.types import ASGIApp, Receive, Scope, Send

#: `POST /v1/functions/{functionId}/executions`: what lies around the id.
BEFORE = "/v1/functions/"
AFTER = "/executions"


class FastRoute:
    """Middleware, the innermost: calls `endpoint` for an execution, everything else goes on to the router.

    `endpoint` answers its own errors, so that nothing of what it skips is missed.
    """

    def __init__(self, app: ASGIApp, endpoint: ASGIApp) -> None:
        self._app = app
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and not scope.get("root_path"):
            path = scope["path"]
            if path.endswith(AFTER) and path.startswith(BEFORE):
                function_id = path[len(BEFORE) : -len(AFTER)]
                if function_id and "/" not in function_id:
                    scope["path_params"] = {"functionId": function_id}
                    return await self._endpoint(scope, receive, send)
        await self._app(scope, receive, send)
