"""What an operation answers with: JSON, nothing, a multipart form or an error, as small ASGI applications."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from minifn.errors import MinifnError, Overloaded
from minifn.host.budget import Budget
from minifn.log_text import one_line
from minifn.models import APPWRITE_VERSION

logger = logging.getLogger("minifn.api")

RawHeaders = list[tuple[bytes, bytes]]

#: What is sent of a body at once.
PIECE_BYTES = 256 * 1024
#: Up to this a connection has a buffer of its own.
SHORT_BYTES = 64 * 1024
#: How long a connection that failed may take to be known as closed.
GONE_SECONDS = 1.0
#: Codes whose message is shown; any other is answered as a 500 with the message masked, as Appwrite's
#: `app/controllers/general.php` does.
PUBLISHABLE_CODES = frozenset(
    {400, 401, 402, 403, 404, 405, 408, 409, 412, 413, 416, 429, 451, 501, 503}
)

_JSON = (b"content-type", b"application/json; charset=UTF-8")
_TEXT = (b"content-type", b"text/plain; charset=UTF-8")
_UNCACHED: RawHeaders = [
    (b"cache-control", b"no-cache, no-store, must-revalidate"),
    (b"expires", b"0"),
    (b"pragma", b"no-cache"),
]
#: Seconds after which a busy server may be asked again.
_RETRY_LATER = (b"retry-after", b"5")
_encode = msgspec.json.Encoder().encode


class Answer:
    """A status, headers and a body that is already bytes."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes, headers: RawHeaders) -> None:
        self.status = status
        self.body = body
        self.headers = [*headers, (b"content-length", str(len(body)).encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        size = len(self.body)
        if size <= PIECE_BYTES:
            await send({"type": "http.response.body", "body": self.body})
            return
        # Each waits until the client has taken most of the one before, so that the server keeps the body but once.
        for start in range(0, size, PIECE_BYTES):
            end = start + PIECE_BYTES
            await send(
                {
                    "type": "http.response.body",
                    "body": self.body[start:end],
                    "more_body": end < size,
                }
            )


async def deliver(
    answer: ASGIApp, room: Budget, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send an answer, the memory for a long one taken of `room`; without it, say so instead."""
    size = 0
    if isinstance(answer, Answer):
        size = len(answer.body)
        if size <= SHORT_BYTES:
            await answer(scope, receive, send)
            return
    try:
        room.take(size)
    except Overloaded:
        refusal = Overloaded(
            f"This was done, but for its answer of {size:,} bytes the server has no memory left."
        )
        await error_answer(refusal)(scope, receive, send)
        return
    try:
        await answer(scope, receive, send)
    except RuntimeError:
        # uvloop raises it while uvicorn has not heard yet that the client is gone.
        if not await _is_gone(receive):
            raise
    finally:
        room.give(size)


async def _is_gone(receive: Receive) -> bool:
    """Tell whether the client has closed its connection, or does within a moment."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GONE_SECONDS):
            while (await receive())["type"] != "http.disconnect":
                continue
            return True
    return False


def json_answer(content: Any, status: int = 200, headers: RawHeaders | None = None) -> Answer:
    """Return `content` as JSON."""
    return Answer(status, _encode(content), [_JSON, *headers] if headers else [_JSON])


def text_answer(text: str) -> Answer:
    """Return plain text."""
    return Answer(200, text.encode(), [_TEXT])


def no_content(headers: RawHeaders | None = None) -> Answer:
    """Return 204. SDKs parse the body of any answer that says JSON, or fail without a content type: hence text."""
    answer = Answer(204, b"", [_TEXT, *(headers or [])])
    # RFC 9110: a 204 carries no content-length.
    answer.headers.pop()
    return answer


def multipart_answer(content: Mapping[str, Any], status: int) -> Answer:
    """Return the top-level keys of `content` as parts of a form: lists as JSON, false as `0`, null as nothing."""
    boundary = b"-----------------------------" + secrets.token_hex(8).encode()
    parts = []
    for name, value in content.items():
        kind = b""
        if isinstance(value, list | dict):
            kind, value = b"Content-Type: application/json\r\n", _encode(value)
        head = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n%b\r\n' % (
            boundary,
            name.encode(),
            kind,
        )
        parts.append(head + _plain(value) + b"\r\n")
    body = b"".join(parts) + b"--" + boundary + b"--\r\n"
    return Answer(status, body, [(b"content-type", b"multipart/form-data; boundary=" + boundary)])


def _plain(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"1" if value else b"0"
    return str(value).encode()


def error_answer(error: MinifnError, *, typed: bool = True) -> Answer:
    """Return the JSON of an error; one that is not for publication is logged and masked.

    Errors of 0.x are not `typed`.
    """
    code, message = error.code, error.message
    if code not in PUBLISHABLE_CODES:
        logger.error("%s: %s", error.type, message, exc_info=error)
        code, message = 500, "Server Error"
    return problem_answer(code, message, error.type if typed else "")


def unexpected_answer(error: Exception, scope: Scope, *, typed: bool = True) -> Answer:
    """Return the masked answer to an error nobody foresaw, and log it with its traceback."""
    logger.error("%s %s failed", scope["method"], one_line(scope["path"]), exc_info=error)
    return problem_answer(500, "Server Error", MinifnError.type if typed else "")


def problem_answer(code: int, message: str, kind: str) -> Answer:
    """Return the JSON that every error has; `kind` is its type, "" for none."""
    content = {"message": message, "code": code, "type": kind, "version": APPWRITE_VERSION}
    if not kind:
        del content["type"]
    return json_answer(content, code, [*_UNCACHED, _RETRY_LATER] if code == 503 else _UNCACHED)
