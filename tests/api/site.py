"""The API over HTTP with everything real but processes: builds do not run, and functions answer with their request."""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import httpx
import uvicorn

from minifn.api import create_app
from minifn.change_feed import ChangeFeed
from minifn.config import Config
from minifn.embed import Minifn
from minifn.host.datadir import DataDir
from minifn.host.tasks import running
from minifn.instants import now_ms
from minifn.languages import RuntimeTable
from minifn.models import Deployment, Execution, Function
from minifn.sandbox.engines import NoEngine
from minifn.services.deployments import DeploymentService, Effects
from minifn.services.domains import DomainService
from minifn.services.events import Events
from minifn.services.executions import Executions
from minifn.services.functions import FunctionService
from minifn.services.keys import Keys
from minifn.store import deployments, executions
from minifn.store.cipher import VariableCipher
from minifn.store.database import Database
from minifn.store.deployments import BuildResult
from minifn.tokens import Tokens
from minifn.workers.pool import Pool
from minifn.workers.records import FunctionRequest, FunctionResponse, WorkerSpec
from minifn.workers.specs import WorkerSpecs
from tests.serving import free_port, pack

PROJECT = "minifn"
ADMIN_KEY = "admin-key"
RUNTIME = "python-3.11"
ARCHIVE = "code.tar.gz"

T = TypeVar("T")


class EchoPool(Pool):
    """In place of warm processes, which the API never sees: answers with what a function would have been given.

    The path decides: `/binary` answers bytes, `/fail` a failure, `/slow` never.
    """

    def __init__(self) -> None:
        self.requests: list[FunctionRequest] = []

    async def call(
        self, spec: WorkerSpec, request: FunctionRequest, deadline: float, *, patient: bool = False
    ) -> FunctionResponse:
        self.requests.append(request)
        headers = (("content-type", "application/json"), ("x-own", "1"))
        if request.path == "/binary":
            return FunctionResponse(status_code=200, headers=headers, body=b"\xff\xfe", delivered=True)
        if request.path == "/fail":
            return FunctionResponse(status_code=500, errors="it broke", failure="died", delivered=True)
        if request.path == "/slow":
            return FunctionResponse(status_code=500, errors="slow", failure="timeout", delivered=True)
        content = {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": dict(request.headers),
            "body": request.body.decode("latin-1"),
        }
        body = json.dumps(content).encode()
        return FunctionResponse(status_code=200, headers=headers, body=body, logs="logged", delivered=True)


class Site:
    """Like `Minifn`, without spawner, builder and workers. Entered by the app's lifespan."""

    def __init__(self, data: Path, **settings: Any) -> None:
        self.config = Config(data=data, sandbox="none", api_key=ADMIN_KEY, **settings)
        self.data = DataDir(self.config.data)
        self.admin_key = ADMIN_KEY
        self.tokens = Tokens("secret-that-is-long-enough-for-hs256", self.config.project)
        self.runtimes = RuntimeTable.load()
        self.pool = EchoPool()
        self.changes = ChangeFeed()
        self.effects: list[tuple[str, str]] = []
        self.died: list[str] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.data.prepare()
        self.database = await self._stack.enter_async_context(Database(self.data.database, VariableCipher("0" * 64)))
        self.keys = Keys(self.database)
        self.functions = FunctionService(self.database, changes=self.changes)
        self.rules = DomainService(self.database, self.config.functions_domain)
        await self.rules.open()
        self.deployments = DeploymentService(
            self.config,
            self.data,
            self.database,
            Effects(build=self._note_build, interrupt=self._interrupt, retire=self._retire, prewarm=self._prewarm),
            self.changes,
        )
        launcher = WorkerSpecs(self.config, self.data, NoEngine(), self.runtimes)
        self.executor = await self._stack.enter_async_context(
            Executions(self.config, self.database, self.functions, self.pool, launcher, self.tokens, self.changes)
        )
        await self._stack.enter_async_context(running(self.executor.run(), "queue of executions", self.died.append))
        self.events = Events(self.database, self.functions, self.executor)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        assert self.died == []

    async def missing(self) -> str:
        """Return which file of the database is not there; there is no lock."""
        return self.database.missing()

    def _note_build(self) -> None:
        self.effects.append(("build", ""))

    async def _interrupt(self, deployment_id: str) -> None:
        self.effects.append(("interrupt", deployment_id))

    async def _retire(self, deployment_id: str) -> None:
        self.effects.append(("retire", deployment_id))

    def _prewarm(self, function: Function, deployment: Deployment) -> None:
        self.effects.append(("prewarm", deployment.id))

    async def build(self, deployment_id: str) -> None:
        """Do what a builder does to the rows, and publish an empty build."""
        self.data.build(deployment_id).mkdir(exist_ok=True)
        await self.database.write(_claim, deployment_id)
        assert await self.database.write(deployments.start_building, deployment_id, now_ms())
        result = BuildResult(status="ready", duration_seconds=1, build_size_bytes=5)
        assert await self.database.write(deployments.finish, deployment_id, result, now_ms())


