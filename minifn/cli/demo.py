"""`minifn demo`: a server on a temporary data directory, with the examples and lines to paste."""

import asyncio
import concurrent.futures
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import click

from minifn.cli.examples import example, examples, examples_root
from minifn.cli.options import configuration, settings
from minifn.cli.project_file import FunctionEntry
from minifn.cli.remote import Remote, RemoteError
from minifn.cli.serve import describe, serve_until_signal
from minifn.cli.uploading import deploy
from minifn.embed import Minifn
from minifn.log_text import printable

#: Seconds for all builds together: two of them install a package.
BUILD_SECONDS = 180
#: Lines shown of a failed build's log.
BUILD_LOG_LINES = 8
#: Examples that greet, the one that is called first.
GREETERS = ("python-hello", "node-hello")
PAGE = "python-page"


@click.command()
@settings(("host", "port", "sandbox"))
def demo(**flags: str | bool | None) -> None:
    """Serve the bundled examples from a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="minifn-demo-", ignore_cleanup_errors=True) as place:
        # Functions with their own uid must be able to pass through.
        Path(place).chmod(0o711)
        serve_until_signal(configuration(**flags, data=f"{place}/minifn-data"), show)


async def show(minifn: Minifn, url: str) -> None:
    """Deploy the examples that this machine can run at once, and print what to try."""
    click.echo("\n".join(describe(minifn, url)))
    click.echo("\nDeploying the examples.")
    deadline = time.monotonic() + BUILD_SECONDS
    with Remote(url, minifn.config.project, minifn.admin_key) as remote:
        listed = await _apart(remote.call, "GET", "/functions/runtimes")
        runtimes = {runtime["key"]: runtime["$id"] for runtime in listed["runtimes"]}
        begun = []
        async with asyncio.TaskGroup() as tasks:
            for entry in examples():
                family = entry["runtime"].partition("-")[0]
                if family in runtimes and minifn.runtimes.families()[family].shared:
                    place = examples_root() / entry["path"]
                    click.echo(f"{entry['$id']}: left out, a first build takes a minute: {place}")
                elif family in runtimes:
                    here = example(entry["$id"], runtimes[family])
                    begun.append(tasks.create_task(_deploy(remote, here, deadline)))
                else:
                    click.echo(f"{entry['$id']}: left out, no {family} found on this machine")
    ready = {name for task in begun if (name := task.result())}
    headers = await asyncio.to_thread(write_headers, minifn)
    program = shutil.which("curl")
    click.echo("\n".join(("", *lines(minifn, url, ready, headers if program else None))))
    click.echo("\nCtrl-C stops the server and removes its directory.")


def write_headers(minifn: Minifn) -> Path:
    """Write the headers that name the project and the key to a file, for `curl -H @FILE`."""
    path = minifn.data.root.parent / "headers"
    path.touch(0o600)
    path.write_text(
        f"x-appwrite-project: {minifn.config.project}\nx-appwrite-key: {minifn.admin_key}\n"
    )
    return path


def lines(minifn: Minifn, url: str, ready: Collection[str], headers: Path | None) -> list[str]:
    """Return what to try: a page and three commands; without `headers` none is curl."""
    config = minifn.config

    def direct(name: str) -> str:
        return f"http://{name}.{config.functions_domain}:{config.port}/"

    shown = [f"page     {direct(PAGE)}"] if PAGE in ready else []
    hello = next((name for name in GREETERS if name in ready), "")
    if not hello:
        return shown
    if headers is None:
        place = shlex.quote(str(minifn.data.root.parent))
        calls = [f"cd {place}", f"minifn run {hello} Ada", "minifn ls"]
    else:
        given = f"curl -s -H @{shlex.quote(str(headers))}"
        calls = [
            f"curl -s -d Ada {direct(hello)}",
            f"{given} -d body=Ada {url}/v1/functions/{hello}/executions",
            f"{given} {url}/v1/minifn/functions",
        ]
    return [*shown, f"try      {calls[0]}", *(f"         {call}" for call in calls[1:])]


async def _deploy(remote: Remote, entry: FunctionEntry, deadline: float) -> str:
    """Deploy an example; return its id when it is ready, otherwise ""."""
    started = time.monotonic()
    try:
        deployment = await _apart(deploy, remote, entry, deadline)
    except RemoteError as error:
        click.echo(printable(f"{entry.id}: {error}"))
        return ""
    if deployment["status"] == "ready":
        seconds = time.monotonic() - started
        click.echo(f"{entry.id}: {entry.settings['name']}, ready after {seconds:.1f} s")
        return entry.id
    tail = printable(deployment["buildLogs"]).strip().splitlines()[-BUILD_LOG_LINES:]
    click.echo(f"{entry.id}: the build {deployment['status']}")
    click.echo("\n".join(f"  {line}" for line in tail))
    return ""


async def _apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `work` does in a thread of its own: the loop's threads serve its requests."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
    finally:
        pool.shutdown(wait=False)
