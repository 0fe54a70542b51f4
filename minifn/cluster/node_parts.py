"""The parts of a node, as a server has them: launcher, engine, runtimes, pool, directory."""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from minifn.builder.context import BuildMachine
from minifn.builder.order import identity_of
from minifn.builder.toolchains import ToolchainCaches
from minifn.cluster.messages import Facts, Settings
from minifn.cluster.node_builds import NodeBuilds
from minifn.cluster.node_pool import NodePool
from minifn.config import Config
from minifn.endpoint import ApiEndpoint
from minifn.host.datadir import DataDir
from minifn.host.files import remove_tree
from minifn.languages import Installed, RuntimeTable, RuntimeUnavailable
from minifn.sandbox.choose import choose
from minifn.sandbox.command import Network
from minifn.sandbox.engines import Engine
from minifn.sandbox.protections import inspect
from minifn.sandbox.spawner import Spawner
from minifn.workers.machine import load_runtimes, make_pool
from minifn.workers.specs import WorkerSpecs

#: Beginning of the names of nodes' directories.
PREFIX = "minifn-node-"
#: Seconds after which the directory of a node that does not run is removed.
LEFT_SECONDS = 60.0


class NodeParts:
    """The parts of a node; an async context manager. They lie in the machine's /tmp, mode 0700."""

    data: DataDir
    spawner: Spawner
    engine: Engine
    runtimes: RuntimeTable
    specs: WorkerSpecs
    pool: NodePool
    builds: NodeBuilds

    def __init__(self, settings: Settings, node_id: str) -> None:
        self._settings = settings
        own = hashlib.sha256(f"{node_id} {settings.server}".encode()).hexdigest()[:16]
        self._place = Path(tempfile.gettempdir()) / f"{PREFIX}{os.geteuid()}-{own}"
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()
        await asyncio.to_thread(remove_tree, self._place)

    async def _start(self, stack: AsyncExitStack) -> None:
        config = self._config()
        await asyncio.to_thread(_sweep, self._place)
        await asyncio.to_thread(_make_private, self._place)
        self.data = DataDir(self._place)
        self.data.prepare()
        self.spawner = await stack.enter_async_context(Spawner(self.data.run))
        # Builds of a killed predecessor on this node are not trusted again.
        for left in (*self.data.builds.iterdir(), *self.data.deployments.iterdir()):
            if left not in (self.data.caches, self.data.toolchains):
                await asyncio.to_thread(remove_tree, left)
        network = Network(config.network)
        self.engine = await choose(config.sandbox, self.spawner, self.data, network)
        self.runtimes = await asyncio.to_thread(load_runtimes, config, self.data, self.engine)
        toolchains = ToolchainCaches(self.data, self.engine, lambda: self.spawner)
        endpoint = ApiEndpoint(config)
        self.specs = WorkerSpecs(
            config, self.data, self.engine, self.runtimes, endpoint, toolchains.share
        )
        self.pool = await stack.enter_async_context(
            make_pool(NodePool, config, self.spawner, self.engine)
        )
        self.builds = NodeBuilds(
            BuildMachine(
                config=config,
                endpoint=endpoint,
                data=self.data,
                engine=self.engine,
                spawner=self.spawner,
                runtimes=self.runtimes,
                toolchains=toolchains,
            )
        )

    def _config(self) -> Config:
        """Return the node's settings: the server's, with the places of this machine."""
        given = self._settings
        own = Config.from_env(
            {"MINIFN_RUNTIME_PATHS": os.environ.get("MINIFN_RUNTIME_PATHS", "")},
            data=self._place,
            project=given.project,
            endpoint=given.endpoint,
            sandbox=given.sandbox,
            network=given.network,
            idle_seconds=given.idle_seconds,
            function_workers=given.function_workers,
            template_memory=given.template_memory,
            tmp=given.tmp,
            build_limit=given.build_limit,
        )
        return own

    async def facts(self) -> Facts:
        """Return what the node has. Raises SandboxError."""
        network = Network(self._settings.network)
        found = await inspect(self.engine, self.spawner, network)
        installed = self._installed()
        return Facts(
            engine=self.engine.name,
            strength=self.engine.strength,
            runtimes={own: one.interpreter.version_text for own, one in installed.items()},
            identities={own: identity_of(one, self.engine) for own, one in installed.items()},
            caches=await asyncio.to_thread(self.builds.caches),
            protections=tuple((one.name, one.state, one.reason, one.remedy) for one in found),
        )

    def _installed(self) -> dict[str, Installed]:
        """Return the runtimes that this machine has, by id."""
        found = {}
        for one in self.runtimes.all():
            with contextlib.suppress(RuntimeUnavailable):
                found[one.id] = self.runtimes.resolve(one.id)
        return found


def _make_private(place: Path) -> None:
    """Make the directory, mode 0700. Raises FileExistsError for that of another user."""
    place.mkdir(mode=0o700, exist_ok=True)
    status = place.lstat()
    if place.is_symlink() or status.st_uid != os.geteuid():
        raise FileExistsError(f"{place} belongs to another user of this machine: remove it")
    place.chmod(0o700)


def _sweep(own: Path) -> None:
    """Remove the directories of nodes of this user that no longer run; blocks."""
    for place in own.parent.glob(f"{PREFIX}{os.geteuid()}-*"):
        if place == own or place.is_symlink() or place.stat().st_uid != os.geteuid():
            continue
        if time.time() - place.stat().st_mtime > LEFT_SECONDS and not _runs(place):
            shutil.rmtree(place, ignore_errors=True)


def _runs(place: Path) -> bool:
    """Tell whether a launcher holds the lock of a directory."""
    try:
        with (place / "run" / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
