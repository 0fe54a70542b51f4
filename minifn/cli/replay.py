"""`minifn replay`: the request of an earlier execution once more."""

import difflib
import sys
from collections.abc import Mapping
from typing import Any

import click
from rich.text import Text

from minifn.cli.connecting import Id, Session, note, with_server
from minifn.cli.run import FunctionCall, execute, failed, read_body, show_body
from minifn.cli.tables import console
from minifn.log_text import printable

#: Headers that differ in each answer or request.
VOLATILE = frozenset({"date", "x-appwrite-execution-id", "content-length"})
#: Beginning of the names of headers that the server adds to a request.
SERVERS_OWN = "x-appwrite-"
#: First character of a line of a difference -> its colour.
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command()
@click.argument("execution_id", metavar="EXECUTION", type=Id())
@click.argument("body", metavar="[BODY | @FILE | -]", default="")
@click.option("--deployment", metavar="ID", type=Id(), help="send it to this deployment")
@click.option("--diff", is_flag=True, help="show how status, headers, logs and errors differ")
@with_server
def replay(
    session: Session, execution_id: str, body: str, deployment: str | None, diff: bool
) -> None:
    """Send the request of an execution again.

    Method, path and headers are the same. minifn keeps no bodies of requests: give it again as
    BODY. The active deployment answers, or with --deployment another ready deployment, which does
    not become active. With --diff the exit code is 1 when the executions differ.
    """
    before = session.remote.call("GET", f"/minifn/executions/{execution_id}")
    call = FunctionCall(
        body=read_body(body),
        path=before["requestPath"],
        method=before["requestMethod"],
        headers={
            one["name"]: one["value"]
            for one in before["requestHeaders"]
            if not one["name"].startswith(SERVERS_OWN) and one["name"] not in VOLATILE
        },
    )
    after = execute(session.remote, _owner(session, before["functionId"], deployment), call)
    # The stored one, because fewer headers of an answer are stored.
    stored = session.remote.call("GET", f"/minifn/executions/{after['$id']}") if diff else {}
    changes = differences(before, stored) if diff else []
    if session.as_json:
        text = after["responseBody"].decode(errors="replace")
        session.show([{**after, "responseBody": text, **({"diff": changes} if diff else {})}])
    elif diff:
        for line in changes:
            console().print(Text(printable(line), COLOURS.get(line[0], "")), soft_wrap=True)
    else:
        show_body(after["responseBody"])
    if changes or (failed(after) and not diff):
        note(f"minifn: {after['$id']} {'differs' if changes else after['status']}")
        sys.exit(1)
    if diff:
        note(f"minifn: {after['$id']} does not differ")


def _owner(session: Session, function_id: str, deployment: str | None) -> str:
    """Return the path of the function, or of its deployment. Raises RemoteError for another's."""
    path = f"/functions/{function_id}"
    if deployment is None:
        return path
    found = session.remote.call("GET", f"{path}/deployments/{deployment}")
    return f"/minifn/deployments/{found['$id']}"


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the lines of a unified difference of two executions, none when they are the same."""
    old, new = (_described(one).splitlines() for one in (before, after))
    lines = difflib.unified_diff(old, new, before["$id"], after["$id"], lineterm="", n=1)
    return list(lines)


def _described(execution: Mapping[str, Any]) -> str:
    headers = [
        f"{one['name'].lower()}: {one['value']}"
        for one in execution["responseHeaders"] or ()
        if one["name"].lower() not in VOLATILE
    ]
    status = f"{execution['status']} {execution['responseStatusCode']}"
    logs = [f"{name}:\n{execution[name]}" for name in ("logs", "errors") if execution[name]]
    return "\n".join([status, *sorted(headers), *logs])
