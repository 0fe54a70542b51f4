"""`minifn link` and `minifn open`: the server of a directory, and its console."""

import os
import sys
from pathlib import Path
from urllib.parse import quote

import click

from minifn.cli.connecting import FunctionId, Session, json_option, with_server
from minifn.cli.finding import BadAddress, Found, NoServer, address, find_server, shown, write_link
from minifn.cli.options import fail
from minifn.cli.remote import Remote, RemoteError


@click.command()
@click.argument("url", metavar="URL")
@click.option("--key", metavar="KEY", help="an API key  [default: asked for]")
@json_option
def link(url: str, key: str | None, as_json: bool) -> None:
    """Remember a server and a key for this directory.

    Commands in the directories below use them too. They are kept in .minifn/link.json, which only
    you can read and git ignores.
    """
    try:
        named = address(url, "URL")
    except BadAddress as error:
        fail(str(error), status=2)
    secret = key or os.environ.get("MINIFN_API_KEY") or _asked()
    project = os.environ.get("MINIFN_PROJECT", "minifn")
    found = Found(url=named, project=project, key=secret, source="")
    try:
        with Remote(named, project, secret) as remote:
            remote.call(
                "GET", "/functions", params={"queries[]": '{"method":"limit","values":[1]}'}
            )
        path = write_link(Path.cwd(), found)
        found = find_server(Path.cwd(), {})
    except (RemoteError, NoServer, OSError) as error:
        fail(str(error))
    if as_json:
        Session(remote, found, as_json).show([shown(found)])
    else:
        click.echo(f"{path.parent.parent} is linked to {named}")


@click.command("open")
@click.argument(
    "function_id", metavar="[FUNCTION]", type=FunctionId(), default=None, required=False
)
@with_server
def open_console(session: Session, function_id: str | None) -> None:
    """Open the console in the browser, and print its address.

    FUNCTION opens the page of that function.

    With the key that has every scope the address signs in, once and within ten minutes. Without a
    terminal it is only printed.
    """
    url = f"{session.found.url}/console/"
    if function_id:
        session.remote.call("GET", f"/functions/{function_id}")
        url += f"project-{quote(session.found.project)}/functions/function-{function_id}"
    url += _sign_in(session)
    if session.as_json:
        session.show([{"url": url}])
        return
    click.echo(url)
    if sys.stdout.isatty():
        from minifn.cli.browser import open_link

        open_link(url)


def _sign_in(session: Session) -> str:
    """Return the query that signs a visitor of the console in, "" for a key that may not."""
    try:
        link = session.remote.call("POST", "/minifn/sign-in-links")
    except RemoteError as error:
        # Another key, or a server without a console.
        if error.status not in (401, 403, 404):
            raise
        return ""
    return f"?token={link['token']}"


def _asked() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    return str(click.prompt("API key", hide_input=True, err=True))
