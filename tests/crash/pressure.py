"""Clients that keep a server busy with everything at once, and remember every answer it gave."""

import os
import random
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

from tests.serving import FUNCTIONS, Api, Server, pack

#: Executed, redeployed, and configured.
FUNCTION = "pause"
#: Its deployments come in chunks, are activated, canceled and deleted.
CHURNED = "churned"
#: Runs for each event.
LISTENER = "listener"
EVENT = "orders.*.create"
CHUNK_BYTES = 5 * 1024 * 1024


def prepare(api: Api) -> None:
    """Make the functions that the clients work on; builds of FUNCTION take a moment."""
    runtime = api.runtime("python")
    api.create(FUNCTION, runtime, entrypoint="main.py", timeout=10, commands="sleep 0.3 && date > built.txt")
    api.create(CHURNED, runtime, entrypoint="main.py")
    api.create(LISTENER, runtime, entrypoint="main.py", events=[EVENT])
    for function_id, folder in ((FUNCTION, "pause"), (CHURNED, "hello"), (LISTENER, "hello")):
        api.deploy(function_id, pack(FUNCTIONS / folder))


@dataclass
class Acknowledged:
    """What the server said it has done. What was asked to go is nowhere until the server said it is gone."""

    #: Execution id -> status.
    executions: dict[str, str] = field(default_factory=dict)
    scheduled: set[str] = field(default_factory=set)
    deployments: list[str] = field(default_factory=list)
    #: Of CHURNED: finished uploads, ids of first chunks, and what was deleted.
    churned: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    #: Variable id -> value.
    variables: dict[str, str] = field(default_factory=dict)
    variables_deleted: set[str] = field(default_factory=set)
    #: Rule id -> domain.
    rules: dict[str, str] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)
    functions_deleted: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    #: How many executions events have caused.
    caused: int = 0


class Pressure:
    """Threads that each repeat one kind of work until the server is gone or `stop`."""

    def __init__(self, server: Server, kept: Acknowledged, seed: int = 0) -> None:
        self._server = server
        self._kept = kept
        self._over = threading.Event()
        self._random = random.Random(seed)
        self._code = pack(FUNCTIONS / "pause")
        self._small = pack(FUNCTIONS / "hello")
        self._large = pack(FUNCTIONS / "hello", extra={"padding.bin": os.urandom(CHUNK_BYTES + 1000)})
        self.failures: list[str] = []
        steps = [self._run, self._run, self._queue, self._queue, self._schedule, self._upload, self._churn]
        steps += [self._send_chunks, self._set, self._add_rule, self._make_function, self._emit, self._make_key]
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

    def _schedule(self, api: Api, count: int) -> None:
        at = (datetime.now(UTC) + timedelta(hours=1)).replace(second=0, microsecond=0)
        execution = api.enqueue(FUNCTION, scheduledAt=at.isoformat())
        self._kept.scheduled.add(execution["$id"])
        self._over.wait(0.1)

    def _upload(self, api: Api, count: int) -> None:
        deployment = api.upload(FUNCTION, self._code)
        self._kept.deployments.append(deployment["$id"])
        self._over.wait(0.4)

    def _churn(self, api: Api, count: int) -> None:
        """Upload, and delete or activate something at whatever stage it is."""
        path = f"/functions/{CHURNED}/deployments"
        mine = api.upload(CHURNED, self._small, activate="false")["$id"]
        self._over.wait(self._random.random())
        if count % 3 == 0:
            answer = api.http.patch(f"/functions/{CHURNED}/deployment", json={"deploymentId": mine})
            assert answer.status_code in (200, 400), answer.text
            self._kept.churned.add(mine)
            return
        if count % 3 == 1:
            answer = api.http.patch(f"{path}/{mine}/status")
            assert answer.status_code in (200, 400), answer.text
        api.call("DELETE", f"{path}/{mine}", 204)
        self._kept.deleted.add(mine)

    def _send_chunks(self, api: Api, count: int) -> None:
        deployment_id = send_chunk(api, self._large, 0)
        self._kept.begun.add(deployment_id)
        self._over.wait(self._random.random())
        send_chunk(api, self._large, CHUNK_BYTES, deployment_id)
        self._kept.churned.add(deployment_id)
        self._over.wait(1)

    def _set(self, api: Api, count: int) -> None:
        path = f"/functions/{FUNCTION}/variables"
        value = f"value {count}"
        made = api.call("POST", path, 201, json={"key": f"V{uuid.uuid4().hex}", "value": value, "secret": False})["$id"]
        if count % 2:
            self._kept.variables[made] = value
        else:
            api.call("DELETE", f"{path}/{made}", 204)
            self._kept.variables_deleted.add(made)
        self._over.wait(0.02 * count)

    def _add_rule(self, api: Api, count: int) -> None:
        domain = f"d{uuid.uuid4().hex}.example.com"
        rule = api.call("POST", "/proxy/rules/function", 201, json={"domain": domain, "functionId": FUNCTION})
        self._kept.rules[rule["$id"]] = domain
        self._over.wait(0.05)

    def _make_function(self, api: Api, count: int) -> None:
        """Make a function with a deployment; delete every other one, with what its build is doing."""
        function_id = uuid.uuid4().hex
        api.create(function_id, api.runtime("python"), entrypoint="main.py")
        if count % 2:
            self._kept.functions.add(function_id)
        else:
            api.upload(function_id, self._small)
            self._over.wait(self._random.random() / 2)
            api.call("DELETE", f"/functions/{function_id}", 204)
            self._kept.functions_deleted.add(function_id)
        self._over.wait(0.2)

    def _emit(self, api: Api, count: int) -> None:
        answer = api.call("POST", "/events", 202, json={"event": f"orders.{count}.create", "payload": {"count": count}})
        self._kept.caused += answer["total"]
        self._over.wait(0.05)

    def _make_key(self, api: Api, count: int) -> None:
        """Make a key by the command, a process of its own, while the server runs."""
        command = [sys.executable, "-m", "minifn", "keys", "create", "--name", "crash", "--scope", "functions.read"]
        done = subprocess.run(
            [*command, "--data", str(self._server.data)], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        self._kept.keys.add(done.stdout.strip())
        self._over.wait(1.5)


def send_chunk(api: Api, code: bytes, start: int, deployment_id: str = "") -> str:
    """Send the chunk of `code` that begins at `start` to CHURNED, and return its deployment's id."""
    chunk = code[start : start + CHUNK_BYTES]
    headers = {"content-range": f"bytes {start}-{start + len(chunk) - 1}/{len(code)}"}
    if deployment_id:
        headers["x-appwrite-id"] = deployment_id
    files = {"code": ("code.tar.gz", chunk)}
    path = f"/functions/{CHURNED}/deployments"
    return str(api.call("POST", path, 202, files=files, data={"activate": "false"}, headers=headers)["$id"])
