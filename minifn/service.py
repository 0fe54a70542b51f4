"""The whole of minifn, joined: what `minifn serve` runs and what an embedding app mounts."""

import asyncio
import errno
import logging
import os
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from minifn import memory_limit
from minifn.builder import Builder, BuildTools
from minifn.changes import Changes
from minifn.config import Config, is_weaker
from minifn.datadir import DataDir
from minifn.deployments import DeploymentService, Effects
from minifn.errors import FunctionNotFound
from minifn.events import Events
from minifn.executor import Executor
from minifn.functions import FunctionService
from minifn.git import GitService, GitTools
from minifn.keys import Keys
from minifn.launcher import Launcher
from minifn.maintenance import Maintenance
from minifn.models import Deployment, ExecutionRequest, ExecutionResult, Function
from minifn.presence import Presence
from minifn.rules import RuleService
from minifn.runtimes import RuntimeTable, RuntimeUnavailable
from minifn.sandbox.command import Network, SandboxError
from minifn.sandbox.engines import Engine
from minifn.sandbox.probe import Protection, choose, inspect
from minifn.sandbox.spawner import Spawner
from minifn.scheduler import Scheduler
from minifn.store import settings
from minifn.store.cipher import load_cipher
from minifn.store.database import Database
from minifn.tasks import running
from minifn.tokens import Tokens
from minifn.workers.pool import WORKER_BYTES, Pool

if TYPE_CHECKING:
    from starlette.applications import Starlette

logger = logging.getLogger("minifn.service")

#: How often the data directory is looked at.
WATCH_SECONDS = 5.0


