"""minifn inside another program: the class that an embedding app uses."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from minifn.errors import NotRunning
from minifn.models import ExecutionRequest, ExecutionResult
from minifn.parts import Parts

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.routing import BaseRoute


class Minifn(Parts):
    """One functions runtime, with its HTTP API as an ASGI app, and calls and events from Python."""

    @cached_property
    def app(self) -> "Starlette":
        """The API as an ASGI application; its lifespan enters and leaves this object."""
        # Imported on first use: an embedder without the HTTP API does not load it.
        from minifn.api import create_app

        return create_app(self)

    def routes(self, prefix: str = "") -> "list[BaseRoute]":
        """Return the routes of an app with this one below `prefix`: first functions' domains.

        Without a prefix they take `/v1` and the other folders of minifn, and leave all else to the
        app's own routes. They belong before those. Raises ValueError for a prefix that does not
        begin with a slash, or ends with one.
        """
        from minifn.api.mounts import routes_to

        if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ValueError(f"the prefix must be like /fn, not {prefix!r}")
        self.endpoint.expect(prefix)
        return routes_to(self, self.app, prefix)

    async def execute(
        self,
        function_id: str,
        *,
        body: str | bytes = b"",
        path: str = "/",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> ExecutionResult:
        """Run a function, whatever its execute access, and return its finished execution.

        Raises NotRunning, FunctionNotFound, DeploymentNotFound, BuildNotReady and
        FunctionSynchronousTimeout.
        """
        self._check_running()
        target = await self.executions.ready(function_id)
        request = ExecutionRequest(
            method=method,
            path=path,
            headers=tuple((name.lower(), value) for name, value in (headers or {}).items()),
            body=body.encode() if isinstance(body, str) else body,
        )
        return await self.executions.execute(target, request)

    async def emit(
        self, event: str, payload: Mapping[str, Any] | bytes, *, user_id: str = ""
    ) -> int:
        """Queue an execution of every function that subscribes to `event`.

        Return how many were queued, once they are safe. `event` is a name such as
        `orders.42.create`; `payload` is the body of the executions, an object or JSON. Raises
        NotRunning, ArgumentInvalid for another name, and Overloaded.
        """
        self._check_running()
        return await self.events.emit(event, payload, user_id=user_id)

    def _check_running(self) -> None:
        """Raise NotRunning outside of the lifespan."""
        if not self.running:
            raise NotRunning
