"""minifn inside another program: the one class that an embedding app touches."""

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
        # Imported here: an embedder that wants no HTTP API does not pay for loading it.
        from minifn.api import create_app

        return create_app(self)

    def routes(self, prefix: str = "") -> "list[BaseRoute]":
        """Return the routes of an app that has this one below the path `prefix`: first those of functions' domains.

        Without a prefix they take `/v1` and the other folders of minifn, and leave all else to the app's own routes.
        They belong before those. Raises ValueError for a prefix that does not begin with a slash, or ends with one.
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
        """Run a function with every right and return its finished execution.

        Raises NotRunning, FunctionNotFound, DeploymentNotFound, BuildNotReady and FunctionSynchronousTimeout.
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
        """Queue an execution of every function that subscribes to `event`; return how many, once they are safe.

        `event` is a name such as `orders.42.create`; `payload` is the body of the executions, an object or JSON.
        Raises NotRunning, and ArgumentInvalid when the name is not one of an event.
        """
        self._check_running()
        return await self.events.emit(event, payload, user_id=user_id)

    def _check_running(self) -> None:
        """Raise NotRunning outside of the lifespan."""
        if not self.running:
            raise NotRunning
