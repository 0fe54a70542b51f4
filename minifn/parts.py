"""Every part of a server, started in order and stopped in reverse."""

import asyncio
import errno
import importlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, Self

from minifn.builder import BuildContext, Builder, MakeBuilds
from minifn.builder.toolchains import ToolchainCaches
from minifn.change_feed import ChangeFeed
from minifn.config import Config, is_weaker
from minifn.endpoint import ApiEndpoint
from minifn.errors import FunctionNotFound, NotRunning
from minifn.git import GitContext, GitService
from minifn.hooks import Hooks
from minifn.host import memory_limit
from minifn.host.budget import Budgets
from minifn.host.datadir import DataDir
from minifn.host.identity import FileIdentity
from minifn.host.reloader import hide_code, watching_process
from minifn.host.space import check_writes, forbids_execution
from minifn.host.tasks import Tasks, running
from minifn.languages import RuntimeTable, RuntimeUnavailable
from minifn.models import Deployment, Function
from minifn.process_env import UID_BASE, function_uid
from minifn.sandbox.choose import choose
from minifn.sandbox.command import Network, SandboxError
from minifn.sandbox.engines import Engine, user_under
from minifn.sandbox.protections import Protection, inspect
from minifn.sandbox.spawner import Spawner
from minifn.services.deployments import DeploymentService
from minifn.services.domains import DomainService
from minifn.services.events import Events
from minifn.services.executions import Executions
from minifn.services.functions import FunctionService
from minifn.services.keys import Keys
from minifn.services.nodes import Nodes
from minifn.services.retention import Retention
from minifn.services.schedules import Scheduler
from minifn.services.sign_in_links import SignInLinks
from minifn.services.targets import Targets
from minifn.services.uploads import Uploads
from minifn.services.variables import VariableService
from minifn.store import settings, template_notes
from minifn.store.cipher import load_cipher
from minifn.store.database import Database
from minifn.tokens import Tokens
from minifn.workers.interface import Workers
from minifn.workers.machine import load_runtimes, make_pool
from minifn.workers.nodes import Cluster
from minifn.workers.pool import Pool
from minifn.workers.records import WorkerSpec
from minifn.workers.specs import WorkerSpecs

logger = logging.getLogger("minifn.parts")

#: Seconds between two checks of the data directory.
WATCH_SECONDS = 5.0


