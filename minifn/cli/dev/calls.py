"""A line for each call of a function, with its logs and errors beneath."""

from collections.abc import Callable

from minifn.change_feed import Change, LogPiece
from minifn.cli.dev.terminal import Terminal
from minifn.models import Execution

#: Statuses of an execution that has ended.
ENDED = ("completed", "failed")


class CallLines:
    """Follows the change feed."""

    def __init__(
        self, terminal: Terminal, readable: Callable[[str, str], str], *, names: bool
    ) -> None:
        """`readable(function_id, text)` returns a text with the paths of the function's folder.

        `names` tells whether lines name the function.
        """
        self._terminal = terminal
        self._readable = readable
        self._names = names

    def __call__(self, change: Change | LogPiece) -> None:
        """Write about a call that has ended."""
        if isinstance(change, LogPiece) or change.action == "delete":
            return
        if isinstance(change.record, Execution) and change.record.status in ENDED:
            self._write(change.record)

    def _write(self, execution: Execution) -> None:
        wrong = execution.status == "failed" or execution.response_status_code >= 500
        level = "failures" if wrong else "calls"
        color = "red" if wrong else "yellow" if execution.response_status_code >= 400 else "green"
        self._terminal.line(self._headline(execution), level, fg=color)
        # Without a status there are only the reasons.
        details = "failures" if wrong else "logs"
        self._terminal.block(execution.logs, details, dim=True)
        errors = self._readable(execution.function_id, execution.errors)
        self._terminal.block(errors, details, fg="red")

    def _headline(self, execution: Execution) -> str:
        """Return `POST /orders 200 4 ms`, and the trigger or function where it matters."""
        milliseconds = round(execution.duration_seconds * 1000)
        parts = [
            execution.request_method,
            execution.request_path or "/",
            str(execution.response_status_code or "---"),
            f"{milliseconds} ms",
            *([execution.function_id] if self._names else ()),
            *([f"({execution.trigger})"] if execution.trigger != "http" else ()),
        ]
        return " ".join(parts)
