"""Clients that keep a server busy with everything at once, and record every answer."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from tests.crash.acknowledged import Acknowledged, Witness
from tests.git.repositories import Repository, git
from tests.serving import FUNCTIONS, Api, Server, pack

#: A function that is executed, redeployed and configured.
FUNCTION = "pause"
#: A function whose deployments come in chunks, and are activated, canceled and deleted.
CHURNED = "churned"
#: A function whose settings and variables change, and whose deployments are copied.
CONFIGURED = "configured"
SETTINGS = {"entrypoint": "main.py", "timeout": 20}
#: A function with pushes to its repository.
PUSHED = "pushed"
#: A function that runs every minute.
TICKER = "ticker"
#: A function that runs for each event.
LISTENER = "listener"
EVENT = "orders.*.create"
CHUNK_BYTES = 5 * 1024 * 1024
#: File name of the last backup.
BACKUP = "backup.tar"


def prepare(api: Api) -> None:
    """Create the functions that the clients use; builds of FUNCTION take a moment."""
    runtime = api.runtime("python")
    api.create(
        FUNCTION,
        runtime,
        entrypoint="main.py",
        timeout=10,
        commands="sleep 0.3 && date > built.txt",
    )
    api.create(CHURNED, runtime, entrypoint="main.py")
    api.create(LISTENER, runtime, entrypoint="main.py", events=[EVENT])
    for function_id, folder in ((FUNCTION, "pause"), (CHURNED, "hello"), (LISTENER, "hello")):
        api.deploy(function_id, pack(FUNCTIONS / folder))


def prepare_more(api: Api) -> None:
    """Create the other functions that `Pressure` uses, and the variables that it changes."""
    prepare(api)
    runtime = api.runtime("python")
    api.create(CONFIGURED, runtime, **SETTINGS)
    api.create(PUSHED, runtime, entrypoint="main.py")
    api.create(TICKER, runtime, entrypoint="main.py", schedule="* * * * *")
    for path, name in (
        (f"/functions/{CONFIGURED}/variables", "secret"),
        ("/project/variables", "project"),
    ):
        body = {
            "variableId": name,
            "key": f"KEPT_{name.upper()}",
            "value": "0",
            "secret": name == "secret",
        }
        api.call("POST", path, 201, json=body)
    for function_id in (CONFIGURED, TICKER):
        api.deploy(function_id, pack(FUNCTIONS / "pause"))


#: One piece of work of a client: its API, and the number of the piece.
Step = Callable[[Api, int], None]


class Pressure:
    """Threads that each repeat one kind of work until the server is gone or `stop`.

    Executions tell the `witness` that they run. `folder` is for the clients' files. Without
    `commands`, only the server works on the data directory.
    """

    def __init__(
        self,
        server: Server,
        kept: Acknowledged,
        witness: Witness,
        folder: Path,
        *,
        commands: bool = True,
        seed: int = 0,
    ) -> None:
        self._server = server
        self._kept = kept
        self._witness = f"127.0.0.1:{witness.port}"
        self._folder = folder
        self._over = threading.Event()
        self._random = random.Random(seed)
        self._code = pack(FUNCTIONS / "pause")
        self._small = pack(FUNCTIONS / "hello")
        self._large = pack(
            FUNCTIONS / "hello", extra={"padding.bin": os.urandom(CHUNK_BYTES + 1000)}
        )
        self.failures: list[str] = []
        self._threads = [
            threading.Thread(target=self._repeat, args=(step,)) for step in self._steps(commands)
        ]

    def _steps(self, commands: bool) -> list[Step]:
        """Return the step of each thread."""
        steps: list[Step] = [self._run, self._run, self._queue, self._queue, self._schedule]
        steps += [self._upload, self._churn, self._send_chunks, self._set, self._add_rule]
        steps += [self._make_function, self._emit, self._configure, self._set_secret]
        steps += [self._set_project, self._copy, self._schedule_soon]
        if commands:
            steps += [self._make_key, self._back_up]
        if shutil.which("git") is not None:
            steps.append(self._push)
        return steps

    def start(self) -> None:
        """Start every client."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Wait for the last request of every client."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, step: Step) -> None:
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

    def _marked(self, seconds: float) -> tuple[str, str]:
        """Return a mark, and the path of an execution that sleeps, answers and logs the mark."""
        mark = uuid.uuid4().hex
        return mark, f"/?seconds={seconds}&mark={mark}&witness={self._witness}"

    def _run(self, api: Api, count: int) -> None:
        mark, path = self._marked(0.01)
        execution = api.execute(FUNCTION, path=path)
        if execution["status"] == "completed":
            assert execution["responseBody"] == mark
        if count % 5 == 0:
            api.call("DELETE", f"/functions/{FUNCTION}/executions/{execution['$id']}", 204)
            self._kept.executions_deleted.add(execution["$id"])
        else:
            self._kept.executions[execution["$id"]] = execution["status"]
            self._kept.answered.add(execution["$id"])

    def _queue(self, api: Api, count: int) -> None:
        execution = api.enqueue(FUNCTION, path=self._marked(count % 5 / 10)[1])
        self._kept.executions[execution["$id"]] = execution["status"]
        self._over.wait(0.01)

    def _schedule_soon(self, api: Api, count: int) -> None:
        at = ((time.time() + 70) // 60 + 1) * 60
        moment = datetime.fromtimestamp(at, UTC).isoformat()
        execution = api.enqueue(FUNCTION, path=self._marked(0.01)[1], scheduledAt=moment)
        self._kept.due[execution["$id"]] = at
        self._over.wait(0.2)

    def _schedule(self, api: Api, count: int) -> None:
        at = (datetime.now(UTC) + timedelta(hours=1)).replace(second=0, microsecond=0)
        execution = api.enqueue(FUNCTION, scheduledAt=at.isoformat())
        self._kept.scheduled.add(execution["$id"])
        self._over.wait(0.1)

    def _upload(self, api: Api, count: int) -> None:
        deployment = api.upload(FUNCTION, self._code)
        self._kept.deployments.append(deployment["$id"])
        self._kept.archives[deployment["$id"]] = (FUNCTION, checksum(self._code))
        self._over.wait(0.4)

    def _churn(self, api: Api, count: int) -> None:
        """Upload, and delete or activate a deployment at any stage."""
        path = f"/functions/{CHURNED}/deployments"
        mine = api.upload(CHURNED, self._small, activate="false")["$id"]
        self._over.wait(self._random.random())
        if count % 3 == 0:
            before = self._kept.active or {
                api.call("GET", f"/functions/{CHURNED}", 200)["deploymentId"]
            }
            self._kept.active = before | {mine}
            answer = api.http.patch(f"/functions/{CHURNED}/deployment", json={"deploymentId": mine})
            assert answer.status_code in (200, 400), answer.text
            self._kept.active = {mine} if answer.status_code == 200 else before
            self._kept.churned.add(mine)
            self._kept.archives[mine] = (CHURNED, checksum(self._small))
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
        self._kept.archives[deployment_id] = (CHURNED, checksum(self._large))
        self._over.wait(1)

    def _set(self, api: Api, count: int) -> None:
        path = f"/functions/{FUNCTION}/variables"
        value = f"value {count}"
        made = api.call(
            "POST", path, 201, json={"key": f"V{uuid.uuid4().hex}", "value": value, "secret": False}
        )["$id"]
        if count % 2:
            self._kept.variables[made] = value
        else:
            api.call("DELETE", f"{path}/{made}", 204)
            self._kept.variables_deleted.add(made)
        self._over.wait(0.02 * count)

    def _add_rule(self, api: Api, count: int) -> None:
        domain = f"d{uuid.uuid4().hex}.example.com"
        rule = api.call(
            "POST", "/proxy/rules/function", 201, json={"domain": domain, "functionId": FUNCTION}
        )
        self._kept.rules[rule["$id"]] = domain
        self._over.wait(0.05)

    def _make_function(self, api: Api, count: int) -> None:
        """Create a function with a deployment; delete every second one, even while it builds."""
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
        answer = api.call(
            "POST",
            "/events",
            202,
            json={"event": f"orders.{count}.create", "payload": {"count": count}},
        )
        self._kept.caused += answer["total"]
        self._over.wait(0.05)

    def _configure(self, api: Api, count: int) -> None:
        with self._kept.setting("name") as number:
            api.call("PUT", f"/functions/{CONFIGURED}", 200, json={"name": str(number), **SETTINGS})
        self._over.wait(0.05)

    def _set_secret(self, api: Api, count: int) -> None:
        with self._kept.setting("secret") as number:
            api.call(
                "PUT", f"/functions/{CONFIGURED}/variables/secret", 200, json={"value": str(number)}
            )
        self._over.wait(0.05)

    def _set_project(self, api: Api, count: int) -> None:
        # A project variable changes the environment of every function.
        self._over.wait(self._random.random())
        with self._kept.setting("project") as number:
            api.call("PUT", "/project/variables/project", 200, json={"value": str(number)})

    def _copy(self, api: Api, count: int) -> None:
        """Rebuild a deployment, and cancel every second build at any stage."""
        path = f"/functions/{CONFIGURED}/deployments"
        active = api.call("GET", f"/functions/{CONFIGURED}", 200)["deploymentId"]
        copy = api.call("POST", f"{path}/duplicate", 202, json={"deploymentId": active})["$id"]
        self._kept.copies.add(copy)
        self._over.wait(self._random.random())
        if count % 2:
            self._kept.cancels.add(copy)
            answer = api.http.patch(f"{path}/{copy}/status")
            assert answer.status_code in (200, 400), answer.text
            if answer.status_code == 200:
                self._kept.canceled.add(copy)

    def _push(self, api: Api, count: int) -> None:
        if self._kept.repository is None:
            self._kept.repository = Repository(self._folder / "repository")
        repository = self._kept.repository
        commit = repository.commit(
            {"main.py": FUNCTIONS.joinpath("hello/main.py").read_text(), "id": uuid.uuid4().hex}
        )
        root = self._server.url.replace("//", f"//any:{api.http.headers['x-appwrite-key']}@")
        pushed = git(repository.path, "push", f"{root}/git/{PUSHED}.git", "main", check=False)
        if pushed.returncode:
            # Expected once the server is gone.
            api.call("GET", "/health/version", 200)
            raise AssertionError(pushed.stderr)
        self._kept.pushed.add(commit)

    def _make_key(self, api: Api, count: int) -> None:
        """Create a key by the command while the server runs; delete every second one."""
        name = uuid.uuid4().hex
        secret = self._command(
            "keys", "create", "--name", name, "--scope", "functions.read"
        ).strip()
        if count % 2 == 0:
            (key,) = (
                key
                for key in json.loads(self._command("keys", "list", "--json"))
                if key["name"] == name
            )
            self._command("keys", "delete", key["id"])
            self._kept.keys_deleted.add(secret)
        else:
            self._kept.keys.add(secret)
        self._over.wait(1.5)

    def _back_up(self, api: Api, count: int) -> None:
        """Back up the data directory now and then: it grows each time."""
        self._over.wait(self._random.random())
        if self._kept.backed_up is None or self._random.random() < 0.1:
            before = self._kept.copy()
            self._command("backup", str(self._folder / BACKUP), "--force")
            self._kept.backed_up = before
        self._over.wait(3)

    def _command(self, *arguments: str) -> str:
        """Run a command on the data directory, with or without a server; return its output."""
        command = [sys.executable, "-m", "minifn", *arguments, "--data", str(self._server.data)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def checksum(code: bytes) -> str:
    """Return the SHA-256 of an archive."""
    return hashlib.sha256(code).hexdigest()


def send_chunk(api: Api, code: bytes, start: int, deployment_id: str = "") -> str:
    """Send the chunk of `code` from `start` on to CHURNED, and return its deployment's id."""
    chunk = code[start : start + CHUNK_BYTES]
    headers = {"content-range": f"bytes {start}-{start + len(chunk) - 1}/{len(code)}"}
    if deployment_id:
        headers["x-appwrite-id"] = deployment_id
    files = {"code": ("code.tar.gz", chunk)}
    path = f"/functions/{CHURNED}/deployments"
    return str(
        api.call("POST", path, 202, files=files, data={"activate": "false"}, headers=headers)["$id"]
    )
