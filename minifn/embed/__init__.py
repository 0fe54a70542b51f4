"""minifn inside another program: the class that an embedding app uses."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import msgspec

from minifn.errors import NotRunning
from minifn.models import Execution, ExecutionRequest, ExecutionResult, Function
from minifn.parts import Parts

if TYPE_CHECKING:
    from typing import Unpack

    from starlette.applications import Starlette
    from starlette.routing import BaseRoute

    from minifn.embed.news import LogLine
    from minifn.embed.options import FunctionOptions, RequestOptions
    from minifn.embed.records import DeployedFunction


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

    async def deploy(
        self,
        function_id: str,
        folder: str | Path,
        *,
        variables: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        ignore: Iterable[str] = (),
        activate: bool = True,
        rebuild: bool = False,
        on_log: Callable[[str], None] | None = None,
        **options: "Unpack[FunctionOptions]",
    ) -> "DeployedFunction":
        """Create or change a function, upload the code in `folder`, and wait for its build.

        Settings that are not named keep their value. A new function gets a runtime and an
        entrypoint that fit the folder. `variables` and `secrets` are set, others stay; secrets are
        never shown by the API. The folder is packed as git would take it, without what `ignore`
        names. Code that runs already with the same settings is not built again, unless `rebuild`
        asks for it. `on_log` gets the build log as it grows, on this event loop. Raises NotRunning,
        BuildFailed, TypeError for a setting that there is not, and the errors of the API.
        """
        # Imported on first use, with the rules of the API.
        from minifn.embed.deploying import Order, deploy

        self._check_running()
        order = Order(
            function_id=function_id,
            folder=Path(folder),
            options={**options},
            variables=variables or {},
            secrets=secrets or {},
            ignore=tuple(ignore),
            activate=activate,
            rebuild=rebuild,
        )
        return await deploy(self, order, on_log)

    async def delete(self, function_id: str) -> Function:
        """Delete a function with all that belongs to it. Raises NotRunning and FunctionNotFound."""
        self._check_running()
        function, deployment_ids = await self.functions.delete(function_id)
        await self.deployments.forget(function_id, deployment_ids)
        return function

    @overload
    async def execute(
        self,
        function_id: str,
        *,
        background: Literal[False] = False,
        at: None = None,
        **request: "Unpack[RequestOptions]",
    ) -> ExecutionResult: ...

    @overload
    async def execute(
        self,
        function_id: str,
        *,
        background: Literal[True],
        at: datetime | None = None,
        **request: "Unpack[RequestOptions]",
    ) -> Execution: ...

    @overload
    async def execute(
        self,
        function_id: str,
        *,
        background: bool = True,
        at: datetime,
        **request: "Unpack[RequestOptions]",
    ) -> Execution: ...

    async def execute(
        self,
        function_id: str,
        *,
        background: bool = False,
        at: datetime | None = None,
        **request: "Unpack[RequestOptions]",
    ) -> ExecutionResult | Execution:
        """Run a function, whatever its execute access, and return its finished execution.

        With `background`, or with the instant `at`, return the execution once it is queued; an
        instant without a time zone is local time, and one that has passed is now. Raises
        NotRunning, FunctionNotFound, DeploymentNotFound, BuildNotReady, Overloaded,
        FunctionSynchronousTimeout, TypeError for a body besides `json`, and for other keywords.
        """
        self._check_running()
        target = await self.executions.ready(function_id)
        sent = _request(**request)
        if at is not None:
            scheduled_at = int(at.timestamp() * 1000)
            return await self.executions.enqueue(target.function, sent, "schedule", scheduled_at)
        if background:
            return await self.executions.enqueue(target.function, sent)
        return await self.executions.execute(target, sent)

    def logs(
        self, function_id: str = "", *, execution_id: str = ""
    ) -> "AsyncGenerator[LogLine, None]":
        """Yield the lines that functions log, as they log them, until this object stops.

        It begins with the first step of the iteration. "" follows every function and every
        execution. Raises NotRunning and FunctionNotFound.
        """
        from minifn.embed.news import log_lines

        return log_lines(self, function_id, execution_id)

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


def _request(
    *,
    body: str | bytes = b"",
    json: Any = None,
    path: str = "/",
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    user_id: str = "",
) -> ExecutionRequest:
    """Return a request to a function. Raises TypeError for a body besides `json`."""
    named = {name.lower(): value for name, value in (headers or {}).items()}
    if json is not None:
        if body:
            raise TypeError("execute() takes a body or json, not both")
        body = msgspec.json.encode(json)
        named = {"content-type": "application/json", **named}
    return ExecutionRequest(
        method=method,
        path=path,
        headers=tuple(named.items()),
        body=body.encode() if isinstance(body, str) else body,
        user_id=user_id,
    )
