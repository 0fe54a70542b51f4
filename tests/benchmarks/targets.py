"""What is measured: each target is a server in its own processes and one request to send it."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.serving import FUNCTIONS, PROJECT, Server, free_port, pack, wait_until

PEERS = Path(__file__).parent / "peers"
BODY = json.dumps({"name": "World"})


@dataclass(frozen=True, kw_only=True)
class Target:
    """A running server: the request that is sent to it, the status that answers it, and its first process."""

    name: str
    port: int
    request: str
    status: int
    pid: int


def http_request(path: str, host: str, body: str, headers: dict[str, str] | None = None) -> str:
    """Return the bytes of one keep-alive POST with a JSON body, as text."""
    lines = {
        "host": host,
        "content-type": "application/json",
        "content-length": str(len(body)),
        **(headers or {}),
    }
    return (
        f"POST {path} HTTP/1.1\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        + f"\r\n{body}"
    )


@contextlib.contextmanager
def peer(name: str, argv: list[str]) -> Iterator[Target]:
    """Run a peer on a free port, given as its last argument, until the block ends."""
    port = free_port()
    process = subprocess.Popen(
        [*argv, str(port)],
        cwd=PEERS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    target = Target(
        name=name,
        port=port,
        request=http_request("/", f"127.0.0.1:{port}", BODY),
        status=200,
        pid=process.pid,
    )
    try:
        wait_until(lambda: answers(port), 20, f"{name} answers")
        yield target
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int) -> bool:
    """Whether a server greets on the port."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.post(
            f"http://127.0.0.1:{port}/", json={"name": "World"}, trust_env=False
        ).is_success
    return False


def bare_uvicorn() -> contextlib.AbstractContextManager[Target]:
    """The limit: uvicorn with an application that only echoes, no framework and no access log."""
    options = ["--no-access-log", "--log-level", "warning", "--port"]
    return peer("bare uvicorn", [sys.executable, "-m", "uvicorn", "uvicorn_app:app", *options])


def functions_framework(*, asgi: bool) -> contextlib.AbstractContextManager[Target]:
    """functions-framework for Python as its documentation starts it; keeps no record and has no sandbox."""
    target, flags = ("hello_async", ["--asgi"]) if asgi else ("hello", [])
    name = "functions-framework --asgi" if asgi else "functions-framework"
    argv = [
        sys.executable,
        "-m",
        "functions_framework",
        "--source",
        "function.py",
        "--target",
        target,
    ]
    return peer(name, [*argv, *flags, "--port"])


def deploy_hello(server: Server) -> None:
    """Deploy the functions that are measured: `hello` (def), `hello-async` (async def) and `hello-node`."""
    with server.api as api:
        for name, family, folder, entrypoint in (
            ("hello", "python", "hello", "main.py"),
            ("hello-async", "python", "hello_async", "main.py"),
            ("hello-node", "node", "hello", "main.js"),
        ):
            with contextlib.suppress(LookupError):
                api.create(name, api.runtime(family), execute=["any"], entrypoint=entrypoint)
                api.deploy(name, pack(FUNCTIONS / folder))


def execution_target(
    server: Server, function_id: str, *, queued: bool = False, note: str = ""
) -> Target:
    """`POST /executions` of a function of a running server: its record is committed before the answer."""
    body = json.dumps({"body": BODY, "async": queued})
    headers = {"x-appwrite-project": PROJECT, "x-appwrite-key": server.key}
    path = f"/v1/functions/{function_id}/executions"
    return Target(
        name=f"minifn {function_id}{note}",
        port=server.port,
        request=http_request(path, f"127.0.0.1:{server.port}", body, headers),
        status=202 if queued else 201,
        pid=server.process.pid,
    )


def domain_target(server: Server, function_id: str) -> Target:
    """The same function through its own domain."""
    host = f"{function_id}.functions.localhost:{server.port}"
    request = http_request("/", host, BODY)
    return Target(
        name=f"minifn {function_id} domain",
        port=server.port,
        request=request,
        status=200,
        pid=server.process.pid,
    )


def tree(pid: int) -> list[psutil.Process]:
    """A process and all its descendants."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def cpu_seconds(pid: int) -> float:
    """User and system time of a process tree, with the children it has reaped."""
    total = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def rss_mib(pid: int) -> float:
    """Resident memory of a process tree, shared pages counted in each process."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 2**20
