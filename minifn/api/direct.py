"""Answers the requests that come most without ASGI: executions, and those of functions' domains.

An operation has one implementation, which is given a request and returns an answer. Middleware, a
task for each message and the checks of an ASGI server around it cost more than it does, so
minifn's own server hands such requests over here.
"""

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from minifn.api.cors import headers_for, sending_too
from minifn.api.domains import FunctionDomains
from minifn.api.fast_route import FastRoute
from minifn.api.hosts import host_of
from minifn.api.wire.answers import RawHeaders, deliver
from minifn.api.wire.body_stream import Arrived
from minifn.parts import Parts

#: An answer, and the headers that it has besides its own.
Reply = tuple[ASGIApp, RawHeaders]
Replying = Callable[[Scope, bytes], Awaitable[Reply]]


class Direct:
    """Finds out how to answer a request, and does so."""

    def __init__(
        self, parts: Parts, functions: FunctionDomains, fast: tuple[FastRoute, ...]
    ) -> None:
        self._parts = parts
        self._functions = functions
        self._fast = fast

    def replying(self, scope: Scope) -> Replying | None:
        """Return what answers a request, given its body; None leaves it to the ASGI application.

        The request has no method HEAD, whose answers differ from their length.
        """
        if not self._parts.running or not self._parts.endpoint.is_known:
            return None
        try:
            route = self._parts.domains.route_at_once(host_of(scope))
        except LookupError:
            return None
        if isinstance(route, str):
            return self._of_function(route)
        if route is None:
            for fast in self._fast:
                if fast.takes(scope):
                    return _of_operation(fast)
        return None

    def _of_function(self, function_id: str) -> Replying:
        async def reply(scope: Scope, body: bytes) -> Reply:
            return await self._functions.answer(function_id, scope, Arrived(body)), []

        return reply

    async def deliver(self, reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
        """Send an answer that is long or not in memory."""
        answer, extra = reply
        budget = self._parts.budgets.answers
        await deliver(answer, budget, scope, receive, sending_too(send, extra))


def _of_operation(fast: FastRoute) -> Replying:
    async def reply(scope: Scope, body: bytes) -> Reply:
        return await fast.endpoint.answer(scope, Arrived(body)), headers_for(scope)

    return reply
