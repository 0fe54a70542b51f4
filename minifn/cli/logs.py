"""`minifn logs`: what functions printed, and what they print now."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.text import Text

from minifn.cli.connecting import FunctionId, Session, note, with_server
from minifn.cli.options import fail, seconds
from minifn.cli.remote import Event, query
from minifn.cli.tables import console
from minifn.cli.words import duration
from minifn.log_text import json_line, printable

#: Executions that are looked through for a text.
SCAN_MAX = 5000
#: Colour of a status code by its first digit.
STATUS_COLOURS = {"2": "green", "3": "green", "4": "yellow", "5": "red", "0": "red"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which executions are shown."""

    function_ids: tuple[str, ...]
    failed: bool
    since: int
    status: int | None
    text: str

    @property
    def ended(self) -> bool:
        """Whether only the end of an execution tells if it is shown."""
        return self.failed or self.status is not None

    def queries(self) -> list[str]:
        """Return the queries of a list, the newest first."""
        made = [query("orderDesc", attribute="$createdAt")]
        if self.function_ids:
            made.append(query("equal", *self.function_ids, attribute="functionId"))
        if self.failed:
            made.append(query("equal", "failed", attribute="status"))
        if self.status is not None:
            made.append(query("equal", self.status, attribute="responseStatusCode"))
        if self.since:
            at = datetime.now(UTC) - timedelta(seconds=self.since)
            made.append(query("greaterThan", at.isoformat(), attribute="$createdAt"))
        return made

    def has_text(self, text: str) -> bool:
        """Tell whether a text has the words that are looked for, in any case."""
        return self.text.casefold() in text.casefold()


@click.command()
@click.argument("function_ids", metavar="[FUNCTION]...", nargs=-1, type=FunctionId())
@click.option("-f", "--follow", is_flag=True, help="go on: show lines as functions print them")
@click.option(
    "-n", "--number", "count", type=click.IntRange(0), default=20, show_default=True,
    help="executions to begin with",
)  # fmt: skip
@click.option("--failed", is_flag=True, help="failed executions alone")
@click.option("--since", metavar="TIME", default="", help="newer than 30s, 15m, 2h or 1d")
@click.option("--status", type=int, metavar="CODE", help="answers with this status alone")
@click.option("--grep", "text", default="", metavar="TEXT", help="executions that printed TEXT")
@click.option("-v", "--verbose", is_flag=True, help="also IDs, triggers and deployments")
@with_server
def logs(
    session: Session,
    function_ids: tuple[str, ...],
    follow: bool,
    count: int,
    failed: bool,
    since: str,
    status: int | None,
    text: str,
    verbose: bool,
) -> None:
    """Show executions with their logs and errors.

    Without FUNCTION those of all functions. The oldest is first. With -f each line comes as it is
    printed, and -f --failed or --status shows an execution when it ends. Ctrl-C ends it.
    """
    wanted = Wanted(
        function_ids=function_ids,
        failed=failed,
        since=seconds("--since", since) if since else 0,
        status=status,
        text=text,
    )
    for function_id in function_ids:
        session.remote.call("GET", f"/functions/{function_id}")
    screen = LogScreen(session, wanted, verbose)
    if not follow:
        screen.show_stored(count)
        return
    try:
        while screen.follow(count):
            note("minifn: lines were lost, this terminal was too slow for them")
            count = 0
    except KeyboardInterrupt:
        return
    fail("the server ended the stream: was it stopped?")


class LogScreen:
    """Prints executions, and events of executions that run."""

    def __init__(self, session: Session, wanted: Wanted, verbose: bool) -> None:
        self._session = session
        self._wanted = wanted
        self._verbose = verbose
        self._screen = console()
        self._shown: set[str] = set()

    def show_stored(self, count: int) -> None:
        """Print the newest executions, the oldest first."""
        for execution in [*self._stored(count)][::-1]:
            self._shown.add(execution["$id"])
            self._show(execution)

    def follow(self, count: int) -> bool:
        """Print the newest executions, then what happens; tell whether events were lost."""
        events = self._session.remote.events(
            "/minifn/logs",
            {
                "functionId": list(self._wanted.function_ids),
                "failed": str(self._wanted.failed).lower(),
            },
            lambda: self.show_stored(count),
        )
        for event in events:
            if event.name == "overrun":
                return True
            self._hear(event)
        return False

    def _stored(self, count: int) -> Iterator[dict[str, Any]]:
        rows = self._session.remote.pages(
            "/minifn/executions", "executions", self._wanted.queries(), count
        )
        found = 0
        for number, row in enumerate(rows):
            if found == count or number == SCAN_MAX:
                return
            if self._wanted.has_text(row["logs"] + row["errors"]):
                found += 1
                yield row

    def _hear(self, event: Event) -> None:
        data = event.data
        if event.name == "end":
            if data["$id"] not in self._shown and self._matches(data):
                self._show(data, whole=self._wanted.ended)
        elif event.name == "log" and not self._wanted.ended:
            lines = [line for line in data["text"].splitlines() if self._wanted.has_text(line)]
            if self._session.as_json and lines:
                self._print_json({"event": "log", **data, "text": "\n".join(lines) + "\n"})
            elif lines:
                self._show_lines("\n".join(lines), data["stream"], data["functionId"])

    def _matches(self, execution: Mapping[str, Any]) -> bool:
        status = self._wanted.status
        if status is not None and execution["responseStatusCode"] != status:
            return False
        if self._wanted.ended:
            return self._wanted.has_text(execution["logs"] + execution["errors"])
        # Its lines were shown as they came.
        return not self._wanted.text

    def _show(self, execution: Mapping[str, Any], *, whole: bool = True) -> None:
        """Print an execution: its line and, when `whole`, its logs and errors beneath."""
        if self._session.as_json:
            self._print_json(dict(execution) if whole else {"event": "end", **execution})
            return
        code = str(execution["responseStatusCode"])
        at = datetime.fromisoformat(execution["$createdAt"]).astimezone()
        line = Text.assemble(
            (f"{at:%Y-%m-%d %H:%M:%S}  ", "dim"),
            (execution["functionId"], "bold"),
            printable(f"  {execution['requestMethod']} {execution['requestPath']} "),
            (code if code != "0" else execution["status"], STATUS_COLOURS.get(code[0], "yellow")),
            (f" {duration(execution['duration'])}", "dim"),
        )
        if self._verbose:
            about = ("$id", "trigger", "deploymentId")
            line.append(f"  {'  '.join(execution[name] for name in about)}", "dim")
        self._screen.print(line, soft_wrap=True)
        if whole:
            for stream in ("logs", "errors"):
                self._show_lines(execution[stream], stream)

    def _show_lines(self, text: str, stream: str, function_id: str = "") -> None:
        style = "red" if stream == "errors" else ""
        lead = f"  {function_id}  " if function_id and len(self._wanted.function_ids) != 1 else "  "
        for line in printable(text).splitlines():
            self._screen.print(Text.assemble((lead, "dim"), (line, style)), soft_wrap=True)
        sys.stdout.flush()

    def _print_json(self, content: dict[str, Any]) -> None:
        click.echo(json_line(content))
