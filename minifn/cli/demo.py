"""`minifn demo`: a server on a temporary data directory, with the examples and lines to paste."""

import asyncio
import concurrent.futures
import hashlib
import hmac
import json
import shlex
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from minifn.cli.examples import example, examples, examples_root
from minifn.cli.options import configuration, settings
from minifn.cli.project_file import FunctionEntry
from minifn.cli.remote import Remote, RemoteError
from minifn.cli.serve import describe, serve_until_signal
from minifn.cli.uploading import deploy
from minifn.config import Config
from minifn.embed import Minifn
from minifn.log_text import printable

#: Seconds for all builds together: two of them install a package.
BUILD_SECONDS = 180
#: Lines shown of a failed build's log.
BUILD_LOG_LINES = 8
#: Event sent to the examples that subscribe to events.
EVENT = {"event": "users.42.create", "payload": {"name": "Ada", "email": "ada@example.com"}}
#: Body that the webhooks get, signed with the secret of their entry.
WEBHOOK = '{"repository": {"full_name": "ada/site"}}'
#: Order that the invoices are made of.
ORDER = '{"number": "7", "to": "Ada", "items": [{"text": "Tea", "count": 2, "price": 3.5}]}'
#: Command that the chat bots get, with the token of their entry.
COMMAND = "token=change+me&text=2d6&user_name=ada"
#: Example -> the body of its request.
BODIES = {
    "python-hello": "Ada",
    "python-qrcode": "minifn",
    "node-hello": "Ada",
    "node-markdown": "*Hello* **Ada**",
    "python-webhook": WEBHOOK,
    "node-webhook": WEBHOOK,
    "go-webhook": WEBHOOK,
    "python-invoice": ORDER,
    "node-invoice": ORDER,
    "cpp-invoice": ORDER,
    "python-chatbot": COMMAND,
    "node-chatbot": COMMAND,
    "go-chatbot": COMMAND,
}


@click.command()
@settings(("host", "port", "sandbox"))
def demo(**flags: str | bool | None) -> None:
    """Serve the bundled examples from a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="minifn-demo-", ignore_cleanup_errors=True) as place:
        # Functions with their own uid must be able to pass through.
        Path(place).chmod(0o711)
        serve_until_signal(configuration(**flags, data=f"{place}/data"), show)


async def show(minifn: Minifn, url: str) -> None:
    """Deploy the examples that this machine can run at once and print how to call each."""
    click.echo("\n".join(describe(minifn, url)))
    key = minifn.admin_key
    click.echo("\nDeploying the examples; each is shown as soon as it is ready.")
    deadline = time.monotonic() + BUILD_SECONDS
    with Remote(url, minifn.config.project, key) as remote:
        listed = await _apart(remote.call, "GET", "/functions/runtimes")
        runtimes = {runtime["key"]: runtime["$id"] for runtime in listed["runtimes"]}
        async with asyncio.TaskGroup() as tasks:
            for entry in examples():
                family = entry["runtime"].partition("-")[0]
                if family in runtimes and minifn.runtimes.families()[family].shared:
                    place = examples_root() / entry["path"]
                    click.echo(f"\n{entry['$id']}: left out, a first build takes a minute: {place}")
                elif family in runtimes:
                    here = example(entry["$id"], runtimes[family])
                    tasks.create_task(
                        _deploy(remote, here, lines(minifn.config, url, key, entry), deadline)
                    )
                else:
                    click.echo(f"\n{entry['$id']}: left out, no {family} found on this machine")
    click.echo("\nCtrl-C stops the server and removes its directory.")


def lines(config: Config, url: str, key: str, entry: Mapping[str, Any]) -> list[str]:
    """Return command lines for an example: a call of its domain and of the API, or an event."""
    function_id = entry["$id"]
    executions = f"{url}/v1/functions/{function_id}/executions"

    def call(target: str, body: Mapping[str, Any] | None = None) -> str:
        headers = {"x-appwrite-project": config.project, "x-appwrite-key": key}
        given: tuple[str, ...] = ()
        if body is not None:
            headers["content-type"] = "application/json"
            given = ("-d", json.dumps(body))
        return shlex.join(["curl", "-s", *headers_argv(headers), *given, target])

    if entry["events"]:
        return [call(f"{url}/v1/events", EVENT), call(executions)]
    if entry["schedule"]:
        return [call(executions)]
    body = BODIES.get(function_id, "")
    headers = signed_headers(entry, body)
    sent = [*headers_argv(headers), *(("-d", body) if body else ())]
    direct = f"http://{function_id}.{config.functions_domain}:{config.port}/"
    return [
        shlex.join(["curl", "-s", *sent, direct]),
        call(executions, {"body": body, **({"headers": headers} if headers else {})}),
    ]


def signed_headers(entry: Mapping[str, Any], body: str) -> dict[str, str]:
    """Return the headers of a webhook with this body, none for another example."""
    secrets = {one["key"]: one["value"] for one in entry.get("vars", ())}
    if "WEBHOOK_SECRET" not in secrets:
        return {}
    digest = hmac.new(secrets["WEBHOOK_SECRET"].encode(), body.encode(), hashlib.sha256)
    return {
        "content-type": "application/json",
        "x-github-event": "push",
        "x-hub-signature-256": f"sha256={digest.hexdigest()}",
    }


def headers_argv(headers: Mapping[str, str]) -> list[str]:
    """Return the arguments by which curl sends headers."""
    return [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]


async def _deploy(remote: Remote, entry: FunctionEntry, shown: list[str], deadline: float) -> None:
    started = time.monotonic()
    try:
        deployment = await _apart(deploy, remote, entry, deadline)
    except RemoteError as error:
        click.echo(printable(f"\n{entry.id}: {error}"))
        return
    if deployment["status"] == "ready":
        seconds = time.monotonic() - started
        click.echo(f"\n{entry.id}: {entry.settings['name']}, ready after {seconds:.1f} s")
        click.echo("\n".join(f"  {line}" for line in shown))
    else:
        tail = printable(deployment["buildLogs"]).strip().splitlines()[-BUILD_LOG_LINES:]
        click.echo(
            "\n".join(
                [
                    f"\n{entry.id}: the build {deployment['status']}",
                    *(f"  {line}" for line in tail),
                ]
            )
        )


async def _apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `work` does in a thread of its own: the loop's threads serve its requests."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
    finally:
        pool.shutdown(wait=False)
