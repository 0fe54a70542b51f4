"""The queue of builds: which deployment is built when, and how the end of a build is stored."""

import asyncio
import functools
import logging
import math
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from minifn.builder.build import Build, HomeBuilds
from minifn.builder.caches import trim
from minifn.builder.commands import BuildError
from minifn.builder.context import BuildContext
from minifn.builder.logs import BuildLog
from minifn.builder.order import (
    Begun,
    BuildOrder,
    Builds,
    Built,
    Superseded,
    identity_here,
    order_of,
)
from minifn.builder.packed import PackedBuilds
from minifn.errors import DeploymentNotFound
from minifn.host.files import remove_tree, sync_tree
from minifn.host.space import TreeRefused, TreeSize
from minifn.host.tasks import Tasks
from minifn.instants import now_ms
from minifn.log_text import one_line
from minifn.models import Deployment, DeploymentStatus, Function, Variable
from minifn.process_env import merge_variables
from minifn.store import (
    build_queue,
    deployments,
    functions,
    packed_builds,
    settings,
    variables,
)
from minifn.store.build_queue import BuildResult
from minifn.store.connection import may_pass
from minifn.store.database import INSIST_SECONDS

logger = logging.getLogger("minifn.builder")

#: Returns what makes the builds of a server.
MakeBuilds = Callable[[BuildContext, PackedBuilds], Builds]

#: Setting that a server has whose builds machines of a cluster may have made.
_CLUSTER = "cluster"
#: Seconds after its end until a build is packed: the first calls of the deployment come first.
PACK_SECONDS = 1.0


