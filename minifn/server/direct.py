"""A connection that answers the most frequent requests itself, without ASGI.

That takes a request as it usually is: whole and short, and alone on its connection. Every other one
goes to the ASGI application, as if this module did not exist.
"""

import asyncio
import functools
import time
from typing import Any, cast
from urllib.parse import unquote

import httptools
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle

from minifn.api.direct import Direct, Replying
from minifn.api.wire.answers import BUFFERED_BYTES, Answer, RawHeaders
from minifn.api.wire.body_stream import Arrived
from minifn.hooks import nothing_async
from minifn.server import access_log, heads
from minifn.server.connections import Connection
from minifn.server.heads import Head

#: Bytes of the longest body; uvicorn stops reading at the same length.
BODY_BYTES_MAX = 64 * 1024
#: Seconds that the rest of a body is waited for before the application gets the request.
REST_SECONDS = 0.05
#: Headers of requests that the application gets.
_UNUSUAL = frozenset({b"expect", b"transfer-encoding", b"upgrade"})
#: Headers of proxies, which the application's middleware reads.
_FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-proto"})
#: Keys of a scope that the head of its request fills.
_OF_HEAD = ("method", "path", "raw_path", "query_string", "headers")
#: Bytes of the longest URL that is parsed once for many requests.
_KEPT_BYTES = 256


@functools.lru_cache(maxsize=512)
def _parsed(url: bytes) -> tuple[str, bytes, bytes]:
    """Return the path of a URL, its raw path and its query."""
    parts = httptools.parse_url(url)
    path = parts.path.decode("ascii")
    return unquote(path) if "%" in path else path, parts.path, parts.query or b""


@functools.lru_cache(maxsize=16)
def _lines(*headers: tuple[bytes, bytes]) -> bytes | None:
    """Return the lines of headers that many answers have; None if HTTP cannot carry one."""
    if HEADER_VALUE_RE.search(b"".join([value for _, value in headers])):
        return None
    return b"".join([b"%b: %b\r\n" % item for item in headers])


class _Ended:
    """The event of a cycle that nothing waits for."""

    def set(self) -> None:
        """Part of asyncio.Event."""


class DirectCycle(RequestResponseCycle):
    """A request that is being answered. It becomes a whole cycle of uvicorn by `receive_too`."""

    access_log = False
    body = b""  # type: ignore[assignment]
    chunked_encoding = None
    disconnected = False
    expected_content_length = 0
    keep_alive = True
    message_event = cast("asyncio.Event", _Ended())
    more_body = False
    response_complete = False
    response_started = False
    waiting_for_100_continue = False

    scope: Scope  # type: ignore[assignment]
    task: "asyncio.Task[None]"

    def __init__(self, connection: "DirectConnection") -> None:
        self.scope = connection.scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.default_headers = connection.server_state.default_headers
        self.logger = connection.logger
        self.on_response = connection.on_answered

    def receive_too(self) -> None:
        """Prepare `receive`, which short answers do without."""
        self.message_event = asyncio.Event()

    def write(self, answer: Answer, extra: RawHeaders) -> bool:
        """Send a short answer at once; tell whether that was possible."""
        first, last = _lines(*self.default_headers), _lines(*extra)
        own = answer.headers
        if (
            self.flow.write_paused
            or first is None
            or last is None
            or HEADER_VALUE_RE.search(b"".join([value for _, value in own]))
        ):
            return False
        self.response_started = self.response_complete = True
        if self.disconnected or self.transport.is_closing():
            return True
        head = [b"%b: %b\r\n" % item for item in own]
        close = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        status = STATUS_LINE[answer.status]
        self.transport.write(b"".join((status, first, *head, last, close, answer.body)))
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


