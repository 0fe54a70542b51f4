"""`minifn demo`: a server on a throw-away data directory with the examples deployed, and lines to paste."""

import json
import shlex
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from minifn.cli.options import configuration, fail, settings
from minifn.cli.remote import Remote, RemoteError
from minifn.cli.serve import describe, run
from minifn.service import Minifn

#: For all the builds together, seconds: two of them install a package.
BUILD_SECONDS = 180
PACKAGE = Path(__file__).parents[1]
#: Example -> what to send it.
BODIES = {"python-hello": "Ada", "python-qrcode": "minifn", "node-hello": "Ada", "node-markdown": "*Hello* **Ada**"}


@click.command()
@settings(("host", "port", "sandbox"))
def demo(**flags: str | bool | None) -> None:
    """Serve the bundled examples from a throw-away directory."""
    with tempfile.TemporaryDirectory(prefix="minifn-demo-", ignore_cleanup_errors=True) as place:
        run(configuration(**flags, data=f"{place}/data"), show)


async def show(minifn: Minifn, url: str) -> None:
    """Deploy every example this machine can run and print how to call it."""
    click.echo("\n".join(describe(minifn, url)))
    project = minifn.config.project
    key = minifn.config.api_key or minifn.data.admin_key.read_text().strip()
    click.echo(f"key      {key}\n")
    started = time.monotonic()
    async with Remote(f"{url}/v1", project, key) as remote:
        families = {runtime["key"] for runtime in await remote.runtimes()}
        for entry in examples():
            family = entry["runtime"].partition("-")[0]
            if family not in families:
                click.echo(f"-- {entry['$id']}: left out, no {family} found on this machine\n")
                continue
            await _deploy(remote, entry, started + BUILD_SECONDS)
            click.echo(f"   curl {shlex.quote(f'{url}/v1/functions/{entry["$id"]}/executions')} ...")
    click.echo("Ctrl-C stops the server and removes its directory.")


async def _deploy(remote: Remote, entry: dict[str, Any], deadline: float) -> None:
    try:
        deployment = await remote.deploy(entry, examples_root() / entry["path"], deadline)
    except RemoteError as error:
        fail(str(error))
    click.echo(deployment["status"])


def examples_root() -> Path:
    """Return where the examples lie: inside an installed package, beside it in a checkout."""
    installed = PACKAGE / "_examples"
    return installed if installed.is_dir() else PACKAGE.parent / "examples"


def examples() -> list[dict[str, Any]]:
    """Return the entries of the examples' `appwrite.json`."""
    described = json.loads((examples_root() / "appwrite.json").read_text())
    return list(described["functions"])
