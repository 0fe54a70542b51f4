"""The options with which a command finds its server, and the ids that a shell completes."""

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from minifn.cli.finding import BadAddress, Found, NoServer, find_server
from minifn.cli.options import fail
from minifn.ids import is_id
from minifn.log_text import json_line, printable

if TYPE_CHECKING:
    from minifn.cli.remote import Remote

Command = TypeVar("Command", bound=Callable[..., Any])
#: Seconds that a shell waits for the ids it completes.
COMPLETE_SECONDS = 1.0


@dataclass(frozen=True)
class Session:
    """The server of a command, and how its answer is printed."""

    remote: "Remote"
    found: Found
    as_json: bool

    def show(self, rows: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> None:
        """Print objects as JSON, one a line."""
        for row in rows:
            click.echo(json_line(row))


def json_option(command: Command) -> Command:
    """Add the option `--json`."""
    option = click.option("--json", "as_json", is_flag=True, help="print JSON, one object a line")
    return option(command)


def with_server(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a server; the command gets a `Session` as its first argument.

    An error of the server or the project ends the process with one line.
    """

    @functools.wraps(command)
    def connected(
        *arguments: Any, url: str | None, key: str | None, as_json: bool, **options: Any
    ) -> None:
        # Imported here: a shell that completes an option needs neither.
        from minifn.cli.project_file import ProjectError
        from minifn.cli.remote import Remote, RemoteError

        try:
            found = find_server(Path.cwd(), os.environ, url=url or "", key=key or "")
            with Remote(found.url, found.project, found.key) as remote:
                command(Session(remote, found, as_json), *arguments, **options)
        except BadAddress as error:
            fail(str(error), status=2)
        except (NoServer, RemoteError, ProjectError) as error:
            fail(str(error))

    return server_options(json_option(connected))


def server_options(command: Command) -> Command:
    """Add the options `--server` and `--key`."""
    key = click.option("--key", metavar="KEY", help="an API key  [MINIFN_API_KEY]")
    server = click.option(
        "--server",
        "url",
        metavar="URL",
        help="the server's address  [MINIFN_SERVER; default: the linked one, or that of a data"
        " directory here or above]",
    )
    return server(key(command))


class Id(click.types.StringParamType):
    """An id that a shell does not complete, such as one of many executions."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_id(value):
            self.fail(f"{value!r} is not an ID", param, ctx)
        return value


class FunctionId(Id):
    """The id of a function; a shell completes it by asking the server."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return _completed(ctx, "/functions", "functions", incomplete, "name")


class DeploymentId(Id):
    """The id of a deployment of the function in the same command, which a shell completes."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        path = f"/functions/{ctx.params.get('function_id')}/deployments"
        return _completed(ctx, path, "deployments", incomplete, "status")


def _completed(
    ctx: click.Context, path: str, name: str, incomplete: str, about: str
) -> list[CompletionItem]:
    """Return the ids of a list that begin with a text; none when the server does not answer."""
    from minifn.cli.remote import Remote, RemoteError, query

    options = {name: ctx.params.get(name) or "" for name in ("url", "key")}
    try:
        found = find_server(Path.cwd(), os.environ, **options)
        with Remote(found.url, found.project, found.key, COMPLETE_SECONDS) as remote:
            queries = [query("limit", 100), query("startsWith", incomplete, attribute="$id")]
            params = {"queries[]": queries if incomplete else queries[:1]}
            rows = remote.call("GET", path, params=params)[name]
    except (NoServer, RemoteError):
        return []
    return [CompletionItem(row["$id"], help=printable(str(row[about]))) for row in rows]


def note(text: str) -> None:
    """Write a line about the work to stderr."""
    click.echo(printable(text), err=True)