class Parts:
    """The parts of one server: an async context manager, inside which functions are built and run.

    Constructing it starts nothing. Entering it starts every part in the order of the code below,
    leaving it stops them in reverse. It installs no signal handlers.
    """

    data: DataDir
    engine: Engine
    runtimes: RuntimeTable
    spawner: Spawner
    database: Database
    tokens: Tokens
    keys: Keys
    targets: Targets
    functions: FunctionService
    variables: VariableService
    domains: DomainService
    deployments: DeploymentService
    uploads: Uploads
    builder: Builder
    toolchains: ToolchainCaches
    #: The workers of this machine.
    pool: Pool
    #: The workers that run executions: the pool, or those of a cluster's nodes.
    workers: Workers
    #: The nodes of the cluster, None without one.
    cluster: Cluster | None
    nodes: Nodes
    #: Makes the specs of workers.
    specs: WorkerSpecs
    executions: Executions
    git: GitService
    events: Events
    retention: Retention
    scheduler: Scheduler
    #: Changes of functions, deployments, executions and variables.
    changes: ChangeFeed
    #: Resolves to the name of the first essential part that died.
    lost: asyncio.Future[str]
    #: Set when the server stops: answers that go on end.
    stopping: asyncio.Event
    #: The secret of the key with every scope, and whether this start made it.
    admin_key: str
    admin_key_is_new: bool
    #: The engine of the last start if it was stronger, otherwise "".
    stronger_before: str

    def __init__(self, config: Config) -> None:
        self.config = config
        self.data = DataDir(config.data)
        #: The environment of which builds and git inherit the variables that the setting names.
        self.environ: Mapping[str, str] = dict(os.environ)
        #: Seconds since the epoch, for the windows of rate limits.
        self.rate_clock: Callable[[], float] = time.time
        self.changes = ChangeFeed()
        self.budgets = Budgets(memory_limit.look().limit_bytes)
        self.endpoint = ApiEndpoint(config)
        self.sign_in_links = SignInLinks()
        self.cluster = None
        #: Whether everything is started, and not yet stopped.
        self.running = False
        #: Called at each stop, by those who keep parts that the next start makes again.
        self.on_stop: list[Callable[[], None]] = []
        self._stack = AsyncExitStack()
        self._protections: tuple[Protection, ...] | None = None
        self._watcher_named = self._watcher_sought = False
        self._tasks = Tasks()
        #: Makes builds on the nodes of a cluster; None makes them here.
        self._builds: MakeBuilds | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        self.running = True
        return self

    async def __aexit__(self, *error: object) -> None:
        self.running = False
        self.stopping.set()
        try:
            await self._stack.aclose()
        finally:
            for forget in self.on_stop:
                forget()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Run while the app runs: `Starlette(..., lifespan=minifn.lifespan)`."""
        async with self:
            yield

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Raise NotRunning for a part that is not made yet, AttributeError for another name."""
            if any(name in get_annotations(kind) for kind in type(self).__mro__):
                raise NotRunning
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    async def _start(self, stack: AsyncExitStack) -> None:
        self.lost = asyncio.get_running_loop().create_future()
        self.stopping = asyncio.Event()
        await self.open_data(stack)
        await self.open_machine(stack)
        self.make_services()
        await self.run_loops(stack)

    async def open_data(self, stack: AsyncExitStack) -> None:
        """Start the launcher, then open the data directory: its secrets and its database."""
        await asyncio.to_thread(hide_code, self.data, self.environ)
        self.data.open()
        await asyncio.to_thread(self._point_out_watcher)
        if forbids_execution(self.data.builds):
            logger.warning(
                "%s lies on a file system that is mounted noexec: compiled packages and programs of"
                " functions do not run. Name another data directory",
                self.data.builds,
            )
        # First, so that it inherits no descriptors and no memory of the other parts.
        self.spawner = await stack.enter_async_context(Spawner(self.data.run))
        self.spawner.lost.add_done_callback(lambda _: self._lose("launcher of functions"))
        self._lock = FileIdentity(self.data.run / "lock")
        await self.open_database(stack)

    def _point_out_watcher(self) -> None:
        """Warn, once, of a process that may restart the server when its own data changes."""
        name = "" if self._watcher_named else watching_process(self.data.root)
        if name:
            self._watcher_named = True
            logger.warning(
                "%s watches the data directory %s and may restart the server with each change:"
                " have it ignore that directory, or name another one",
                name,
                self.data.root,
            )

    async def open_database(self, stack: AsyncExitStack) -> None:
        """Read or make the secrets, and open the database."""
        config, data = self.config, self.data
        self.admin_key, self.admin_key_is_new = data.keep_secret(data.admin_key, config.api_key)
        self._secret, _ = data.keep_secret(data.jwt_secret, config.jwt_secret)
        cipher = load_cipher(data, config.variables_key)
        database = Database(data.database, cipher, flushed=config.durability == "power")
        self.database = await stack.enter_async_context(database)

    async def open_machine(self, stack: AsyncExitStack) -> None:
        """Choose the engine, find the runtimes and open the pool of workers."""
        config = self.config
        self.engine = await choose(config.sandbox, self.spawner, self.data, Network(config.network))
        before = await self.database.write(settings.swap, "engine", self.engine.name)
        self.stronger_before = before if is_weaker(self.engine.name, before) else ""
        self.runtimes = await asyncio.to_thread(load_runtimes, config, self.data, self.engine)
        self.pool = await stack.enter_async_context(
            make_pool(Pool, config, self.spawner, self.engine)
        )
        self.pool.templates.on_refused = self._note_refused
        self.workers, self.cluster = self.pool, None
        if config.cluster:
            # Imported here, because only this needs Ray, which takes seconds. Raises an OSError.
            await asyncio.to_thread(importlib.import_module, "minifn.cluster.pool")
            from minifn.cluster.pool import ClusterPool

            nodes = ClusterPool(config, self.data, self.endpoint)
            self.workers = self.cluster = await stack.enter_async_context(nodes)
            self._builds = nodes.builds

    def _note_refused(self, spec: WorkerSpec, why: str) -> None:
        if spec.forks and spec.target is not None and spec.target.deployment is not None:
            self.database.write(template_notes.keep, spec.target.deployment.id, why)

    def hooks(self) -> Hooks:
        """Return the calls from lower parts to higher ones."""
        return Hooks(
            build=lambda: self.builder.wake(),
            interrupt=lambda deployment_id: self.builder.interrupt(deployment_id),
            retire=self._retire,
            forget=self._forget,
            prewarm=self._prewarm,
            scheduled=lambda: self.scheduler.wake(),
        )

    def make_services(self) -> None:
        """Make every service; none runs yet."""
        config, data, database = self.config, self.data, self.database
        changes, hooks = self.changes, self.hooks()
        self.tokens = Tokens(self._secret, config.project)
        self.keys = Keys(database)
        self.nodes = Nodes(database, self.cluster)
        installations = [pair.partition("=")[0] for pair in config.git_installations]
        self.targets = Targets(database)
        self.functions = FunctionService(database, installations=installations, changes=changes)
        self.variables = VariableService(database, changes)
        self.domains = DomainService(database, config.functions_domain)
        self.toolchains = ToolchainCaches(data, self.engine, lambda: self.spawner)
        self.specs = WorkerSpecs(
            config, data, self.engine, self.runtimes, self.endpoint, self.toolchains.share
        )
        self.deployments = DeploymentService(data, database, hooks, changes)
        self.uploads = Uploads(config, data, database, self.deployments, hooks, changes)
        self.executions = Executions(
            config,
            database,
            self.targets,
            self.workers,
            self.specs,
            self.tokens,
            changes,
            hooks,
        )
        self.events = Events(database, self.targets, self.executions)
        self.scheduler = Scheduler(database, self.targets, self.executions)
        self.make_builders(hooks)

    def make_builders(self, hooks: Hooks) -> None:
        """Make the parts that start processes: builds and git."""
        building = BuildContext(
            config=self.config,
            endpoint=self.endpoint,
            data=self.data,
            database=self.database,
            engine=self.engine,
            spawner=self.spawner,
            runtimes=self.runtimes,
            toolchains=self.toolchains,
            folders=self.deployments.folders,
            tokens=self.tokens,
            changes=self.changes,
            hooks=hooks,
            environ=self.environ,
        )
        self.builder = Builder(building, self.deployments.packed, self._builds)
        self.git = GitService(
            GitContext(
                config=self.config,
                endpoint=self.endpoint,
                data=self.data,
                database=self.database,
                engine=self.engine,
                spawner=self.spawner,
                hooks=hooks,
                secret=self._secret,
                changes=self.changes,
                environ=self.environ,
            )
        )
        self.retention = Retention(self.config, self.database, self.deployments, self.builder)

    async def run_loops(self, stack: AsyncExitStack) -> None:
        """Recover what the last stop left, and run every loop in the background."""
        await self.domains.open()
        own_users = user_under(self.engine, UID_BASE) > 0
        await self.deployments.tidy(function_uid if own_users else None)
        await asyncio.to_thread(self.toolchains.tidy, self.runtimes.cache_names)
        stack.push_async_callback(self._tasks.wait)
        if self.cluster is not None:
            await self.nodes.open()
            await self.run_loop(stack, self.cluster.watch(), "connection to the cluster")
        await stack.enter_async_context(self.builder)
        await self.run_loop(stack, self.builder.run(), "builder")
        await stack.enter_async_context(self.executions)
        await self.run_loop(stack, self.executions.run(), "queue of executions")
        await stack.enter_async_context(self.git)
        await self.run_loop(stack, self.git.run(), "queue of repositories")
        await self.run_loop(stack, self.scheduler.run(), "scheduler")
        await self.run_loop(stack, self._watch(), "watch over the data directory")
        await self.run_loop(stack, self.retention.run(), "retention")

    async def run_loop(
        self, stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str
    ) -> None:
        """Run a loop until the stack is closed; the server stops when it fails."""
        await stack.enter_async_context(running(work, name, self._lose))

    def _lose(self, part: str) -> None:
        if not self.lost.done():
            self.lost.set_result(part)

    async def protections(self) -> tuple[Protection, ...]:
        """Return the protections of functions, found once by a process inside the engine."""
        if self._protections is None:
            try:
                self._protections = await inspect(
                    self.engine, self.spawner, Network(self.config.network)
                )
            except SandboxError as error:
                return (Protection(name="isolation", state="OFF", reason=str(error)),)
        return self._protections

    async def missing(self) -> str:
        """Return the path of an essential file that was removed or replaced, "" for none."""
        return self.database.missing() or await asyncio.to_thread(self._lock.missing)

    async def trouble(self) -> str:
        """Return why nothing can be stored now, "" for no reason."""
        if missing := await self.missing():
            return f"{missing} was removed or replaced"
        try:
            await asyncio.to_thread(check_writes, self.data.run)
        except OSError as error:
            return f"{self.data.root} cannot be written: {error.strerror}"
        return ""

    async def _watch(self) -> None:
        """Raise FileNotFoundError once an essential file is missing, because work would be lost."""
        while not (missing := await self.missing()):
            await asyncio.sleep(WATCH_SECONDS)
            if not self._watcher_sought:
                # Reloaders begin to watch only when they have started the app.
                self._watcher_sought = True
                await asyncio.to_thread(self._point_out_watcher)
        raise FileNotFoundError(errno.ENOENT, "removed or replaced while the server ran", missing)

    def _prewarm(self, function: Function, deployment: Deployment) -> None:
        self._tasks.start(self._prewarm_later(function.id), f"minifn-prewarm-{function.id}")

    async def _prewarm_later(self, function_id: str) -> None:
        try:
            target = await self.targets.of(function_id)
            if target.deployment is not None:
                self.workers.prewarm(self.specs.of(target))
        except FunctionNotFound:
            logger.info("%s was deleted before a worker was started", function_id)
        except RuntimeUnavailable as exc:
            logger.warning("%s cannot be started: %s", function_id, exc)

    def _forget(self, function_id: str) -> None:
        if self.cluster is not None:
            self.cluster.forget(function_id)

    async def _retire(self, deployment_id: str) -> None:
        self.workers.drop(self.specs.forget(deployment_id))
