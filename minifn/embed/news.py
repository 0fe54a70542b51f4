"""News of a running server, for code that waits for them until the server stops."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Literal

import msgspec

from minifn.change_feed import News, Printed
from minifn.errors import NotRunning
from minifn.parts import Parts

#: Most lines that wait for one reader of live logs; beyond them the oldest are left out.
WAITING_LINES_MAX = 10_000


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that a function has just logged."""

    function_id: str
    execution_id: str
    stream: Literal["logs", "errors"]
    text: str
    #: Lines before this one that are left out, because the reader is slower than the functions.
    lost: int = 0


@contextlib.contextmanager
def at_stop(parts: Parts, stopped: Callable[[], None]) -> Iterator[None]:
    """Have `stopped` called when the server stops while the block runs."""
    parts.on_stop.append(stopped)
    try:
        yield
    finally:
        parts.on_stop.remove(stopped)


@contextlib.contextmanager
def followed(parts: Parts) -> Iterator["asyncio.Queue[object]"]:
    """Collect changes and build logs; None when the server stops."""
    news: asyncio.Queue[object] = asyncio.Queue()
    with at_stop(parts, lambda: news.put_nowait(None)), parts.changes.followed(news.put_nowait):
        yield news


class _Lines:
    """The lines that wait for one reader."""

    def __init__(self, function_id: str, execution_id: str) -> None:
        self._wanted = (function_id, execution_id)
        self._waiting: deque[LogLine] = deque()
        self._lost = 0
        self._wake = asyncio.Event()
        self._ended = False

    def hear(self, news: News) -> None:
        """Take the lines of the wanted function and execution."""
        if not isinstance(news, Printed):
            return
        named = (news.function_id, news.execution_id)
        if any(wanted not in ("", own) for wanted, own in zip(self._wanted, named, strict=True)):
            return
        for text in news.text.splitlines():
            if len(self._waiting) == WAITING_LINES_MAX:
                self._waiting.popleft()
                self._lost += 1
            line = LogLine(
                function_id=news.function_id,
                execution_id=news.execution_id,
                stream=news.stream,
                text=text,
            )
            self._waiting.append(line)
        self._wake.set()

    def end(self) -> None:
        """Let the reader end after the lines that wait."""
        self._ended = True
        self._wake.set()

    async def read(self) -> AsyncIterator[LogLine]:
        """Yield lines as they come."""
        while True:
            while self._waiting:
                line = self._waiting.popleft()
                if self._lost:
                    line = msgspec.structs.replace(line, lost=self._lost)
                    self._lost = 0
                yield line
            if self._ended:
                return
            self._wake.clear()
            await self._wake.wait()


async def log_lines(
    parts: Parts, function_id: str, execution_id: str
) -> AsyncGenerator[LogLine, None]:
    """Yield the lines that functions log from now on, until the server stops.

    Raises NotRunning and FunctionNotFound.
    """
    if not parts.running:
        raise NotRunning
    if function_id:
        await parts.functions.get(function_id)
    lines = _Lines(function_id, execution_id)
    with at_stop(parts, lines.end), parts.changes.watched(lines.hear):
        async for line in lines.read():
            yield line
