"""`/git/<functionId>.git`: git's smart HTTP protocol, for `git push` and `git clone`.

An API key is the password.
"""

import asyncio
import base64
import binascii
import contextlib
import logging
import re
import tempfile
import zlib
from collections.abc import AsyncGenerator
from typing import BinaryIO
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from minifn.api.wire import body_stream
from minifn.api.wire.answers import Answer, RawHeaders
from minifn.api.wire.operation import FUNCTIONS_READ, FUNCTIONS_WRITE, Context
from minifn.errors import ArgumentInvalid, FunctionNotFound, MinifnError, RequestTooLarge
from minifn.git.pktlines import Malformed
from minifn.git.program import GitFailed
from minifn.git.pushed import SERVICES, PushRefused
from minifn.ids import is_id
from minifn.log_text import printable
from minifn.models import Caller, CallerKind, Function

logger = logging.getLogger("minifn.api")

_PATH = re.compile(r"/([^/]+)\.git/(info/refs|git-upload-pack|git-receive-pack)")
_PROTOCOL = re.compile(r"version=\d")
#: Most bytes of a fetch request, which names commits.
_FETCH_BYTES_MAX = 8 * 1024 * 1024
_PIECE_BYTES = 256 * 1024
#: Multiple of the largest push that is read before the connection is closed: git shows the reason
#: of a refusal only when its whole request was read.
_READ_FACTOR = 10
_UNCACHED: RawHeaders = [
    (b"cache-control", b"no-cache, max-age=0, must-revalidate"),
    (b"pragma", b"no-cache"),
]
_CHALLENGE: RawHeaders = [
    (b"www-authenticate", b'Basic realm="minifn: an API key is the password"')
]


