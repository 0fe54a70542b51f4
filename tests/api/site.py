"""The API over HTTP without processes: builds do not run, functions answer with their request."""

import asyncio
import functools
import json
import socket
import sqlite3
import sys
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import httpx
import uvicorn

from minifn.api import create_app
from minifn.config import Config
from minifn.hooks import Hooks
from minifn.instants import now_ms
from minifn.languages import RuntimeTable
from minifn.models import Execution
from minifn.parts import Parts
from minifn.sandbox.engines.none import NoEngine
from minifn.server.direct import DirectConnection
from minifn.store import build_queue, executions
from minifn.store.build_queue import BuildResult
from minifn.store.database import Database
from minifn.workers.pool import Pool
from minifn.workers.records import FunctionRequest, FunctionResponse, WorkerSpec
from tests.serving import pack, wait_until

PROJECT = "minifn"
ADMIN_KEY = "admin-key"
#: Parameters of a list for all records of the tests that share a server, more than a page has.
EVERY = {"queries[0]": '{"method":"limit","values":[1000]}'}
RUNTIME = f"python-{sys.version_info[0]}.{sys.version_info[1]}"
ARCHIVE = "code.tar.gz"

T = TypeVar("T")


class EchoPool(Pool):
    """Replaces warm processes: answers with the request that a function would get.

    The path decides: `/binary` answers with bytes, `/fail` fails, `/slow` times out, `/refused`
    finds no worker.
    """

    def __init__(self) -> None:
        self.requests: list[FunctionRequest] = []

    async def call(
        self,
        spec: WorkerSpec,
        request: FunctionRequest,
        deadline: float,
        *,
        queue_unbounded: bool = False,
    ) -> FunctionResponse:
        self.requests.append(request)
        headers = (("content-type", "application/json"), ("x-own", "1"))
        if request.path == "/binary":
            return FunctionResponse(
                status_code=200, headers=headers, body=b"\xff\xfe", delivered=True
            )
        if request.path == "/fail":
            return FunctionResponse(
                status_code=500, errors="it broke", failure="died", delivered=True
            )
        if request.path == "/refused":
            return FunctionResponse(status_code=500, failure="overloaded")
        if request.path == "/slow":
            return FunctionResponse(
                status_code=500, errors="slow", failure="timeout", delivered=True
            )
        content = {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": dict(request.headers),
            "body": request.body.decode("latin-1"),
        }
        body = json.dumps(content).encode()
        return FunctionResponse(
            status_code=200, headers=headers, body=body, logs="logged", delivered=True
        )


class Site(Parts):
    """The parts of a server without processes: no launcher, no builds, an echo in place of workers.

    The app's lifespan enters it. `effects` are the calls of deployments to the missing parts.
    """

    def __init__(self, data: Path, **settings: Any) -> None:
        super().__init__(Config(data=data, sandbox="none", api_key=ADMIN_KEY, **settings))
        self.pool: EchoPool = EchoPool()
        self.workers = self.pool
        self.effects: list[tuple[str, str]] = []
        # The middle of a minute, so that no window of a rate limit ends during a test.
        self.rate_clock = lambda: 1_800_000_030.0

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        assert not self.lost.done()

    async def open_data(self, stack: AsyncExitStack) -> None:
        self.data.prepare()
        await self.open_database(stack)

    async def open_machine(self, stack: AsyncExitStack) -> None:
        self.engine = NoEngine()
        self.runtimes = RuntimeTable.load()

    def hooks(self) -> Hooks:
        async def note(call: str, deployment_id: str) -> None:
            self.effects.append((call, deployment_id))

        return Hooks(
            build=lambda: self.effects.append(("build", "")),
            interrupt=functools.partial(note, "interrupt"),
            retire=functools.partial(note, "retire"),
            prewarm=lambda function, deployment: self.effects.append(("prewarm", deployment.id)),
        )

    def make_builders(self, hooks: Hooks) -> None:
        """Builds and git need processes."""

    async def run_loops(self, stack: AsyncExitStack) -> None:
        await self.domains.open()
        await stack.enter_async_context(self.executions)
        await self.run_loop(stack, self.executions.run(), "queue of executions")

    async def missing(self) -> str:
        """Return the missing file of the database, "" for none; a site has no lock."""
        return self.database.missing()

    async def build(self, deployment_id: str) -> None:
        """Change the rows as a builder does, and publish an empty build."""
        self.data.build(deployment_id).mkdir(exist_ok=True)
        await self.database.write(_claim, deployment_id)
        assert await self.database.write(build_queue.start_building, deployment_id, now_ms())
        result = BuildResult(status="ready", duration_seconds=1, build_size_bytes=5)
        assert await self.database.write(build_queue.finish, deployment_id, result, now_ms())


