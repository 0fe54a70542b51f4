"""Answers that go on: `text/event-stream` of the HTML standard, section "Server-sent events".

A stream ends when its reader leaves or reads too slowly, when its caller loses its rights, and when
the server stops. A server that stops never waits for a reader.
"""

import asyncio
import contextlib
import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from minifn.api.wire.answers import RawHeaders, error_answer
from minifn.api.wire.operation import Call, authenticate
from minifn.errors import MinifnError, Overloaded
from minifn.host.budget import Budget

#: Bytes that may wait for one reader.
WAITING_BYTES_MAX = 8 * 1024 * 1024
#: Most bytes of several events that are handed to the connection at once. They count as waiting
#: no more, and the next events follow when they are sent.
SENT_BYTES_MAX = 256 * 1024
#: Seconds that the first event waits for those that follow it, to be sent with them: many readers
#: of many events would take the time of calls.
GATHER_SECONDS = 0.05
#: Seconds of silence after which a comment is sent, so that proxies keep the connection.
HEARTBEAT_SECONDS = 15.0
#: Seconds until the rights of a caller are looked up again.
TRUST_SECONDS = 15.0
#: Seconds between two looks at a server that is not minifn's own.
LOOK_SECONDS = 0.5
#: Seconds that a reader may take to receive the end: the server closes a silent one before.
CLOSE_SECONDS = 75.0
#: The same while the server stops.
STOP_SECONDS = 8.0
CONTENT_TYPE = "text/event-stream"

_HEADERS: RawHeaders = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-store"),
    # nginx would collect events otherwise.
    (b"x-accel-buffering", b"no"),
]
_COMMENT = b":\n\n"
#: Ends of lines to clients that split a text as Python does, though not to the standard.
_LINE_ENDS = tuple(
    (end.encode(), f"\\u{ord(end):04x}".encode()) for end in ("\x85", "\u2028", "\u2029")
)


class Outbox:
    """The events that wait for one reader; `budget` has the bytes of all readers."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        #: No event follows those that wait.
        self.ended = False

    def put(self, event: str, content: Any) -> None:
        """Add an event. When too much waits, all of it is dropped and the stream ends."""
        if not self.ended:
            self.add(encoded(event, content))

    def add(self, message: bytes) -> None:
        """Add an encoded event, as `put` does. It may be shared with other readers."""
        if self.ended:
            return
        size = len(message)
        if self._waiting and not (
            self._bytes + size <= WAITING_BYTES_MAX and self._budget.has(size)
        ):
            self.drop()
            message, size = b"event: overrun\ndata: {}\n\n", 0
            self.ended = True
        self._waiting.append(message)
        self._bytes += size
        self._budget.count(size)
        self._wake.set()

    def drop(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._budget.give(self._bytes)
        self._bytes = 0

    def end(self) -> None:
        """End the stream after what waits."""
        self.ended = True
        self._wake.set()

    async def take(self, seconds: float) -> bytes:
        """Return the next events; b"" when there are none for `seconds`, or no more."""
        if not self._waiting and not self.ended:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`, which makes a task for each event of each reader.
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
                await asyncio.sleep(GATHER_SECONDS)
        found, size = list[bytes](), 0
        while self._waiting and (not found or size + len(self._waiting[0]) <= SENT_BYTES_MAX):
            found.append(self._waiting.popleft())
            size += len(found[-1])
        # The last event of a reader that was cut does not count.
        counted = min(size, self._bytes)
        self._bytes -= counted
        self._budget.give(counted)
        return b"".join(found)


#: Fills an outbox from its entry to its exit.
Source = Callable[[Outbox], AbstractContextManager[None]]


class EventStream:
    """An ASGI application that sends the events of a source to the caller."""

    def __init__(self, call: Call, source: Source) -> None:
        self._call = call
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        budget = self._call.parts.budgets.streams
        try:
            budget.take(1)
        except Overloaded as exc:
            await error_answer(exc)(scope, receive, send)
            return
        try:
            await self._serve(scope, receive, send)
        finally:
            budget.give(1)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        outbox = Outbox(self._call.parts.budgets.events)
        # Before the head: a reader that has it misses nothing.
        with contextlib.ExitStack() as stack:
            stack.callback(outbox.drop)
            stack.enter_context(self._source(outbox))
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            left = await self._until_end(outbox, receive, send)
        if left:
            return
        stopping = self._call.parts.stopping.is_set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS if stopping else CLOSE_SECONDS):
                await send({"type": "http.response.body", "body": b""})

    async def _until_end(self, outbox: Outbox, receive: Receive, send: Send) -> bool:
        """Send events until the end; tell whether the reader left."""
        gone = asyncio.ensure_future(_gone(receive))
        others = [
            asyncio.ensure_future(self._pump(outbox, send)),
            asyncio.ensure_future(_stopped(self._call.parts.stopping)),
        ]
        try:
            await asyncio.wait([gone, *others], return_when=asyncio.FIRST_COMPLETED)
            return gone.done()
        finally:
            for task in (gone, *others):
                task.cancel()
            ends = await asyncio.gather(gone, *others, return_exceptions=True)
            for end in ends:
                if isinstance(end, Exception):
                    raise end

    async def _pump(self, outbox: Outbox, send: Send) -> None:
        message = _COMMENT
        trusted_until = time.monotonic() + TRUST_SECONDS
        while True:
            await send({"type": "http.response.body", "body": message, "more_body": True})
            message = await outbox.take(HEARTBEAT_SECONDS)
            if not message and outbox.ended:
                return
            message = message or _COMMENT
            if time.monotonic() >= trusted_until:
                if not await self._is_trusted():
                    return
                trusted_until = time.monotonic() + TRUST_SECONDS

    async def _is_trusted(self) -> bool:
        """Tell whether the caller has the rights that it had: tokens expire, keys are deleted."""
        before = self._call.caller
        try:
            await authenticate(self._call)
        except MinifnError:
            return False
        return self._call.caller == before


def encoded(event: str, content: Any) -> bytes:
    """Return an event as it is sent."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), _one_line(content))


def _one_line(content: Any) -> bytes:
    """Return JSON without a character that anything takes for the end of a line."""
    text = msgspec.json.encode(content)
    if not text.isascii():
        for end, escape in _LINE_ENDS:
            text = text.replace(end, escape)
    return text


async def _stopped(stopping: asyncio.Event) -> None:
    """Return when the server stops."""
    while not stopping.is_set() and not _uvicorn_stops():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), LOOK_SECONDS)


def _uvicorn_stops() -> bool:
    """Tell whether uvicorn, which serves an embedding app, was asked to stop.

    It waits for its connections before it tells the app, and says so nowhere else.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return bool(getattr(server, "should_exit", False))


async def _gone(receive: Receive) -> None:
    """Return when the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        continue
