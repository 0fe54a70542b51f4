"""A line for each call of a function, with its logs and errors beneath.

The line is written when the call has ended. A call that logs and takes longer has one before, and
its logs follow as the function writes them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from minifn.change_feed import Begun, Change, News, Printed
from minifn.cli.dev.terminal import Terminal
from minifn.cli.words import duration
from minifn.models import Execution

#: Statuses of an execution that has ended.
ENDED = ("completed", "failed")
#: Seconds of a call after which its logs are shown as they come.
PATIENCE_SECONDS = 0.5


@dataclass(kw_only=True, slots=True)
class Running:
    """A call that has not ended."""

    execution: Execution
    #: Logged text, in order: (stream, text).
    printed: list[tuple[str, str]] = field(default_factory=list)
    #: Number of these that were shown.
    shown: int = 0
    timer: asyncio.TimerHandle | None = None

    def printed_of(self, stream: str) -> str:
        """Return all of one stream that was shown."""
        return "".join(text for name, text in self.printed[: self.shown] if name == stream)


class CallLines:
    """Watches the change feed."""

    def __init__(
        self, terminal: Terminal, readable: Callable[[str, str], str], *, names: bool
    ) -> None:
        """`readable(function_id, text)` returns a text with the paths of the function's folder.

        `names` tells whether lines name the function.
        """
        self._terminal = terminal
        self._readable = readable
        self._names = names
        self._running: dict[str, Running] = {}
        #: The call to which the last line belongs.
        self._last = ""

    def __call__(self, news: News) -> None:
        """Write about a call that logs or has ended."""
        if isinstance(news, Begun):
            self._running[news.execution.id] = Running(execution=news.execution)
        elif isinstance(news, Printed):
            self._print(news)
        elif isinstance(news, Change) and news.action != "delete":
            record = news.record
            if isinstance(record, Execution) and record.status in ENDED:
                self._end(record)

    def _print(self, news: Printed) -> None:
        call = self._running.get(news.execution_id)
        if call is None:
            return
        call.printed.append((news.stream, news.text))
        if call.shown:
            self._show(call)
        elif call.timer is None:
            loop = asyncio.get_running_loop()
            call.timer = loop.call_later(PATIENCE_SECONDS, self._show, call)

    def _show(self, call: Running) -> None:
        """Write what a call that still runs has logged since."""
        if self._last != call.execution.id:
            self._terminal.line(self._headline(call.execution, "..."), "logs")
            self._last = call.execution.id
        for stream, text in call.printed[call.shown :]:
            self._detail(call.execution, stream, text, "logs")
        call.shown = len(call.printed)

    def _end(self, execution: Execution) -> None:
        call = self._running.pop(execution.id, None)
        if call is not None and call.timer is not None:
            call.timer.cancel()
        status = execution.response_status_code
        wrong = execution.status == "failed" or status >= 500
        color = "red" if wrong else "yellow" if status >= 400 else "green"
        answer = f"{status or '---'} {duration(execution.duration_seconds)}"
        level = "failures" if wrong else "calls"
        self._terminal.line(self._headline(execution, answer), level, fg=color)
        self._last = ""
        for stream, text in (("logs", execution.logs), ("errors", execution.errors)):
            seen = call.printed_of(stream) if call is not None else ""
            rest = text.removeprefix(seen)
            self._detail(execution, stream, rest, "failures" if wrong else "logs")

    def _detail(self, execution: Execution, stream: str, text: str, level: str) -> None:
        text = self._readable(execution.function_id, text)
        if stream == "errors":
            self._terminal.block(text, level, fg="red")
        else:
            self._terminal.block(text, level, dim=True)

    def _headline(self, execution: Execution, answer: str) -> str:
        """Return `POST /orders 200 4 ms`, and the trigger or function where it matters."""
        parts = [
            execution.request_method,
            execution.request_path or "/",
            answer,
            *([execution.function_id] if self._names else ()),
            *([f"({execution.trigger})"] if execution.trigger != "http" else ()),
        ]
        return " ".join(parts)
