"""`minifn deploy`: a folder becomes the code of a function, whose build is followed."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from minifn.cli.connecting import Session, note, with_server
from minifn.cli.options import fail
from minifn.cli.project_file import FunctionEntry, ProjectError, ProjectFile, chosen
from minifn.cli.remote import Remote, RemoteError
from minifn.cli.tables import console
from minifn.cli.uploading import follow, save, upload
from minifn.cli.words import duration
from minifn.log_text import printable


def complete_names(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the ids of the project and the folders that begin with a text."""
    try:
        project = ProjectFile.find(Path.cwd())
        ids = [entry.id for entry in project.functions()] if project else []
    except ProjectError:
        ids = []
    named = [CompletionItem(one) for one in ids if one.startswith(incomplete)]
    return [*named, CompletionItem(incomplete, type="dir")]


@click.command()
@click.argument("names", nargs=-1, metavar="[DIR | FUNCTION]...", shell_complete=complete_names)
@click.option("--all", "everything", is_flag=True, help="deploy every function of the project")
@click.option("--message", default="", metavar="TEXT", help="a note that lists of deployments show")
@click.option("--no-activate", is_flag=True, help="leave the deployment that answers now")
@with_server
def deploy(
    session: Session, names: tuple[str, ...], everything: bool, message: str, no_activate: bool
) -> None:
    """Upload the code of functions and follow their builds.

    A DIR is a function by itself, or that of its entry in appwrite.config.json; without a name it
    is this directory. A new function is created.
    """
    if everything and names:
        fail("--all deploys every function: name none", status=2)
    listed = session.remote.call("GET", "/functions/runtimes")["runtimes"]
    runtimes = {runtime["key"]: runtime["$id"] for runtime in listed}
    entries = chosen(names, Path.cwd(), everything=everything, runtimes=runtimes)
    results = [_deployed(session, entry, message, not no_activate) for entry in entries]
    if not all(results):
        sys.exit(1)


def _deployed(session: Session, entry: FunctionEntry, message: str, activate: bool) -> bool:
    """Deploy one function and print how it ended; tell whether it is ready."""
    remote, started = session.remote, time.monotonic()
    with Work(entry.id, quiet=session.as_json) as work:
        save(remote, entry)
        deployment = upload(
            remote, entry, activate=activate, message=message, progress=work.uploaded
        )
        deployment = follow(remote, deployment, work.log)
    seconds = time.monotonic() - started
    url = function_url(remote, entry.id)
    if session.as_json:
        click.echo(json.dumps(_result(deployment, seconds, url)))
    elif deployment["status"] == "ready":
        rest = f"not active: minifn activate {entry.id} {deployment['$id']}"
        if activate:
            rest = url if _is_open(remote, entry.id) else f"closed to guests: minifn run {entry.id}"
        click.echo(printable(f"{entry.id}  ready in {duration(seconds)}  {rest}".rstrip()))
    if deployment["status"] != "ready":
        note(f"minifn: the build of {entry.id} {_ended(deployment)}")
    return bool(deployment["status"] == "ready")


def _is_open(remote: Remote, function_id: str) -> bool:
    """Tell whether guests may call a function: at its address every caller is one."""
    execute = remote.call("GET", f"/functions/{function_id}")["execute"]
    return not {"any", "guests"}.isdisjoint(execute)


def _ended(deployment: dict[str, Any]) -> str:
    verb = "was canceled" if deployment["status"] == "canceled" else "failed"
    return f"{verb}; the active deployment is as before"


def _result(deployment: dict[str, Any], seconds: float, url: str) -> dict[str, Any]:
    logs = {} if deployment["status"] == "ready" else {"buildLogs": deployment["buildLogs"]}
    return {
        "functionId": deployment["resourceId"],
        "deploymentId": deployment["$id"],
        "status": deployment["status"],
        "seconds": round(seconds, 3),
        "url": url,
        **logs,
    }


def function_url(remote: Remote, function_id: str) -> str:
    """Return the address at which a function answers, "" for a key that may not know it."""
    try:
        listed = remote.call("GET", "/minifn/functions", params={"hours": 1})["functions"]
    except RemoteError:
        return ""
    return next((str(one["url"]) for one in listed if one["functionId"] == function_id), "")


class Work:
    """Shows an upload and a build's log on standard error, with bars on a terminal."""

    def __init__(self, function_id: str, *, quiet: bool) -> None:
        self._screen = console(stderr=True)
        self._quiet = quiet
        self._function_id = function_id
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            console=self._screen,
            transient=True,
            disable=quiet or not self._screen.is_terminal,
        )
        self._task = self._progress.add_task(f"packing {function_id}", total=None)
        self._open = ""

    def __enter__(self) -> "Work":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._open:
            self.log("\n")
        self._progress.stop()

    def uploaded(self, sent: int, total: int) -> None:
        """Show how much is uploaded; then that it is built."""
        done = sent == total
        doing = f"building {self._function_id}" if done else f"uploading {self._function_id}"
        self._progress.update(
            self._task,
            description=doing,
            completed=sent,
            total=None if done else total,
            refresh=True,
        )

    def log(self, text: str) -> None:
        """Show whole lines of the log."""
        if self._quiet:
            return
        *lines, self._open = (self._open + text).split("\n")
        for line in lines:
            self._screen.print(Text(printable(line), style="dim"), soft_wrap=True)
