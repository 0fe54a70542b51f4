"""The access log of `minifn serve`: a line for each request, with its duration."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minifn.log_text import one_line

logger = logging.getLogger("minifn.access")

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
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.monotonic()
        try:
            await self._app(scope, receive, noted)
        finally:
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
    query = scope["query_string"].decode("latin-1")
    return one_line(f"{path}?{query}" if query else path, PATH_CHARS_MAX)


def _client(scope: Scope) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else "-"
