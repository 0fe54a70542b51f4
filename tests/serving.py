"""A real `minifn serve` in a process of its own, and a small client of its public API."""

import contextlib
import io
import os
import re
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from tests.patience import patient

PROJECT = "minifn"
FUNCTIONS = Path(__file__).parent / "functions"
FINAL_BUILD = ("ready", "failed", "canceled")
FINAL_EXECUTION = ("completed", "failed")

Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found | None], seconds: float, what: str) -> Found:
    """Return the first true value of `condition`.

    Raises AssertionError naming `what` after `seconds`.
    """
    deadline = time.monotonic() + patient(seconds)
    pause = 0.005
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def pack(*folders: Path, extra: Mapping[str, bytes] | None = None) -> bytes:
    """Return a .tar.gz of what the folders hold, and of the `extra` files (name -> content)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    archive.add(path, arcname=str(path.relative_to(folder)))
        for name, content in (extra or {}).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def mentions(pid: int, mark: str) -> bool:
    """Whether a process has `mark` in its command line, working directory or mounts.

    A path that is bound into a sandbox is named there from the root of its own file system, which
    is below `/tmp` where that is a mount.
    """
    place = Path("/proc") / str(pid)
    bound = within_its_mount(Path(mark)) if mark.startswith("/") else mark
    try:
        command, mounts = (place / "cmdline").read_bytes(), (place / "mountinfo").read_bytes()
        folder = str((place / "cwd").readlink())
    except OSError:
        return False
    return mark.encode() in command or bound.encode() in mounts or mark in folder


def within_its_mount(path: Path) -> str:
    """Return a path from the root of the file system that holds it."""
    mount = next(parent for parent in path.parents if parent.is_mount())
    return f"/{path.relative_to(mount)}"


def free_port() -> int:
    """Return a TCP port that nothing on 127.0.0.1 listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One `minifn serve` on a data directory.

    `start` returns when it answers; leaving the `with` stops it.
    """

    def __init__(self, data: Path, **settings: object) -> None:
        self.data = data
        #: 0 until the first start; later starts take the same port again.
        self.port = 0
        self.log = data.with_name(data.name + ".log")
        #: Put before the command; it must become the command, or start it and end.
        self.wrapper: tuple[str, ...] = ()
        #: Templates of Python would count as workers here, and cost each test a start.
        self._settings = {"template_memory": 0, **settings}
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's address. Raises AssertionError before it is known."""
        assert self.port, "the server was not started"
        return f"http://127.0.0.1:{self.port}"

    @property
    def endpoint(self) -> str:
        """The API's address."""
        return f"{self.url}/v1"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's process. Raises AssertionError before `start`."""
        assert self._process is not None, "the server was not started"
        return self._process

    @property
    def key(self) -> str:
        """The key with every scope, made at the first start."""
        return (self.data / "admin.key").read_text().strip()

    @property
    def api(self) -> "Api":
        """A client with the admin key; close it."""
        return Api(self.endpoint, self.key)

    def launch(self) -> None:
        """Start the process and do not wait for it."""
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith("MINIFN_")
        }
        for name, value in self._settings.items():
            environ[f"MINIFN_{name.upper()}"] = str(value)
        command = [
            sys.executable,
            "-m",
            "minifn",
            "serve",
            "--port",
            str(self.port),
            "--data",
            str(self.data),
        ]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [*self.wrapper, *command],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start(self, seconds: float = 20) -> "Server":
        """Start and wait for the first answer. Raises AssertionError with the server's log."""
        self.launch()
        with httpx.Client(trust_env=False) as client:
            try:
                wait_until(lambda: self._answers(client), seconds, "the server answers")
            except AssertionError as error:
                error.add_note(self.log_tail())
                self.kill()
                raise
            except BaseException:
                self.kill()
                raise
        return self

    def _answers(self, client: httpx.Client) -> bool:
        assert self.process.poll() is None, f"the server exited with {self.process.returncode}"
        if not self.port and not self._read_port():
            return False
        with contextlib.suppress(httpx.TransportError):
            return client.get(f"{self.endpoint}/health/version").is_success
        return False

    def _read_port(self) -> int:
        """Take the port from the line that the server prints once it answers."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            found = re.search(rb"^minifn   http://\S+:(\d+)/v1", log.read(), re.MULTILINE)
        self.port = int(found[1]) if found else 0
        return self.port

    def stop(self, seconds: float = 20) -> int:
        """Ask the server to stop and return its exit code.

        Raises AssertionError when it does not stop.
        """
        self.process.terminate()
        try:
            return self.ended(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"the server did not stop in {seconds} s\n{self.log_tail()}"
            ) from None

    def ended(self, seconds: float) -> int:
        """Wait for the process to end by itself, and return its exit code."""
        return self.process.wait(patient(seconds))

    def kill(self) -> None:
        """kill -9 of the server's own process, and of nothing else."""
        self.process.kill()
        self.process.wait()

    def tree(self) -> list[psutil.Process]:
        """The server's process and all its descendants."""
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        return []

    def workers(self) -> list[psutil.Process]:
        """The processes below the server that see built code."""
        return [
            process
            for process in self.tree()[1:]
            if mentions(process.pid, str(self.data / "builds"))
        ]

    def log_tail(self) -> str:
        """The end of what the server printed."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()


class Api:
    """A client of the HTTP API; every method raises AssertionError for an unexpected status."""

    def __init__(self, endpoint: str, key: str = "", timeout_seconds: float = 40) -> None:
        headers = {"x-appwrite-project": PROJECT}
        if key:
            headers["x-appwrite-key"] = key
        self.http = httpx.Client(
            base_url=endpoint, headers=headers, timeout=timeout_seconds, trust_env=False
        )

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def call(self, method: str, path: str, expect: int, **options: Any) -> Any:
        """Send one request and return its JSON (None when the answer is empty)."""
        answer = self.http.request(method, path, **options)
        assert answer.status_code == expect, (
            f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        )
        return answer.json() if answer.content else None

    def runtime(self, family: str) -> str:
        """The newest runtime id of a family that this server can run.

        Raises LookupError when it has none.
        """
        runtimes = self.call("GET", "/functions/runtimes", 200)["runtimes"]
        ids = [runtime["$id"] for runtime in runtimes if runtime["key"] == family]
        if not ids:
            raise LookupError(f"this server can run no {family} functions")
        return str(
            max(ids, key=lambda name: [int(part) for part in name.rpartition("-")[2].split(".")])
        )

    def create(self, function_id: str, runtime: str, **settings: Any) -> Any:
        """Create a function and return it."""
        body = {"functionId": function_id, "name": function_id, "runtime": runtime, **settings}
        return self.call("POST", "/functions", 201, json=body)

    def upload(self, function_id: str, code: bytes, **fields: str) -> Any:
        """Upload an archive in one request and return the deployment, not built yet."""
        return self.call(
            "POST",
            f"/functions/{function_id}/deployments",
            202,
            files={"code": ("code.tar.gz", code)},
            data={"activate": "true", **fields},
        )

    def built(self, function_id: str, deployment_id: str, seconds: float = 60) -> Any:
        """Return the deployment once its build is over."""
        path = f"/functions/{function_id}/deployments/{deployment_id}"

        def over() -> Any:
            deployment = self.call("GET", path, 200)
            return deployment if deployment["status"] in FINAL_BUILD else None

        return wait_until(over, seconds, f"build of {function_id} is over")

    def deploy(self, function_id: str, code: bytes, seconds: float = 60, **fields: str) -> Any:
        """Upload, wait for the build, and return the deployment, which is ready."""
        deployment = self.built(
            function_id, self.upload(function_id, code, **fields)["$id"], seconds
        )
        assert deployment["status"] == "ready", deployment["buildLogs"]
        return deployment

    def execute(self, function_id: str, **request: Any) -> Any:
        """Run a function and return the finished execution."""
        return self.call("POST", f"/functions/{function_id}/executions", 201, json=request)

    def enqueue(self, function_id: str, **request: Any) -> Any:
        """Queue an execution and return it."""
        return self.call(
            "POST", f"/functions/{function_id}/executions", 202, json={**request, "async": True}
        )

    def finished(self, function_id: str, execution_id: str, seconds: float = 30) -> Any:
        """Return a queued execution once it is over."""
        path = f"/functions/{function_id}/executions/{execution_id}"

        def over() -> Any:
            execution = self.call("GET", path, 200)
            return execution if execution["status"] in FINAL_EXECUTION else None

        return wait_until(over, seconds, f"execution of {function_id} is over")

    def pages(self, path: str, name: str) -> Iterator[Any]:
        """Yield every row of a list, page by page, following cursors."""
        queries = ['{"method":"limit","values":[100]}']
        while True:
            parameters = {f"queries[{index}]": query for index, query in enumerate(queries)}
            rows = self.call("GET", path, 200, params=parameters)[name]
            yield from rows
            if len(rows) < 100:
                return
            queries[1:] = [f'{{"method":"cursorAfter","values":["{rows[-1]["$id"]}"]}}']
