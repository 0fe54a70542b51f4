"""The access log of `minifn serve`: a line for each request, with its duration."""

import logging
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minifn.log_text import one_line

logger = logging.getLogger("minifn.access")

#: Tokens of links to the console and to archives.
_TOKEN = re.compile(r"\btoken=[^&]*")
#: Most characters of a path with its query.
PATH_CHARS_MAX = 2000


class AccessLog:
    """An ASGI application that writes a line when the answer of another has ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await logged(self._app, scope, receive, send, time.monotonic())


async def logged(app: ASGIApp, scope: Scope, receive: Receive, send: Send, began: float) -> None:
    """Run an application, and write a line when its answer to a request has ended."""
    status = 0

    async def noted(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        await send(message)

    try:
        await app(scope, receive, noted)
    finally:
        write_line(scope, status, began)


def write_line(scope: Scope, status: int, began: float) -> None:
    """Write the line of a request that came at `began` on the monotonic clock."""
    logger.info(
        '%s - "%s %s HTTP/%s" %s %.1f ms',
        _client(scope),
        scope["method"],
        _target(scope),
        scope["http_version"],
        status or "-",
        1000 * (time.monotonic() - began),
    )


def _target(scope: Scope) -> str:
    path = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
    query = _TOKEN.sub("token=...", scope["query_string"].decode("latin-1"))
    return one_line(f"{path}?{query}" if query else path, PATH_CHARS_MAX)


def _client(scope: Scope) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else "-"