class SiteServer:
    """A site in a thread of its own, behind minifn's connections, or behind those of uvicorn.

    Only minifn's own answer some requests without ASGI (`direct`).
    """

    def __init__(self, data: Path, *, direct: bool = True, **settings: Any) -> None:
        self.site = Site(data, **settings)
        # asyncio sends small pieces at once only where the protocol is named: else answers wait
        # 40 ms for the acknowledgment of the client.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self.port = self._socket.getsockname()[1]
        app = create_app(self.site)
        connection = functools.partial(DirectConnection, app.state.direct, 1000)
        config = uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", connection) if direct else "httptools",
            host="127.0.0.1",
            port=self.port,
            log_level="warning",
            server_header=False,
            lifespan="on",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
        )
        self._server = uvicorn.Server(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="site")

    def _run(self) -> None:
        self._loop.run_until_complete(self._server.serve(sockets=[self._socket]))

    def __enter__(self) -> Self:
        self._thread.start()
        with httpx.Client(trust_env=False) as client:
            wait_until(lambda: self._answers(client), 20, "the site answers")
        return self

    def _answers(self, client: httpx.Client) -> bool:
        assert self._thread.is_alive(), "the site did not start"
        try:
            client.get(f"http://127.0.0.1:{self.port}/v1/ping")
        except httpx.TransportError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._loop.close()
        self._socket.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the site's event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def client(self, version: str = "", **headers: str) -> httpx.Client:
        """A client that names the project, and the response format `version`."""
        given = {
            "x-appwrite-project": PROJECT,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if version:
            given["x-appwrite-response-format"] = version
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/v1", headers=given, timeout=20, trust_env=False
        )

    def admin(self, version: str = "", **headers: str) -> httpx.Client:
        """A client with the admin key."""
        return self.client(version, x_appwrite_key=ADMIN_KEY, **headers)

    def key(self, *scopes: str) -> str:
        """Return a new API key with these scopes."""
        return self.run(self.site.keys.create("test", scopes))[1]

    def store_execution(self, execution: Execution) -> None:
        """Insert an execution into the database."""
        self.run(_write(self.site.database, execution))


def _claim(conn: sqlite3.Connection, deployment_id: str) -> None:
    """Claim one deployment; the store's claim takes the oldest."""
    conn.execute("UPDATE deployments SET status = 'processing' WHERE id = ?", (deployment_id,))


async def _write(database: Database, execution: Execution) -> None:
    await database.write(executions.insert, execution)


def archive() -> bytes:
    """Return a .tar.gz of a function."""
    return pack(extra={"main.py": b"def main(context): ..."})


def create_function(client: httpx.Client, **settings: Any) -> Any:
    """Create a function and return it."""
    body = {
        "functionId": "unique()",
        "name": "sample",
        "runtime": RUNTIME,
        "entrypoint": "main.py",
        **settings,
    }
    answer = client.post("/functions", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def upload(client: httpx.Client, function_id: str, **fields: str) -> Any:
    """Upload an archive and return its deployment, which stays unbuilt."""
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
    """Check the form of an error, and return its status and type."""
    body = answer.json()
    assert set(body) == {"message", "code", "type", "version"}, body
    assert body["code"] == answer.status_code
    return answer.status_code, body["type"]