class Minifn:
    """One functions runtime: an async context manager, inside which functions are built and run.

    Constructing it does nothing; entering it starts every part in the order of the code below, leaving it stops them
    in reverse. It installs no signal handlers.
    """

    data: DataDir
    engine: Engine
    runtimes: RuntimeTable
    spawner: Spawner
    database: Database
    tokens: Tokens
    keys: Keys
    functions: FunctionService
    rules: RuleService
    deployments: DeploymentService
    builder: Builder
    pool: Pool
    executor: Executor
    git: GitService
    events: Events
    maintenance: Maintenance
    #: What happens to functions, deployments, executions and variables.
    changes: Changes
    #: Names the part without which the server cannot go on, once one has ended by itself.
    lost: asyncio.Future[str]
    #: The secret of the key with every scope, and whether it was made by this start.
    admin_key: str
    admin_key_is_new: bool
    #: The engine of the last start when it was a stronger one, else "".
    stronger_before: str

    def __init__(self, config: Config) -> None:
        self.config = config
        self.changes = Changes()
        self._stack = AsyncExitStack()
        self._protections: tuple[Protection, ...] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @cached_property
    def app(self) -> "Starlette":
        """The API as an ASGI application; its lifespan enters and leaves this object."""
        # The API is a face over the service; only an embedder that wants it pays for importing it.
        from minifn.api import create_app

        return create_app(self)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        config = self.config
        self.lost = asyncio.get_running_loop().create_future()
        self.data = data = DataDir(config.data)
        data.prepare()
        # First of all, so that it inherits no descriptor and no memory of anything that follows.
        self.spawner = await stack.enter_async_context(Spawner(data.run))
        self._locked = Presence(data.run / "lock")
        self.spawner.lost.add_done_callback(lambda _: self._lose("launcher of functions"))
        self.admin_key, self.admin_key_is_new = data.keep_secret(data.admin_key, config.api_key)
        jwt_secret, _ = data.keep_secret(data.jwt_secret, config.jwt_secret)
        cipher = load_cipher(data, config.variables_key)
        database = Database(data.database, cipher, flushed=config.durability == "power")
        self.database = await stack.enter_async_context(database)
        self.engine = await choose(config.sandbox, self.spawner, data, Network(config.network))
        before = await self.database.write(settings.swap, "engine", self.engine.name)
        self.stronger_before = before if is_weaker(self.engine.name, before) else ""
        self.runtimes = await asyncio.to_thread(self._load_runtimes)
        self.tokens = Tokens(jwt_secret, config.project)
        self.keys = Keys(self.database)
        self.functions = FunctionService(
            self.database,
            installations=[pair.partition("=")[0] for pair in config.git_installations],
            changes=self.changes,
        )
        self.rules = RuleService(self.database, config.functions_domain)
        await self.rules.open()
        self._launcher = launcher = Launcher(config, data, self.engine, self.runtimes)
        memory = memory_limit.look()
        self.pool = await stack.enter_async_context(
            Pool(
                self.spawner,
                self.engine,
                idle_seconds=config.idle_seconds,
                workers_max=max(8, memory.limit_bytes // 2 // WORKER_BYTES),
                function_workers_max=2 * (os.cpu_count() or 1),
                available_bytes=lambda: memory_limit.look().available_bytes,
            )
        )
        self.builder = Builder(
            BuildTools(
                config=config,
                data=data,
                database=self.database,
                engine=self.engine,
                spawner=self.spawner,
                runtimes=self.runtimes,
                tokens=self.tokens,
                changes=self.changes,
            )
        )
        self.builder.on_ready = self._prewarm
        self.deployments = DeploymentService(
            config,
            data,
            self.database,
            Effects(
                build=self.builder.wake, interrupt=self.builder.interrupt, retire=self._retire, prewarm=self._prewarm
            ),
            self.changes,
        )
        await self.deployments.tidy()
        stack.push_async_callback(self._finish_tasks)
        await stack.enter_async_context(self.builder)
        await stack.enter_async_context(running(self.builder.run(), "builder", self._lose))
        self.executor = await stack.enter_async_context(
            Executor(
                config,
                self.database,
                self.functions,
                self.pool,
                launcher,
                self.tokens,
                self.changes,
                memory_bytes=memory.limit_bytes,
            )
        )
        await stack.enter_async_context(running(self.executor.run(), "queue of executions", self._lose))
        self.git = await stack.enter_async_context(
            GitService(
                GitTools(
                    config=config,
                    data=data,
                    database=self.database,
                    engine=self.engine,
                    spawner=self.spawner,
                    build=self.builder.wake,
                    secret=jwt_secret,
                    changes=self.changes,
                    environ=dict(os.environ),
                )
            )
        )
        await stack.enter_async_context(running(self.git.run(), "queue of repositories", self._lose))
        self.events = Events(self.database, self.functions, self.executor)
        scheduler = Scheduler(self.database, self.functions, self.executor)
        self.executor.on_scheduled = scheduler.wake
        await stack.enter_async_context(running(scheduler.run(), "scheduler", self._lose))
        self.maintenance = Maintenance(config, self.database, self.deployments, self.builder)
        await stack.enter_async_context(running(self._watch(), "watch over the data directory", self._lose))
        await stack.enter_async_context(running(self.maintenance.run(), "maintenance", self._lose))

    def _lose(self, part: str) -> None:
        if not self.lost.done():
            self.lost.set_result(part)

    async def execute(
        self,
        function_id: str,
        *,
        body: str | bytes = b"",
        path: str = "/",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> ExecutionResult:
        """Run a function with every right and return its finished execution.

        Raises FunctionNotFound, DeploymentNotFound, BuildNotReady and FunctionSynchronousTimeout.
        """
        target = await self.executor.ready(function_id)
        request = ExecutionRequest(
            method=method,
            path=path,
            headers=tuple((name.lower(), value) for name, value in (headers or {}).items()),
            body=body.encode() if isinstance(body, str) else body,
        )
        return await self.executor.execute(target, request)

    async def emit(self, event: str, payload: Mapping[str, Any] | bytes, *, user_id: str = "") -> int:
        """Queue an execution of every function that subscribes to `event`; return how many, once they are safe.

        `event` is a name such as `orders.42.create`; `payload` is the body of the executions, an object or JSON.
        Raises ArgumentInvalid when the name is not one of an event.
        """
        return await self.events.emit(event, payload, user_id=user_id)

    async def protections(self) -> tuple[Protection, ...]:
        """Return what functions are kept from, found once by a process that looks from inside the engine."""
        if self._protections is None:
            try:
                self._protections = await inspect(self.engine, self.spawner, Network(self.config.network))
            except SandboxError as error:
                return (Protection(name="isolation", state="OFF", reason=str(error)),)
        return self._protections

    async def missing(self) -> str:
        """Return which file that the server cannot do without was removed or replaced, "" while all are there."""
        return self.database.missing() or await asyncio.to_thread(self._locked.missing)

    async def _watch(self) -> None:
        """Raise FileNotFoundError once a file of the data directory is missing: nothing that is done is kept."""
        while not (missing := await self.missing()):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(WATCH_SECONDS)
        raise FileNotFoundError(errno.ENOENT, "removed or replaced while the server ran", missing)

    def _load_runtimes(self) -> RuntimeTable:
        """Return the runtimes; an engine without a file system of its own needs the wrappers where any uid may read."""
        table = RuntimeTable.load()
        drops = os.geteuid() == 0 and self.engine.name in ("sandlock", "process")
        return table.public(self.data.run / "runtimes") if drops else table

    def _prewarm(self, function: Function, deployment: Deployment) -> None:
        self._spawn(self._prewarm_later(function.id))

    async def _prewarm_later(self, function_id: str) -> None:
        try:
            target = await self.functions.target(function_id)
            if target.deployment is not None:
                self.pool.prewarm(self._launcher.worker(target))
        except FunctionNotFound:
            logger.info("%s was deleted before a worker was started", function_id)
        except RuntimeUnavailable as exc:
            logger.warning("%s cannot be started: %s", function_id, exc)

    async def _retire(self, deployment_id: str) -> None:
        self.pool.drop(deployment_id)
        self._launcher.forget(deployment_id)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish_tasks(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