class Builder:
    """Builds waiting deployments, oldest first, a few at a time, while `run` runs.

    An async context manager, entered before `run`.
    """

    def __init__(
        self, context: BuildContext, packed: PackedBuilds, builds: MakeBuilds | None = None
    ) -> None:
        """`builds`: for builds elsewhere; None makes them here."""
        self._context = context
        self._packed = packed
        self._maker: Builds = builds(context, packed) if builds else HomeBuilds(context)
        self._builds = Tasks()
        self._packing = Tasks()
        #: Ids of the deployments that are being built -> ids of their functions.
        self._building: dict[str, str] = {}
        self._wake = asyncio.Event()

    async def __aenter__(self) -> "Builder":
        """Queue the builds that the last stop interrupted, and pack those it left unpacked."""
        await self._follow_cluster()
        interrupted = await self._context.database.write(build_queue.requeue_unfinished, now_ms())
        if interrupted:
            logger.warning(
                "%d builds were interrupted by the last stop and start again", interrupted
            )
        for deployment_id in await self._context.database.read(packed_builds.never_packed):
            self._pack_later(deployment_id)
        return self

    async def _follow_cluster(self) -> None:
        """Queue the builds of nodes of another kind, once the server has left its cluster.

        Their nodes ran them; this machine cannot.
        """
        database, data = self._context.database, self._context.data
        was_there = await database.read(settings.get, _CLUSTER)
        if not isinstance(self._maker, HomeBuilds):
            if not was_there:
                await database.write(settings.put, _CLUSTER, "joined")
            return
        if not was_there:
            return
        here: dict[str, str] = {}
        foreign = []
        for own, runtime, identity in await database.read(packed_builds.identities):
            if runtime not in here:
                here[runtime] = await identity_here(self._context, runtime)
            if here[runtime] not in ("", identity) and data.source(own).exists():
                foreign.append(own)
        if foreign:
            logger.warning(
                "%d builds of the cluster's machines cannot run on this one and are made again",
                len(foreign),
            )
        await database.write(_leave_cluster, foreign, now_ms())

    async def __aexit__(self, *error: object) -> None:
        """Stop building; interrupted builds start again with the next server."""
        await self._packing.end()
        await self._builds.end()

    def wake(self) -> None:
        """Look for waiting deployments."""
        self._wake.set()

    async def interrupt(self, deployment_id: str) -> None:
        """End the build of a canceled or deleted deployment, with its processes and files."""
        await self._builds.interrupt(_task_name(deployment_id))

    async def trim_caches(self, limit_bytes: int) -> int:
        """Remove the least recently used build caches beyond `limit_bytes`; return how many."""
        return await trim(self._context.data.caches, limit_bytes, self._building.values)

    async def run(self) -> None:
        """Build deployments as they come."""
        while True:
            self._wake.clear()
            while len(self._builds) < self._context.config.build_concurrency:
                deployment = await self._context.database.insist(build_queue.claim, now_ms())
                if deployment is None:
                    break
                self._context.changes.tell("update", deployment)
                self._begin(deployment)
            await self._wake.wait()

    def _begin(self, deployment: Deployment) -> None:
        self._building[deployment.id] = deployment.function_id
        self._builds.start(
            self._build(deployment),
            _task_name(deployment.id),
            functools.partial(self._release, deployment.id),
        )

    def _release(self, deployment_id: str) -> None:
        del self._building[deployment_id]
        self._wake.set()

    async def _build(self, deployment: Deployment) -> None:
        started = time.monotonic()
        database = self._context.database
        function, merged = await database.read(_inputs, deployment.function_id)
        if function is None:
            return
        log = BuildLog(database, deployment.id, self._context.changes)
        ended = None
        try:
            status, built = await self._attempt(
                order_of(self._context, function, deployment, merged), log
            )
            if status != "ready":
                await self._discard(deployment.id)
            await log.flush()
            result = BuildResult(
                status=status,
                duration_seconds=max(1, math.ceil(time.monotonic() - started)),
                build_size_bytes=built.size.size_bytes,
                build_identity=built.identity,
                build_sha256=built.sha256,
            )
            ended = await self._record(deployment, result)
        except Superseded:
            logger.info("deployment %s was canceled or deleted during its build", deployment.id)
        finally:
            log.close()
            if ended is None:
                await self._discard(deployment.id)
        if ended is not None:
            await self._tell(function, ended)

    async def _record(self, deployment: Deployment, result: BuildResult) -> Deployment | None:
        """Store how a build ended; None when it was canceled or deleted meanwhile.

        A task that is canceled meanwhile still waits for the outcome: the files of a `ready` build
        must stay.
        """
        while True:
            recording = self._context.database.write(
                build_queue.finish, deployment.id, result, now_ms()
            )
            try:
                return await asyncio.shield(recording)
            except asyncio.CancelledError:
                return await recording
            except sqlite3.Error as exc:
                if not may_pass(exc):
                    raise
            await asyncio.sleep(INSIST_SECONDS)

    async def _attempt(self, order: BuildOrder, log: BuildLog) -> tuple[DeploymentStatus, Built]:
        """Build within the deadline; a failure is noted in the log. Raises Superseded."""
        timeout_seconds = self._context.config.build_timeout
        deployment = order.deployment
        try:
            async with asyncio.timeout(timeout_seconds):
                built = await self._make(order, log)
                # Before the deployment becomes `ready`.
                await asyncio.to_thread(sync_tree, self._context.data.build(deployment.id))
        except Superseded:
            raise
        except TimeoutError:
            problem = f"Build timed out after {timeout_seconds} seconds."
        except BuildError as exc:
            problem = str(exc)
        except Exception as exc:
            logger.exception("a build of function %s could not be run", deployment.function_id)
            problem = f"Internal error: {type(exc).__name__}."
        else:
            size = built.size
            log.note(f"Build finished: {size.files:,} files, {size.size_bytes:,} bytes.")
            return "ready", built
        problem += await self._forget_keys(deployment.id, problem)
        log.note(problem)
        logger.warning(
            "build of deployment %s of function %s failed: %s",
            deployment.id,
            deployment.function_id,
            one_line(problem),
        )
        return "failed", Built(size=TreeSize(), identity="")

    async def _make(self, order: BuildOrder, log: BuildLog) -> Built:
        """Unpack the packed build of a restored deployment, or make a new one.

        Raises as `Builds.build`.
        """
        deployment = order.deployment
        begun = self._begun_once(deployment.id)
        if packed := await self._usable(order):
            log.note(f"Its packed build fits this machine ({deployment.build_identity}).")
            try:
                built = await Build(self._context, order, log, begun).adopt(packed)
                return msgspec.structs.replace(built, sha256=deployment.build_sha256)
            except BuildError as exc:
                log.note(f"The packed build is not used: {exc}")
        await asyncio.to_thread(self._packed.drop, deployment.id)
        return await self._maker.build(order, log, begun)

    async def _usable(self, order: BuildOrder) -> Path | None:
        """Return the packed build of a deployment if it is whole and belongs to this machine."""
        packed = await asyncio.to_thread(self._packed.kept, order.deployment)
        if packed is None:
            return None
        here = await identity_here(self._context, order.function.runtime)
        return packed if order.deployment.build_identity == here else None

    def _begun_once(self, deployment_id: str) -> Begun:
        """Return what records, the first time, that the source of a build is in its directory."""
        done = False

        async def begun() -> None:
            nonlocal done
            if done:
                return
            database = self._context.database
            building = await database.write(build_queue.start_building, deployment_id, now_ms())
            if building is None:
                raise Superseded
            done = True
            self._context.changes.tell("update", building)

        return begun

    async def _tell(self, function: Function, deployment: Deployment) -> None:
        """Publish how a build ended, and start a worker when its deployment became active."""
        self._context.changes.tell("update", deployment)
        if deployment.status != "ready":
            return
        current = await self._context.database.read(functions.get, function.id)
        if current is not None and current.deployment_id == deployment.id:
            self._context.hooks.prewarm(current, deployment)
            if not deployment.build_sha256 and deployment.id not in self._context.folders:
                self._pack_later(deployment.id)

    def _pack_later(self, deployment_id: str) -> None:
        self._packing.start(self._pack(deployment_id), f"minifn-pack-{deployment_id}")

    async def _pack(self, deployment_id: str) -> None:
        await asyncio.sleep(PACK_SECONDS)
        try:
            await self._packed.of(deployment_id)
        except (DeploymentNotFound, TreeRefused, OSError, sqlite3.Error) as exc:
            logger.info("the build of deployment %s was not packed: %s", deployment_id, exc)

    async def _discard(self, deployment_id: str) -> None:
        """Remove a build that did not become ready. An error does not change how it ended."""
        try:
            await asyncio.to_thread(remove_tree, self._context.data.build(deployment_id))
            await asyncio.to_thread(self._packed.drop, deployment_id)
        except OSError:
            logger.exception("files of a build could not be removed; the next start tries again")

    async def _forget_keys(self, deployment_id: str, problem: str) -> str:
        """Remove an archive that failed because it has keys of a server; return a line about it.

        A download would show them to each key that may read deployments.
        """
        # Imported here: an idle server does without tarfile.
        from minifn.archive.unpack_main import NO_SERVER_FILES

        if NO_SERVER_FILES not in problem:
            return ""
        try:
            source = self._context.data.source(deployment_id)
            await asyncio.to_thread(source.unlink, missing_ok=True)
        except OSError:
            logger.exception("an archive with keys of a server could not be removed")
            return " Delete the deployment, and leave that directory out."
        return " The archive is not kept. Leave that directory out, and deploy again."


def _leave_cluster(conn: sqlite3.Connection, foreign: list[str], now: int) -> None:
    """Queue builds again, and note that the cluster is left."""
    deployments.rebuild(conn, foreign, now)
    settings.remove(conn, _CLUSTER)


def _task_name(deployment_id: str) -> str:
    return f"minifn-build-{deployment_id}"


def _inputs(conn: sqlite3.Connection, function_id: str) -> tuple[Function | None, dict[str, str]]:
    """Return a function and its variables, merged with the project's."""
    function = functions.get(conn, function_id)
    found: list[Variable] = [
        *variables.of_function(conn, ""),
        *variables.of_function(conn, function_id),
    ]
    return function, merge_variables(found)