class GitHttp:
    """Serves the repositories of all functions, below the path it is mounted at."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._requests = context.parts.budgets.git_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        exchange = GitRequest(self._context, scope, receive, send)
        try:
            self._requests.take(1)
            try:
                answer = await exchange.answer()
            finally:
                self._requests.give(1)
        except (MinifnError, GitFailed, Malformed, PushRefused) as exc:
            if exchange.started:
                raise
            answer = _refusal(exc)
        await answer(scope, receive, send)


def _refusal(error: Exception) -> Answer:
    if isinstance(error, MinifnError):
        return _text(error.code, error.message, _CHALLENGE if error.code == 401 else [])
    code = {Malformed: 400, PushRefused: 413}.get(type(error), 503)
    if code == 503:
        logger.error("a repository could not be served: %s", error)
    return _text(code, str(error))


class GitRequest:
    """One request to a repository."""

    def __init__(self, context: Context, scope: Scope, receive: Receive, send: Send) -> None:
        self._context = context
        self._scope = scope
        self._receive = receive
        self._send = send
        #: Whether the answer has begun.
        self.started = False
        self._headers: dict[bytes, bytes] = dict(scope["headers"])

    async def answer(self) -> ASGIApp:
        """Return the answer, or its end when it was streamed.

        Raises MinifnError, GitFailed, Malformed and PushRefused.
        """
        # Browsers remember a password and send it with the requests of any page.
        self._context.origins.check("POST", self._headers)
        caller = await self._caller()
        if caller.kind is CallerKind.GUEST:
            return _text(
                401, "Give an API key as the password; the user name may be anything.", _CHALLENGE
            )
        scope = self._scope
        found = _PATH.fullmatch(scope["path"][len(scope.get("root_path", "")) :])
        if found is None:
            return _text(404, "Repositories are at /git/<functionId>.git")
        advertised = found[2] == "info/refs"
        service = self._asked() if advertised else found[2]
        if service not in SERVICES or scope["method"] != ("GET" if advertised else "POST"):
            return _text(403, "Only git's smart HTTP protocol is spoken here.")
        missing = _missing_scope(caller, service)
        if missing:
            return _text(403, f"The API key needs the scope {missing}.")
        if not is_id(found[1]) or not caller.may_touch(found[1]):
            raise FunctionNotFound
        functions = self._context.parts.functions
        if caller.reach and service == "git-receive-pack":
            await functions.confine(found[1], caller.reach)
        function = await functions.get(found[1])
        return await (self._advertise if advertised else self._serve)(function, service)

    def _asked(self) -> str:
        """Return the service that the query names, "" for none."""
        with contextlib.suppress(ValueError):
            query = parse_qs(str(self._scope["query_string"], "latin-1"), max_num_fields=10)
            return query.get("service", [""])[0]
        return ""

    async def _caller(self) -> Caller:
        password = b""
        scheme, _, encoded = self._headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"basic":
            with contextlib.suppress(binascii.Error):
                password = base64.b64decode(encoded, validate=True).partition(b":")[2]
        headers = {b"x-appwrite-key": password} if password else {}
        return await self._context.authenticator.identify(
            headers, self._context.parts.config.project.encode()
        )

    def _protocol(self) -> str:
        asked = self._headers.get(b"git-protocol", b"").decode("latin-1")
        return asked if _PROTOCOL.fullmatch(asked) else ""

    async def _advertise(self, function: Function, service: str) -> ASGIApp:
        pushed = self._context.parts.git.pushed
        content = await pushed.advertise(function, service, self._protocol())
        kind = f"application/x-{service}-advertisement".encode()
        return Answer(200, content, [(b"content-type", kind), *_UNCACHED])

    async def _serve(self, function: Function, service: str) -> ASGIApp:
        pushed = self._context.parts.git.pushed
        # Unbuffered: git moves the file's position, and a buffer would fail to restore its own.
        with tempfile.TemporaryFile(dir=self._context.parts.data.run, buffering=0) as request:
            try:
                await self._read(request, service)
            except RequestTooLarge as exc:
                if service == "git-receive-pack":
                    return await self._stream(pushed.refuse(request, exc.message), service)
                raise
            if service == "git-receive-pack":
                return await self._stream(pushed.receive(function, request), service)
            with tempfile.TemporaryFile(dir=self._context.parts.data.run) as printed:
                await pushed.send(function, request, printed, self._protocol())
                return await self._stream(_pieces(printed), service)

    async def _read(self, request: BinaryIO, service: str) -> None:
        """Write the body to a file. Raises RequestTooLarge and ArgumentInvalid."""
        limit_bytes = _FETCH_BYTES_MAX
        if service == "git-receive-pack":
            limit_bytes = self._context.parts.config.upload_limit
        too_large = RequestTooLarge(f"More than {limit_bytes:,} bytes at once are not taken.")
        unpacker = (
            zlib.decompressobj(31) if self._headers.get(b"content-encoding") == b"gzip" else None
        )
        whole = True
        try:
            async for chunk in body_stream.chunks(self._receive, _READ_FACTOR * limit_bytes):
                if not whole:
                    continue
                content = unpacker.decompress(chunk, limit_bytes) if unpacker else chunk
                rest_bytes = limit_bytes - request.tell()
                whole = len(content) <= rest_bytes and not (unpacker and unpacker.unconsumed_tail)
                _write(request, content[:rest_bytes])
        except zlib.error as exc:
            raise ArgumentInvalid("The request's body is not valid gzip.") from exc
        except body_stream.BodyTooLong as exc:
            raise too_large from exc
        request.seek(0)
        if not whole:
            raise too_large

    async def _stream(self, content: AsyncGenerator[bytes, None], service: str) -> ASGIApp:
        """Send an answer piece by piece, and return its end. Raises errors before the first."""
        async with contextlib.aclosing(content):
            async for piece in content:
                if not self.started:
                    self.started = True
                    headers = [
                        (b"content-type", f"application/x-{service}-result".encode()),
                        *_UNCACHED,
                    ]
                    await self._send(
                        {"type": "http.response.start", "status": 200, "headers": headers}
                    )
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        return _end


async def _end(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.body", "body": b""})


def _write(file: BinaryIO, content: bytes) -> None:
    """Write all of `content` to an unbuffered file."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


async def _pieces(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    file.seek(0)
    while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
        yield piece


def _missing_scope(caller: Caller, service: str) -> str:
    """Return the scope that a key lacks for a push or a fetch, "" for none."""
    wanted = FUNCTIONS_WRITE if service == "git-receive-pack" else FUNCTIONS_READ
    # A key that may push may fetch.
    if caller.scopes is None or not caller.scopes.isdisjoint((*wanted, *FUNCTIONS_WRITE)):
        return ""
    return wanted[0]


def _text(status: int, text: str, headers: RawHeaders | None = None) -> Answer:
    """Return a refusal as plain text, the only kind that git shows."""
    kind = (b"content-type", b"text/plain; charset=utf-8")
    return Answer(status, f"{printable(text)}\n".encode(), [kind, *(headers or [])])
