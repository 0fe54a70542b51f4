"""HTTP answers as small ASGI applications: JSON, text, no content, multipart forms and errors."""

import asyncio
import contextlib
import errno
import logging
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from minifn.errors import MinifnError, Overloaded, StorageUnavailable
from minifn.host.budget import Budget
from minifn.log_text import one_line
from minifn.models import APPWRITE_VERSION
from minifn.store.connection import may_pass

logger = logging.getLogger("minifn.api")

RawHeaders = list[tuple[bytes, bytes]]

#: Bytes of a body that are sent at once.
PIECE_BYTES = 256 * 1024
#: Bytes of the longest body that the connection's own buffer holds; longer ones need the budget.
BUFFERED_BYTES = 64 * 1024
#: Seconds to wait for the disconnect message of a failed connection.
GONE_SECONDS = 1.0
#: Status codes whose message is shown. Others become a 500 with a masked message, as in Appwrite's
#: `app/controllers/general.php`.
PUBLISHABLE_CODES = frozenset(
    {400, 401, 402, 403, 404, 405, 408, 409, 412, 413, 416, 429, 451, 501, 503}
)

#: Errors of a disk that is full or broken, or whose files may not grow.
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})

_JSON = (b"content-type", b"application/json; charset=UTF-8")
_TEXT = (b"content-type", b"text/plain; charset=UTF-8")
_UNCACHED: RawHeaders = [
    (b"cache-control", b"no-cache, no-store, must-revalidate"),
    (b"expires", b"0"),
    (b"pragma", b"no-cache"),
]
#: Seconds until a client should try an overloaded server again.
_RETRY_LATER = (b"retry-after", b"5")
_encode = msgspec.json.Encoder().encode


class Answer:
    """An answer with a whole body in memory."""

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
        # A send waits until the client has taken most of the piece before, so the body is not
        # copied as a whole.
        for start in range(0, size, PIECE_BYTES):
            end = start + PIECE_BYTES
            piece = self.body[start:end]
            await send({"type": "http.response.body", "body": piece, "more_body": end < size})


async def deliver(
    answer: ASGIApp, budget: Budget, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send an answer. A long one takes its memory from `budget`, or becomes a 503 without it."""
    size = 0
    if isinstance(answer, Answer):
        size = len(answer.body)
        if size <= BUFFERED_BYTES:
            await answer(scope, receive, send)
            return
    try:
        budget.take(size)
    except Overloaded:
        refusal = Overloaded(
            f"The request was done, but the server has no memory for its answer of {size:,} bytes."
        )
        await error_answer(refusal)(scope, receive, send)
        return
    try:
        await answer(scope, receive, send)
    except RuntimeError:
        # uvloop raises it before uvicorn knows that the client is gone.
        if not await _is_gone(receive):
            raise
    finally:
        budget.give(size)


async def _is_gone(receive: Receive) -> bool:
    """Tell whether the client has closed its connection; wait up to GONE_SECONDS for it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GONE_SECONDS):
            while (await receive())["type"] != "http.disconnect":
                continue
            return True
    return False


def json_answer(content: Any, status: int = 200, headers: RawHeaders | None = None) -> Answer:
    """Return an answer with `content` as JSON."""
    return Answer(status, _encode(content), [_JSON, *headers] if headers else [_JSON])


def text_answer(text: str) -> Answer:
    """Return an answer with plain text."""
    return Answer(200, text.encode(), [_TEXT])


def no_content(headers: RawHeaders | None = None) -> Answer:
    """Return a 204 of type text: SDKs parse bodies of type JSON and fail without a content type."""
    answer = Answer(204, b"", [_TEXT, *(headers or [])])
    # RFC 9110: a 204 has no content-length.
    answer.headers.pop()
    return answer


def multipart_answer(content: Mapping[str, Any], status: int) -> Answer:
    """Return the top-level keys of `content` as parts of a form.

    Lists and objects are JSON, booleans `1` and `0`, and null is empty.
    """
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
    """Return the JSON of an error. An error that may not be shown is logged and masked.

    Clients of 0.x get errors that are not `typed`.
    """
    code, message = error.code, error.message
    if code not in PUBLISHABLE_CODES:
        logger.error("%s: %s", error.type, message, exc_info=error)
        code, message = 500, "Server Error"
    return problem_answer(code, message, error.type if typed else "")


def unexpected_answer(error: Exception, scope: Scope, *, typed: bool = True) -> Answer:
    """Log an unexpected error with its traceback and return a masked answer.

    An error of the disk is one line of the log, and says so to the client.
    """
    failed = f"{scope['method']} {one_line(scope['path'])} failed"
    if may_pass(error) or (isinstance(error, OSError) and error.errno in _UNWRITABLE):
        logger.error("%s: %s", failed, error)
        return error_answer(StorageUnavailable(), typed=typed)
    logger.error("%s", failed, exc_info=error)
    return problem_answer(500, "Server Error", MinifnError.type if typed else "")


def problem_answer(code: int, message: str, kind: str) -> Answer:
    """Return the JSON of any error; `kind` is its type, "" for none."""
    content = {"message": message, "code": code, "type": kind, "version": APPWRITE_VERSION}
    if not kind:
        del content["type"]
    return json_answer(content, code, [*_UNCACHED, _RETRY_LATER] if code == 503 else _UNCACHED)