class SiteServer:
    """A site behind uvicorn, in a thread of its own."""

    def __init__(self, data: Path, **settings: Any) -> None:
        self.site = Site(data, **settings)
        self.port = free_port()
        config = uvicorn.Config(
            create_app(cast("Minifn", self.site)), host="127.0.0.1", port=self.port, log_level="warning",
            server_header=False, lifespan="on", ws="websockets-sansio", ws_per_message_deflate=False,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="site")

    def _run(self) -> None:
        self._loop.run_until_complete(self._server.serve())

    def __enter__(self) -> Self:
        self._thread.start()
        with httpx.Client(trust_env=False) as client:
            for _ in range(1000):
                assert self._thread.is_alive(), "the site did not start"
                try:
                    client.get(f"http://127.0.0.1:{self.port}/v1/ping")
                except httpx.TransportError:
                    continue
                return self
        raise AssertionError("the site did not start")

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the site's event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def client(self, version: str = "", **headers: str) -> httpx.Client:
        """A client that names the project, and the response format `version`."""
        given = {"x-appwrite-project": PROJECT, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if version:
            given["x-appwrite-response-format"] = version
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}/v1", headers=given, timeout=20, trust_env=False)

    def admin(self, version: str = "", **headers: str) -> httpx.Client:
        """A client with the admin key."""
        return self.client(version, x_appwrite_key=ADMIN_KEY, **headers)

    def key(self, *scopes: str) -> str:
        """Return a new API key with these scopes."""
        return self.run(self.site.keys.create("test", scopes))[1]

    def store_execution(self, execution: Execution) -> None:
        """Put an execution into the database as it is."""
        self.run(_write(self.site.database, execution))


def _claim(conn: sqlite3.Connection, deployment_id: str) -> None:
    """Take one deployment for building; the store's own claim takes the oldest."""
    conn.execute("UPDATE deployments SET status = 'processing' WHERE id = ?", (deployment_id,))


async def _write(database: Database, execution: Execution) -> None:
    await database.write(executions.insert, execution)


def archive() -> bytes:
    """Return a .tar.gz of a function."""
    return pack(extra={"main.py": b"def main(context): ..."})


def create_function(client: httpx.Client, **settings: Any) -> Any:
    """Create a function and return it."""
    body = {"functionId": "unique()", "name": "sample", "runtime": RUNTIME, "entrypoint": "main.py", **settings}
    answer = client.post("/functions", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def upload(client: httpx.Client, function_id: str, **fields: str) -> Any:
    """Upload an archive and return its deployment, which nobody builds."""
    answer = client.post(
        f"/functions/{function_id}/deployments",
        files={"code": (ARCHIVE, archive())},
        data={"activate": "true", **fields},
    )
    assert answer.status_code == 202, answer.text
    return answer.json()


def deploy(server: SiteServer, client: httpx.Client, **settings: Any) -> str:
    """Create a function with an active deployment and return its id."""
    function_id = create_function(client, **settings)["$id"]
    server.run(server.site.build(upload(client, function_id)["$id"]))
    return str(function_id)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and type of an error, having checked that it is one."""
    body = answer.json()
    assert set(body) == {"message", "code", "type", "version"}, body
    assert body["code"] == answer.status_code
    return answer.status_code, body["type"]
