"""`minifn serve`: the server in this process, and the lines it prints when it answers."""

import ipaddress
import os
from pathlib import Path

import click

from minifn.cli.options import OPTIONS, configuration, fail, point_out_mistyped, settings
from minifn.config import Config
from minifn.embed import Minifn
from minifn.server import Ready, ServerFailed, run


@click.command()
@settings(OPTIONS)
def serve(**flags: str | bool | None) -> None:
    """Serve functions until a signal."""
    serve_until_signal(configuration(**flags), announce)


def serve_until_signal(config: Config, ready: Ready) -> None:
    """Serve; end the process with one line when the server fails."""
    point_out_mistyped(os.environ)
    try:
        run(config, ready)
    except ServerFailed as error:
        fail(str(error))


async def announce(minifn: Minifn, url: str) -> None:
    """Print how to reach the server, and the key when this start made it."""
    click.echo("\n".join(describe(minifn, url)))
    if folder := function_around(minifn.data.root):
        click.echo(
            f"warning  the data directory lies in {folder}, the folder of a function: tools other"
            " than minifn upload its keys with the code. Name another one with --data"
        )
    if minifn.admin_key_is_new:
        click.echo(f"key      {minifn.admin_key}  (new; shown this once)")


def describe(minifn: Minifn, url: str) -> list[str]:
    """Return the first lines of a server: its addresses, its files, its engine and warnings."""
    key_file = "MINIFN_API_KEY" if minifn.config.api_key else str(minifn.data.admin_key)
    exposed = not is_loopback(minifn.config.host) and not minifn.engine.namespaces
    warning = [
        "warning  other machines reach this server, and its engine does not isolate: see"
        " `minifn doctor`"
    ]
    weaker = [
        f"warning  WEAKER ENGINE THAN AT THE LAST START: {minifn.engine.name}, it was"
        f" {minifn.stronger_before}. `minifn doctor` says why; --sandbox"
        f" {minifn.stronger_before} refuses to start instead"
    ]
    return [
        f"minifn   {url}/v1  (project {minifn.config.project})",
        f"docs     {url}/docs/",
        f"console  {console_link(minifn, url)}  (good once, for ten minutes)",
        f"data     {minifn.data.root}",
        f"sandbox  {minifn.engine.name}: {minifn.engine.strength}",
        f"key in   {key_file}",
        *([f"cluster  {minifn.config.cluster}: `minifn nodes` lists it"] if minifn.cluster else ()),
        *(warning if exposed else ()),
        *(weaker if minifn.stronger_before else ()),
    ]


def function_around(data: Path) -> Path | None:
    """Return the folder of a function that a data directory lies in, None without one.

    That is a folder of the project file there or above, or the directory's own if it has an entry
    file.
    """
    from minifn.cli.project_file import ProjectError, ProjectFile
    from minifn.languages.entry_files import entry_files

    data = data.resolve()
    try:
        project = ProjectFile.find(data.parent)
        folders = [entry.folder for entry in project.functions()] if project else []
    except (ProjectError, OSError):
        # Commands that need the file say so.
        folders = []
    if entry_files(data.parent):
        folders.append(data.parent)
    return next((folder for folder in folders if data.is_relative_to(folder)), None)


def console_link(minifn: Minifn, url: str) -> str:
    """Return the address of the console that signs its first visitor in."""
    return f"{url}/console/?token={minifn.sign_in_links.new()}"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
