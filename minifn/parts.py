"""Every part of a server, started in order and stopped in reverse."""

import asyncio
import errno
import logging
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Self

import psutil

from minifn.builder import BuildContext, Builder
from minifn.change_feed import ChangeFeed
from minifn.config import Config, is_weaker
from minifn.errors import FunctionNotFound
from minifn.git import GitContext, GitService
from minifn.host.datadir import DataDir
from minifn.host.identity import FileIdentity
from minifn.host.tasks import running
from minifn.languages import RuntimeTable, RuntimeUnavailable
from minifn.models import Deployment, Function
from minifn.sandbox.choose import Protection, choose, inspect
from minifn.sandbox.command import Network, SandboxError
from minifn.sandbox.engines import Engine
from minifn.sandbox.spawner import Spawner
from minifn.services.deployments import DeploymentService, Effects
from minifn.services.domains import DomainService
from minifn.services.events import Events
from minifn.services.executions import Executions
from minifn.services.functions import FunctionService
from minifn.services.keys import Keys
from minifn.services.retention import Retention
from minifn.services.schedules import Scheduler
from minifn.store import settings
from minifn.store.cipher import load_cipher
from minifn.store.database import Database
from minifn.tokens import Tokens
from minifn.workers.pool import Pool
from minifn.workers.specs import WorkerSpecs

logger = logging.getLogger("minifn.parts")

#: How often the data directory is looked at.
WATCH_SECONDS = 5.0

#: Memory that a warm worker may take of the machine's: bounds how many there are.
WORKER_BYTES = 64 * 1024 * 1024


class Parts:
    """The parts of one functions runtime: an async context manager, inside which functions are built and run.

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
    rules: DomainService
    deployments: DeploymentService
    builder: Builder
    pool: Pool
    executor: Executions
    git: GitService
    events: Events
    maintenance: Retention
    #: What happens to functions, deployments, executions and variables.
    changes: ChangeFeed
    #: Names the part without which the server cannot go on, once one has ended by itself.
    lost: asyncio.Future[str]
    #: The secret of the key with every scope, and whether it was made by this start.
    admin_key: str
    admin_key_is_new: bool
    #: The engine of the last start when it was a stronger one, else "".
    stronger_before: str

    def __init__(self, config: Config) -> None:
        self.config = config
        self.changes = ChangeFeed()
        self._stack = AsyncExitStack()
        self._protections: tuple[Protection, ...] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

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
        self._locked = FileIdentity(data.run / "lock")
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
        self.rules = DomainService(self.database, config.functions_domain)
        await self.rules.open()
        self._launcher = launcher = WorkerSpecs(config, data, self.engine, self.runtimes)
        self.pool = await stack.enter_async_context(
            Pool(
                self.spawner,
                self.engine,
                idle_seconds=config.idle_seconds,
                workers_max=max(8, psutil.virtual_memory().total // 2 // WORKER_BYTES),
                function_workers_max=config.function_workers,
            )
        )
        self.builder = Builder(
            BuildContext(
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
            Executions(config, self.database, self.functions, self.pool, launcher, self.tokens, self.changes)
        )
        await stack.enter_async_context(running(self.executor.run(), "queue of executions", self._lose))
        self.git = await stack.enter_async_context(
            GitService(
                GitContext(
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
        self.maintenance = Retention(config, self.database, self.deployments, self.builder)
        await stack.enter_async_context(running(self._watch(), "watch over the data directory", self._lose))
        await stack.enter_async_context(running(self.maintenance.run(), "maintenance", self._lose))

    def _lose(self, part: str) -> None:
        if not self.lost.done():
            self.lost.set_result(part)

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
