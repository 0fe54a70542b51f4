"""Answers the most frequent requests without ASGI: executions, and those of functions' domains.

An operation has one implementation, which is given a request and returns an answer. Middleware, a
task for each message and the checks of an ASGI server around it cost more than it does, so
minifn's own server hands such requests over here.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from minifn.api.cors import headers_for, sending_too
from minifn.api.domains import FunctionDomains
from minifn.api.fast_route import FastRoute
from minifn.api.hosts import host_of
from minifn.api.wire.answers import RawHeaders, deliver
from minifn.api.wire.body_stream import Arrived
from minifn.parts import Parts


class Replying(NamedTuple):
    """A way to answer requests."""

    #: Returns the answer to a request, given its body.
    answer: Callable[[Scope, Arrived], Awaitable[ASGIApp]]
    #: Returns the headers that the answer has besides its own.
    headers: Callable[[Scope], RawHeaders]


class Direct:
    """Finds out how to answer a request, and does so."""

    def __init__(
        self, parts: Parts, functions: FunctionDomains, fast: tuple[FastRoute, ...]
    ) -> None:
        self._parts = parts
        self._functions = functions
        self._fast = [(one, Replying(one.endpoint.answer, headers_for)) for one in fast]

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
            return Replying(functools.partial(self._functions.answer, route), _no_headers)
        if route is None:
            for fast, replying in self._fast:
                if fast.takes(scope):
                    return replying
        return None

    async def deliver(
        self, answer: ASGIApp, extra: RawHeaders, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Send an answer that is long or not in memory, with `extra` headers."""
        budget = self._parts.budgets.answers
        await deliver(answer, budget, scope, receive, sending_too(send, extra))


def _no_headers(scope: Scope) -> RawHeaders:
    return []
