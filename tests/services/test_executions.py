"""Executions through the whole service: real builds, real workers, a real database."""

import asyncio
import io
import json
import tarfile
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from minifn.config import Config
from minifn.embed import Minifn
from minifn.errors import BuildNotReady, DeploymentNotFound, FunctionSynchronousTimeout
from minifn.host.datadir import DataDir
from minifn.instants import now_ms
from minifn.models import Deployment, Execution, ExecutionRequest
from minifn.services.functions import FunctionSettings
from minifn.services.uploads import Upload, UploadedFile
from minifn.store import deployments, execution_queue, executions, functions
from minifn.store.cipher import load_cipher
from minifn.store.database import Database
from tests.patience import patient

HELLO = """
import os
import time

def main(context):
    path = context.req.path
    if path == "/spin":
        while True:
            pass
    if path == "/exit":
        os._exit(3)
    if path == "/raise":
        raise ValueError("broken on purpose")
    if path == "/env":
        return context.res.json(dict(os.environ))
    if path == "/headers":
        return context.res.json(context.req.headers)
    context.log("logged", path)
    context.error("complained")
    return context.res.text(context.req.body_text or "nothing", 201, {"x-own": "yes"})
"""


async def deploy(
    minifn: Minifn, code: str = HELLO, function_id: str = "hello", **settings: Any
) -> Deployment:
    """Create a function and build its code; returns the finished deployment."""
    await minifn.functions.create(
        function_id,
        FunctionSettings(name=function_id, runtime="python-3.11", entrypoint="main.py", **settings),
    )
    archive = minifn.data.deployments / "upload"
    content = textwrap.dedent(code).encode()
    with tarfile.open(archive, mode="w:gz") as packed:
        member = tarfile.TarInfo("main.py")
        member.size = len(content)
        packed.addfile(member, io.BytesIO(content))
    file = UploadedFile(path=archive, size_bytes=archive.stat().st_size, filename="code.tar.gz")
    uploaded = await minifn.uploads.take(Upload(function_id=function_id, code=file, activate=True))

    async def built() -> Deployment | None:
        found = await minifn.database.read(deployments.by_id, uploaded.id)
        return found if found and found.status in ("ready", "failed") else None

    deployment: Deployment = await until(built)
    return deployment


async def until(found: Callable[[], Awaitable[Any]]) -> Any:
    """Return what `found` finds, within half a minute on an idle machine."""
    async with asyncio.timeout(patient(30)):
        while True:
            if result := await found():
                return result
            await asyncio.sleep(0.01)


async def finished(minifn: Minifn, execution_id: str) -> Execution:
    """Return a queued execution once it has run."""

    async def done() -> Execution | None:
        found = await minifn.database.read(executions.get, "hello", execution_id)
        return found if found and found.status in ("completed", "failed") else None

    execution: Execution = await until(done)
    return execution


async def run(minifn: Minifn, path: str = "/", **request: Any) -> Any:
    """Run the function `hello` at once."""
    target = await minifn.executions.ready("hello")
    return await minifn.executions.execute(target, ExecutionRequest(path=path, **request))


def test_sync_executions_are_stored_as_they_ended(data: Path) -> None:
    """An answer, an exception and a crash: the caller's execution equals the stored one."""

    async def main() -> None:
        async with Minifn(Config(data=data)) as minifn:
            assert (await deploy(minifn)).status == "ready"
            result = await run(
                minifn,
                "/a?b=c",
                body=b"hi",
                headers=(("content-type", "text/x"), ("x-secret", "1")),
            )
            execution = result.execution
            assert (execution.status, execution.response_status_code, result.body) == (
                "completed",
                201,
                b"hi",
            )
            assert dict(result.headers)["x-own"] == "yes"
            assert dict(result.headers)["x-appwrite-execution-id"] == execution.id
            assert (execution.logs, execution.errors) == ("logged /a\n", "complained\n")
            assert dict(execution.request_headers) == {"content-type": "text/x"}
            assert dict(execution.response_headers) == {"content-type": "text/plain; charset=utf-8"}
            stored = await minifn.database.read(executions.get, "hello", execution.id)
            assert stored is not None
            assert (stored.logs, stored.request_path, stored.duration_seconds > 0) == (
                "logged /a\n",
                "/a?b=c",
                True,
            )
            assert len(str(stored.duration_seconds)) <= 15, (
                "JavaScript SDKs make texts of longer numbers"
            )

            raised = (await run(minifn, "/raise")).execution
            assert (raised.status, raised.response_status_code) == ("failed", 500)
            assert "broken on purpose" in raised.errors
            assert "main.py" in raised.errors

            crashed = (await run(minifn, "/exit")).execution
            assert (crashed.status, crashed.response_status_code) == ("failed", 500)
            assert crashed.errors
            assert (await run(minifn)).execution.status == "completed"

    asyncio.run(main())


