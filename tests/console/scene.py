"""A server with something to look at: functions that run, fail and print, and their history."""

import contextlib
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from minifn.ids import new_id
from minifn.models import Execution
from minifn.store import executions
from minifn.store.connection import connect
from tests.serving import Api, Server, pack

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

MINUTE_MS = 60_000
#: Output by which a function tries to reach the page with more than text.
MARKUP = "<img src=x onerror=\"document.title='stolen'\">"
TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "/usr/local/server/src/function/main.py", line 12, in total\n'
    '    return order["total"]\n'
    "KeyError: 'total'\n"
)

HELLO = b"""\
import time

MARKUP = '''<img src=x onerror="document.title='stolen'">'''


def main(context):
    path = context.req.path
    if path == "/hostile":
        context.log(MARKUP)
        context.log("\\x1b[31mred\\x1b[0m plain \\x1b]0;title\\x07\\x1b[2Jend")
        context.log("long" + "x" * 1_000_000)
        context.log("\\u202eevil\\u202c \\u05e9\\u05dc\\u05d5\\u05dd")
        return context.res.text(MARKUP, 200, {"content-type": "text/html"})
    if path == "/slow":
        for number in range(20):
            context.log(f"tick {number}")
            time.sleep(0.1)
        return context.res.text("done")
    context.log("Hello from the log")
    return context.res.json({"greeting": "Hello!", "path": path, "tags": ["a", {"b": None}]})
"""
BROKEN = b"def main(context):\n    return context.res.text('never'\n"


def deploy(api: Api) -> None:
    """Deploy the functions; a failing build is among them."""
    runtime = api.runtime("python")
    api.create("hello", runtime, entrypoint="main.py", execute=["any"], description="Greets.")
    api.create("report", runtime, entrypoint="main.py", schedule="0 5 * * *")
    for name in ("orders", "draft", "empty"):
        api.create(name, runtime, entrypoint="main.py")
    code = pack(extra={"main.py": HELLO})
    for name, archive in {
        "hello": code,
        "orders": code,
        "report": code,
        "draft": pack(extra={"main.py": BROKEN}),
    }.items():
        api.upload(name, archive)
    for name in ("hello", "orders", "report", "draft"):
        status = api.built(name, newest(api, name))["status"]
        assert status == ("failed" if name == "draft" else "ready"), name
    for key, value, secret in (("GREETING", "Hello", False), ("TOKEN", "swordfish", True)):
        variable = {"variableId": key, "key": key, "value": value, "secret": secret}
        api.call("POST", "/functions/hello/variables", 201, json=variable)


def newest(api: Api, function_id: str) -> str:
    """Return the id of a function's newest deployment."""
    found = api.call("GET", f"/functions/{function_id}/deployments", 200)["deployments"]
    return str(max(found, key=lambda one: str(one["$createdAt"]))["$id"])


def history(data: Path, function_id: str, count: int, *, failing: float = 0.0) -> None:
    """Insert finished executions of the last hour, the newest first in time."""
    numbers = random.Random(count)
    now = int(time.time() * 1000)
    with contextlib.closing(connect(data / "minifn.db")) as conn:
        conn.execute("BEGIN IMMEDIATE")
        ages = sorted(numbers.betavariate(1.2, 1.6) * 58 + 1 for _ in range(count))
        for number, minutes in enumerate(ages):
            at = now - round(minutes * MINUTE_MS)
            failed = numbers.random() < failing
            seconds = round(0.002 + numbers.random() ** 6 * 0.2, 4)
            execution = Execution(
                id=new_id(),
                created_at=at,
                updated_at=at + round(seconds * 1000) + 1,
                function_id=function_id,
                status="failed" if failed else "completed",
                request_method=numbers.choice(["GET", "POST"]),
                request_path=f"/{function_id}/{number}",
                response_status_code=500 if failed else 200,
                logs="" if number % 3 else f"row {number}\n",
                errors=TRACEBACK if failed else "",
                duration_seconds=seconds,
            )
            executions.insert(conn, execution)
        conn.execute("COMMIT")


def sign_in_link(server: Server) -> str:
    """Return the one-time link that the server printed at its start."""
    found = re.search(r"^console  (http\S+)", server.log.read_text(), re.MULTILINE)
    assert found, server.log_tail()
    return found[1]


def sign_in(context: "BrowserContext", server: Server) -> None:
    """Sign a browser in, as the console's page does."""
    secret = "kept by the page"
    answer = context.request.post(
        f"{server.endpoint}/minifn/session",
        data={"key": server.key},
        headers={"x-minifn-console": secret, "origin": server.url},
    )
    assert answer.ok, answer.text()
    context.add_init_script(f"localStorage.setItem('page', '{secret}')")


@contextlib.contextmanager
def staged(data: Path) -> Iterator[Server]:
    """Run a server with the scene."""
    with Server(data) as server, server.api as api:
        deploy(api)
        history(server.data, "hello", 600)
        history(server.data, "orders", 150, failing=0.1)
        yield server