class DirectConnection(Connection):
    """A connection that has `direct` answer what it can.

    `named` sets a client's address in the scope as a trusted proxy gives it; None trusts no proxy.
    """

    scope: Scope  # type: ignore[assignment]

    def __init__(
        self,
        direct: Direct,
        connections_max: int,
        *,
        named: ASGIApp | None = None,
        writes_log: bool = False,
        **server: Any,
    ) -> None:
        super().__init__(connections_max, **server)
        self._direct = direct
        self._named = named
        self._writes_log = writes_log
        #: Whether the last message has ended and no other one has begun.
        self._between = True
        #: The bytes with which the parser begins a message, "" if it is within one.
        self._beginning = b""
        #: The scope of a request without its head, {} before the first head that is known.
        self._blank: Scope = {}
        #: Answers the request whose body is still arriving.
        self._replying: Replying | None = None
        self._arrived = b""
        self._rest_timer: asyncio.TimerHandle | None = None
        #: When the last answer ended, on the loop's clock.
        self._answered_at = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        if self._between and (self.cycle is None or self.cycle.response_complete):
            found = heads.known(data)
            if found is not None and self._repeat(*found):
                return
            self._beginning = data
        super().data_received(data)
        self._beginning = b""
        if self._replying is not None and self._rest_timer is None:
            self._rest_timer = self.loop.call_later(REST_SECONDS, self._leave_to_app)

    def _repeat(self, head: Head, body: bytes) -> bool:
        """Answer a request whose head was parsed before; tell whether that was possible."""
        if head.forwarded and self._named is None:
            return False
        self.heard_at = self.loop.time()
        if not self._blank:
            super().on_message_begin()
            self._blank = dict(self.scope)
        self.scope = {**self._blank, **head.scope, "state": self.app_state.copy()}
        replying = self._direct.replying(self.scope)
        if replying is None:
            return False
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self._begin(replying, body, head.keep_alive)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self._take_arrived()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Called when the server stops."""
        self._leave_to_app()
        super().shutdown()

    def on_answered(self) -> None:
        """Called when an answer has ended; does what uvicorn does, with one timer for many answers.

        A timer for each answer costs as much as all headers of an answer.
        """
        if self.pipeline or self.flow.read_paused:
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        self._answered_at = self.loop.time()
        if self._idle_timer is None:
            self._await_idle(self.timeout_keep_alive)

    def _await_idle(self, seconds: float) -> None:
        self._idle_timer = self.loop.call_later(seconds, self._close_idle)

    def _close_idle(self) -> None:
        """Close the connection if nothing came since the last answer, and that is long ago."""
        self._idle_timer = None
        cycle = self.cycle
        if not cycle.response_complete or cycle.scope is not self.scope:
            return
        left = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._await_idle(left)
        elif self.heard_at <= self._answered_at:
            self.timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Called by the parser. Raising Refused ends the connection."""
        headers = self.check_head()
        self._replying = None
        if self._is_usual(headers):
            self._replying = self._direct.replying(self.scope)
        if self._replying is None:
            self.run_app()
        elif self._beginning:
            head = Head(
                {name: self.scope[name] for name in _OF_HEAD},
                int(headers.get(b"content-length", b"0")),
                self.parser.should_keep_alive(),
                not _FORWARDED.isdisjoint(headers),
            )
            heads.remember(self._beginning, head)
            self._beginning = b""

    def _is_usual(self, headers: dict[bytes, bytes]) -> bool:
        """Tell whether a request can be answered directly; fill its scope in, as uvicorn does."""
        cycle, parser = self.cycle, self.parser
        length = headers.get(b"content-length", b"0")
        if (
            (cycle is not None and not cycle.response_complete)
            or len(headers) < len(self.headers)
            or not _UNUSUAL.isdisjoint(headers)
            or (self._named is None and not _FORWARDED.isdisjoint(headers))
            or not length.isdigit()
            or int(length[:6]) > BODY_BYTES_MAX
            or not self.url.startswith(b"/")
            or parser.get_http_version() != "1.1"
            or (method := parser.get_method().decode("ascii")) in ("HEAD", "CONNECT")
        ):
            return False
        url = self.url
        path, raw_path, query = (
            _parsed(url) if len(url) <= _KEPT_BYTES else _parsed.__wrapped__(url)
        )
        scope = self.scope
        scope["method"], scope["path"] = method, path
        scope["raw_path"], scope["query_string"] = raw_path, query
        return True

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        super().on_body(body) if self._replying is None else self._keep(body)

    def _keep(self, body: bytes) -> None:
        self.body_came()
        self._arrived += body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._between = not self.parser.should_upgrade()
        replying = self._replying
        if replying is None:
            super().on_message_complete()
        else:
            self._begin(replying, self._take_arrived(), self.parser.should_keep_alive())

    def _begin(self, replying: Replying, body: bytes, keep_alive: bool) -> None:
        """Answer a request whose body has arrived."""
        self.cycle = cycle = DirectCycle(self)
        cycle.keep_alive = keep_alive
        # The loop's `create_task` would number it, which costs a quarter more.
        answering = self._answer(cycle, replying, body)
        cycle.task = asyncio.Task(answering, loop=self.loop, name="minifn answer")
        self.tasks.add(cycle.task)

    def _take_arrived(self) -> bytes:
        """Return what has arrived of the body, and wait for no more."""
        body, self._arrived, self._replying = self._arrived, b"", None
        if self._rest_timer is not None:
            self._rest_timer.cancel()
            self._rest_timer = None
        return body

    def _leave_to_app(self) -> None:
        """Have the application answer the request whose body does not come at once."""
        if self._replying is not None:
            body = self._take_arrived()
            self.run_app()
            if body:
                super().on_body(body)

    async def _answer(self, cycle: DirectCycle, replying: Replying, body: bytes) -> None:
        began = time.monotonic() if self._writes_log else 0.0
        scope = cycle.scope
        try:
            if self._named is not None:
                await self._named(scope, cast("Receive", nothing_async), nothing_async)
            answer = await replying.answer(scope, Arrived(body))
            extra = replying.headers(scope)
            if (
                isinstance(answer, Answer)
                and len(answer.body) <= BUFFERED_BYTES
                and cycle.write(answer, extra)
            ):
                if self._writes_log:
                    access_log.write_line(scope, answer.status, began)
                return
            await self._deliver(cycle, answer, extra, began)
        except BaseException as exc:
            self.logger.error("A request could not be answered", exc_info=exc)
            if cycle.response_started:
                self.transport.close()
            else:
                await cycle.send_500_response()
        finally:
            # A callback of the task would cost a turn of the loop.
            self.tasks.discard(cycle.task)

    async def _deliver(
        self, cycle: DirectCycle, answer: ASGIApp, extra: RawHeaders, began: float
    ) -> None:
        """Send an answer piece by piece, through uvicorn."""
        cycle.receive_too()
        app = functools.partial(self._direct.deliver, answer, extra)
        scope = cycle.scope
        receive, send = cast("Receive", cycle.receive), cast("Send", cycle.send)
        if self._writes_log:
            await access_log.logged(app, scope, receive, send, began)
        else:
            await app(scope, receive, send)