def test_a_function_sees_its_environment_and_headers_and_nothing_else(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Project variables, then the function's, then the system's; none of the server's."""
    monkeypatch.setenv("SERVER_SECRET", "do not leak")

    async def main() -> None:
        async with Minifn(Config(data=data)) as minifn:
            for owner, key, value in (("", "A", "project"), ("", "B", "project")):
                await minifn.variables.create(owner, key, value)
            await minifn.functions.create(
                "hello2", FunctionSettings(name="x", runtime="python-3.11")
            )
            await deploy(minifn, scopes=("users.read",))
            for key, value in (
                ("B", "own"),
                ("APPWRITE_REGION", "mars"),
                ("LD_X", "1"),
                ("WITH=EQUALS", "x"),
            ):
                await minifn.variables.create("hello", key, value)
            result = await run(minifn, "/env")
            assert result.execution.status == "completed", result.execution.errors
            assert b"do not leak" not in result.body
            environment = json.loads(result.body)
            assert (environment["A"], environment["B"], environment["APPWRITE_REGION"]) == (
                "project",
                "own",
                "default",
            )
            assert environment["LD_X"] == "1"
            assert environment["APPWRITE_FUNCTION_ID"] == "hello"
            assert "APPWRITE_FUNCTION_API_KEY" not in environment
            headers = json.loads(
                (await run(minifn, "/headers", user_id="u1", session_id="s1")).body
            )
            assert headers["x-appwrite-trigger"] == "http"
            assert headers["x-appwrite-user-id"] == "u1"
            assert minifn.tokens.verify_user(headers["x-appwrite-user-jwt"]).session_id == "s1"
            assert minifn.tokens.verify_key(headers["x-appwrite-key"]).scopes == {"users.read"}
            assert "x-appwrite-event" not in headers

    asyncio.run(main())


def test_timeouts_name_whose_they_are(data: Path) -> None:
    """The function's timeout fails the execution; the synchronous cap is an error as well."""

    async def main() -> None:
        async with Minifn(Config(data=data, sync_timeout=1)) as minifn:
            await deploy(minifn, timeout_seconds=1)
            execution = (await run(minifn, "/spin")).execution
            assert (execution.status, execution.response_status_code) == ("failed", 500)
            assert "Execution timed out." in execution.errors
            await minifn.functions.update(
                "hello", FunctionSettings(name="hello", timeout_seconds=20, entrypoint="main.py")
            )
            with pytest.raises(FunctionSynchronousTimeout):
                await run(minifn, "/spin")
            found = await minifn.database.read(_newest)
            assert found.status == "failed"
            assert "Error Code: 408" in found.errors
            assert (await run(minifn)).execution.status == "completed"

    asyncio.run(main())


def test_queued_executions_run_later_and_say_so(data: Path) -> None:
    """A queued execution keeps its id, has no caller to answer to, and says that it was queued."""

    async def main() -> None:
        async with Minifn(Config(data=data)) as minifn:
            await deploy(minifn)
            function = await minifn.functions.get("hello")
            queued = await minifn.executions.enqueue(
                function, ExecutionRequest(path="/q", body=b"later")
            )
            assert queued.status == "waiting"
            done = await finished(minifn, queued.id)
            assert (done.status, done.response_status_code, done.logs) == (
                "completed",
                201,
                "logged /q\n",
            )
            due = now_ms() + 300
            planned = await minifn.executions.enqueue(function, ExecutionRequest(), "schedule", due)
            assert planned.status == "scheduled"
            done = await finished(minifn, planned.id)
            assert (done.status, done.trigger, done.updated_at >= due) == (
                "completed",
                "schedule",
                True,
            )
            await minifn.executions.delete("hello", planned.id)
            assert await minifn.database.read(executions.get, "hello", planned.id) is None

    asyncio.run(main())


def test_a_function_that_cannot_run_says_why(data: Path) -> None:
    """No deployment, no ready build; a queued execution then fails with the reason."""

    async def main() -> None:
        async with Minifn(Config(data=data)) as minifn:
            await minifn.functions.create(
                "hello", FunctionSettings(name="x", runtime="python-3.11")
            )
            with pytest.raises(DeploymentNotFound):
                await minifn.executions.ready("hello")
            function = await minifn.functions.get("hello")
            queued = await minifn.executions.enqueue(function, ExecutionRequest())
            done = await finished(minifn, queued.id)
            assert (done.status, done.deployment_id, done.response_status_code) == ("failed", "", 0)
            assert "Deployment not found" in done.errors
            waiting = Deployment(id="d1", function_id="hello", chunks_total=2, chunks_uploaded=0)
            await minifn.database.write(deployments.insert, waiting)
            await minifn.database.write(
                functions.update, msgspec.structs.replace(function, deployment_id="d1")
            )
            with pytest.raises(BuildNotReady):
                await minifn.executions.ready("hello")

    asyncio.run(main())


def test_a_graceful_stop_puts_queued_work_back(data: Path) -> None:
    """Executions that run at a stop wait again, and run at the next start."""

    async def main() -> str:
        async with Minifn(Config(data=data)) as minifn:
            await deploy(minifn, timeout_seconds=20)
            function = await minifn.functions.get("hello")
            queued = await minifn.executions.enqueue(function, ExecutionRequest(path="/spin"))

            async def started() -> bool:
                found = await minifn.database.read(executions.get, "hello", queued.id)
                return found is not None and found.status == "processing" and minifn.pool.busy > 0

            await until(started)
        return queued.id

    async def after(execution_id: str) -> None:
        async with Minifn(Config(data=data)) as minifn:
            found = await minifn.database.read(executions.get, "hello", execution_id)
            assert found is not None
            assert found.status in ("waiting", "processing")

    execution_id = asyncio.run(main())
    asyncio.run(after(execution_id))


def test_a_killed_server_fails_running_executions(data: Path) -> None:
    """At the start, an execution that was running fails with the reason; a waiting one runs."""

    async def main() -> None:
        async with Minifn(Config(data=data)) as minifn:
            await deploy(minifn)
        running = Execution(id="e1", function_id="hello", created_at=now_ms(), updated_at=now_ms())
        waiting = msgspec.structs.replace(running, id="e2")
        directory = DataDir(data)
        async with Database(directory.database, load_cipher(directory, "")) as database:
            await database.write(execution_queue.enqueue, running, ExecutionRequest())
            await database.write(execution_queue.claim, 10, now_ms())
            await database.write(execution_queue.enqueue, waiting, ExecutionRequest())
        async with Minifn(Config(data=data)) as minifn:
            interrupted = await finished(minifn, "e1")
            assert interrupted.status == "failed"
            assert "The server stopped" in interrupted.errors
            assert (await finished(minifn, waiting.id)).status == "completed"

    asyncio.run(main())


def test_logging_can_be_switched_off(data: Path) -> None:
    """Without logging neither logs nor errors are kept, not even those of a crash."""

    async def main() -> None:
        async with Minifn(Config(data=data)) as minifn:
            await deploy(minifn, logging=False)
            for path in ("/", "/raise", "/exit"):
                execution = (await run(minifn, path)).execution
                assert (execution.logs, execution.errors) == ("", "")

    asyncio.run(main())


def test_warm_workers_outlive_changes_that_do_not_concern_them(data: Path) -> None:
    """Renaming starts a new worker, because the name is in the environment; new access does not."""

    async def main() -> None:
        async with Minifn(Config(data=data)) as minifn:
            await deploy(minifn)
            await run(minifn)
            before = {worker.pid for worker in minifn.pool._alive}
            settings = FunctionSettings(name="hello", entrypoint="main.py", execute=("any",))
            await minifn.functions.update("hello", settings)
            await run(minifn)
            assert {worker.pid for worker in minifn.pool._alive} == before
            await minifn.functions.update(
                "hello", msgspec.structs.replace(settings, name="renamed")
            )
            environment = json.loads((await run(minifn, "/env")).body)
            assert environment["APPWRITE_FUNCTION_NAME"] == "renamed"

    asyncio.run(main())


def test_no_process_outlives_the_service(data: Path) -> None:
    """Leaving the service ends every worker."""

    async def main() -> list[int]:
        async with Minifn(Config(data=data)) as minifn:
            await deploy(minifn)
            await run(minifn)
            return [worker.pid for worker in minifn.pool._alive]

    pids = asyncio.run(main())
    assert pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def _newest(conn: Any) -> Execution:
    row = conn.execute("SELECT id FROM executions ORDER BY sequence DESC LIMIT 1").fetchone()
    found = executions.get(conn, "hello", row[0])
    assert found is not None
    return found
