"""Clients that keep a server busy and remember every answer it gave, and what a dead server must not leave behind."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import psutil

from tests.serving import FUNCTIONS, Api, Server, mentions, pack

FUNCTION = "pause"


def prepare(api: Api) -> None:
    """Make the function that the clients run and redeploy; its builds take a moment."""
    api.create(
        FUNCTION, api.runtime("python"), entrypoint="main.py", timeout=10, commands="sleep 0.3 && date > built.txt"
    )
    api.deploy(FUNCTION, pack(FUNCTIONS / "pause"))


@dataclass
class Acknowledged:
    """What the server said is kept: execution id -> status, deployment ids, variable id -> value."""

    executions: dict[str, str] = field(default_factory=dict)
    deployments: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


class Pressure:
    """Threads that send sync and async executions, uploads and variables until the server is gone or `stop`."""

    def __init__(self, server: Server, kept: Acknowledged) -> None:
        self._server = server
        self._kept = kept
        self._over = threading.Event()
        self._code = pack(FUNCTIONS / "pause")
        self.failures: list[str] = []
        steps = [self._run, self._run, self._queue, self._queue, self._upload, self._set]
        self._threads = [threading.Thread(target=self._repeat, args=(step,)) for step in steps]

    def start(self) -> None:
        """Start every client."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Wait for every client's last request."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, step: Callable[[Api, int], None]) -> None:
        with self._server.api as api:
            count = 0
            while not self._over.is_set():
                count += 1
                try:
                    step(api, count)
                except httpx.TransportError:
                    return
                except AssertionError as error:
                    self.failures.append(str(error))
                    return

    def _run(self, api: Api, count: int) -> None:
        execution = api.execute(FUNCTION, path="/?seconds=0.01")
        self._kept.executions[execution["$id"]] = execution["status"]

    def _queue(self, api: Api, count: int) -> None:
        execution = api.enqueue(FUNCTION, path=f"/?seconds={count % 5 / 10}")
        self._kept.executions[execution["$id"]] = execution["status"]
        self._over.wait(0.01)

    def _upload(self, api: Api, count: int) -> None:
        deployment = api.upload(FUNCTION, self._code)
        self._kept.deployments.append(deployment["$id"])
        self._over.wait(0.2)

    def _set(self, api: Api, count: int) -> None:
        name, value = f"V{uuid.uuid4().hex}", f"value {count}"
        if count > 20:
            self._over.wait(0.1)
            return
        body = {"key": name, "value": value, "secret": False}
        variable = api.call("POST", f"/functions/{FUNCTION}/variables", 201, json=body)
        self._kept.variables[variable["$id"]] = value


def relatives(server: Server) -> list[psutil.Process]:
    """Every live process that belongs to the server: its descendants, and whoever works in its data directory."""
    mark = str(server.data)
    found = {process.pid: process for process in server.tree()}
    for process in psutil.process_iter():
        if process.pid not in found and mentions(process.pid, mark):
            found[process.pid] = process
    return [process for process in found.values() if alive(process)]


def alive(process: psutil.Process) -> bool:
    """Whether this very process still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def described(processes: list[psutil.Process]) -> list[str]:
    """One line a process, for a failed assertion."""
    lines = []
    for process in processes:
        try:
            lines.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
        except psutil.NoSuchProcess:
            lines.append(f"{process.pid} (gone)")
    return lines
