"""The queue of builds: which deployment is built when, and how the end of a build is stored."""

import asyncio
import functools
import logging
import math
import sqlite3
import time
from types import TracebackType

from minifn.builder.build import Build, Superseded
from minifn.builder.caches import least_used, set_aside
from minifn.builder.commands import BuildError
from minifn.builder.context import BuildContext
from minifn.builder.logs import BuildLog
from minifn.host.datadir import remove_tree
from minifn.host.space import TreeSize
from minifn.host.tasks import Tasks
from minifn.instants import now_ms
from minifn.log_text import one_line
from minifn.models import Deployment, DeploymentStatus, Function, Variable
from minifn.process_env import merge_variables
from minifn.store import deployments, functions, variables
from minifn.store.connection import may_pass
from minifn.store.database import INSIST_SECONDS
from minifn.store.deployments import BuildResult

logger = logging.getLogger("minifn.builder")


class Builder:
    """Builds waiting deployments, oldest first, a few at a time, while `run` runs.

    An async context manager, entered before `run`.
    """

    def __init__(self, context: BuildContext) -> None:
        self._context = context
        self._builds = Tasks()
        #: Ids of the deployments that are being built -> ids of their functions.
        self._building: dict[str, str] = {}
        self._wake = asyncio.Event()

    async def __aenter__(self) -> "Builder":
        """Queue the builds that the last stop interrupted."""
        interrupted = await self._context.database.write(deployments.requeue_unfinished, now_ms())
        if interrupted:
            logger.warning(
                "%d builds were interrupted by the last stop and start again", interrupted
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop building; interrupted builds start again with the next server."""
        await self._builds.end()

    def wake(self) -> None:
        """Look for waiting deployments."""
        self._wake.set()

    async def interrupt(self, deployment_id: str) -> None:
        """End the build of a canceled or deleted deployment, with its processes and files."""
        await self._builds.interrupt(_task_name(deployment_id))

    async def trim_caches(self, limit_bytes: int) -> int:
        """Remove the least recently used build caches beyond `limit_bytes`; return how many."""
        found = await asyncio.to_thread(least_used, self._context.data.caches, limit_bytes)
        # Set aside at once, so that a build that begins now makes a new cache.
        removed = [set_aside(path) for path in found if path.name not in self._building.values()]
        for path in removed:
            await asyncio.to_thread(remove_tree, path)
        return len(removed)

    async def run(self) -> None:
        """Build deployments as they come."""
        while True:
            self._wake.clear()
            while len(self._builds) < self._context.config.build_concurrency:
                deployment = await self._context.database.insist(deployments.claim, now_ms())
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
        build = Build(self._context, function, deployment, log)
        ended = None
        try:
            status, usage = await self._attempt(build, deployment, merged, log)
            seconds = max(1, math.ceil(time.monotonic() - started))
            await _clear(build, keep=status == "ready")
            await log.flush()
            result = BuildResult(
                status=status, duration_seconds=seconds, build_size_bytes=usage.size_bytes
            )
            ended = await self._record(deployment, result)
        except Superseded:
            logger.info("deployment %s was canceled or deleted during its build", deployment.id)
        finally:
            log.close()
            if ended is None:
                await _clear(build, keep=False)
        if ended is not None:
            await self._tell(function, ended)

    async def _record(self, deployment: Deployment, result: BuildResult) -> Deployment | None:
        """Store how a build ended; None when it was canceled or deleted meanwhile.

        A task that is canceled meanwhile still waits for the outcome: the files of a `ready` build
        must stay.
        """
        while True:
            recording = self._context.database.write(
                deployments.finish, deployment.id, result, now_ms()
            )
            try:
                return await asyncio.shield(recording)
            except asyncio.CancelledError:
                return await recording
            except sqlite3.Error as exc:
                if not may_pass(exc):
                    raise
            await asyncio.sleep(INSIST_SECONDS)

    async def _attempt(
        self, build: Build, deployment: Deployment, merged: dict[str, str], log: BuildLog
    ) -> tuple[DeploymentStatus, TreeSize]:
        """Build within the deadline; a failure is noted in the log. Raises Superseded."""
        timeout_seconds = self._context.config.build_timeout
        try:
            async with asyncio.timeout(timeout_seconds):
                usage = await build.run(merged)
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
            log.note(f"Build finished: {usage.files:,} files, {usage.size_bytes:,} bytes.")
            return "ready", usage
        log.note(problem)
        logger.warning(
            "build of deployment %s of function %s failed: %s",
            deployment.id,
            deployment.function_id,
            one_line(problem),
        )
        return "failed", TreeSize()

    async def _tell(self, function: Function, deployment: Deployment) -> None:
        """Publish how a build ended, and start a worker when its deployment became active."""
        self._context.changes.tell("update", deployment)
        if deployment.status != "ready":
            return
        current = await self._context.database.read(functions.get, function.id)
        if current is not None and current.deployment_id == deployment.id:
            self._context.hooks.prewarm(current, deployment)


def _task_name(deployment_id: str) -> str:
    return f"minifn-build-{deployment_id}"


async def _clear(build: Build, *, keep: bool) -> None:
    """Remove the files that a build leaves behind. An error does not change how the build ended."""
    try:
        await asyncio.to_thread(build.clear, keep=keep)
    except OSError:
        logger.exception("files of a build could not be removed; the next start tries again")


def _inputs(conn: sqlite3.Connection, function_id: str) -> tuple[Function | None, dict[str, str]]:
    """Return a function and its variables, merged with the project's."""
    function = functions.get(conn, function_id)
    found: list[Variable] = [
        *variables.of_function(conn, ""),
        *variables.of_function(conn, function_id),
    ]
    return function, merge_variables(found)
