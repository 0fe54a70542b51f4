"""Targets of the measurements: servers in their own processes, each with one request."""

import contextlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.serving import FUNCTIONS, PROJECT, Server, free_port, pack, wait_until

PEERS = Path(__file__).parent / "peers"
BODY = json.dumps({"name": "World"})
#: Programs of Node.js's peers.
PROGRAMS = ("functions-framework", "workerd")
#: The word for the port in a peer's arguments.
PORT = "{port}"
#: The execution of a hello that is measured.
HELLO: Mapping[str, object] = {"body": BODY}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A running server: its request, the status of its answer, and its first process."""

    name: str
    port: int
    request: str
    status: int
    pid: int
    #: Whether the server closes a connection after each answer.
    closes: bool = False


def http_request(
    path: str, host: str, body: str, headers: dict[str, str] | None = None, method: str = "POST"
) -> str:
    """Return the bytes of one keep-alive request with a JSON body, as text."""
    lines = {
        "host": host,
        "content-type": "application/json",
        "content-length": str(len(body)),
        **(headers or {}),
    }
    return (
        f"{method} {path} HTTP/1.1\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        + f"\r\n{body}"
    )


@contextlib.contextmanager
def peer(
    name: str, argv: list[str], *, method: str = "POST", closes: bool = False
) -> Iterator[Target]:
    """Run a peer until the block ends, on a free port, which replaces PORT in its arguments.

    Raises AssertionError when it ends, or does not answer within 20 seconds.
    """
    port = free_port()
    body = BODY if method == "POST" else ""
    process = subprocess.Popen(
        [word.replace(PORT, str(port)) for word in argv],
        cwd=PEERS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    target = Target(
        name=name,
        port=port,
        request=http_request("/", f"127.0.0.1:{port}", body, method=method),
        status=200,
        pid=process.pid,
        closes=closes,
    )

    def is_up() -> bool:
        assert process.poll() is None, f"{name} ended with code {process.returncode}: {argv}"
        return answers(port, method, body)

    try:
        wait_until(is_up, 20, f"{name} answers")
        yield target
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int, method: str, body: str) -> bool:
    """Tell whether a server answers on the port."""
    url, headers = f"http://127.0.0.1:{port}/", {"content-type": "application/json"}
    with contextlib.suppress(httpx.TransportError):
        return httpx.request(method, url, content=body, headers=headers, trust_env=False).is_success
    return False


def bare_uvicorn() -> contextlib.AbstractContextManager[Target]:
    """Run the upper limit: uvicorn with an echo application, without framework and access log."""
    options = ["--no-access-log", "--log-level", "warning", "--port", PORT]
    return peer("bare uvicorn", [sys.executable, "-m", "uvicorn", "uvicorn_app:app", *options])


def lacking() -> str:
    """Return how to install the peer that every comparison needs, "" if it is there."""
    if importlib.util.find_spec("functions_framework") is None:
        return "rates needs the package functions-framework: pip install -e '.[benchmarks]'"
    return ""


def functions_framework(*, asgi: bool) -> contextlib.AbstractContextManager[Target]:
    """Run functions-framework as its documentation does; it has no records and no sandbox."""
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
    return peer(name, [*argv, *flags, "--port", PORT])


def node_peers(folder: Path) -> list[contextlib.AbstractContextManager[Target]]:
    """Return functions-framework for Node.js and workerd, installed into `folder` by npm.

    The list is empty where npm is missing or cannot install them.
    """
    packages = ["@google-cloud/functions-framework", "workerd"]
    quiet = ["--no-audit", "--no-fund", "--silent"]
    command = ["npm", "install", *quiet, "--prefix", str(folder), *packages]
    if shutil.which("npm") is None or subprocess.run(command, check=False).returncode:
        print("no peers for Node.js: npm is missing or could not install them", file=sys.stderr)
        return []
    framework, workerd = (str(folder / f"node_modules/.bin/{name}") for name in PROGRAMS)
    options = ["--source=node", "--target=hello", f"--port={PORT}"]
    address = f"--socket-addr=http=127.0.0.1:{PORT}"
    return [
        peer("functions-framework for Node.js", [framework, *options]),
        peer("workerd", [workerd, "serve", "node/workerd.capnp", address]),
    ]


def deploy_hello(server: Server) -> None:
    """Deploy the measured functions: `hello` (def), `hello-async` (async def), `hello-node`."""
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
    server: Server,
    function_id: str,
    *,
    queued: bool = False,
    note: str = "",
    fields: Mapping[str, object] = HELLO,
) -> Target:
    """Return `POST /executions` of a function, which commits its record before the answer."""
    body = json.dumps({**fields, "async": queued})
    headers = {"x-appwrite-project": PROJECT, "x-appwrite-key": server.key}
    path = f"/v1/functions/{function_id}/executions"
    return Target(
        name=f"minifn {function_id}{note}",
        port=server.port,
        request=http_request(path, f"127.0.0.1:{server.port}", body, headers),
        status=202 if queued else 201,
        pid=server.process.pid,
    )


def domain_target(server: Server, function_id: str, note: str = "") -> Target:
    """Return a request to the function's own domain."""
    host = f"{function_id}.functions.localhost:{server.port}"
    request = http_request("/", host, BODY)
    return Target(
        name=f"minifn {function_id} domain{note}",
        port=server.port,
        request=request,
        status=200,
        pid=server.process.pid,
    )


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def cpu_seconds(pid: int) -> float:
    """Return user and system seconds of a process tree, with its reaped children."""
    total = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def rss_mib(pid: int) -> float:
    """Return resident MiB of a process tree; shared pages count in each process."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 2**20
