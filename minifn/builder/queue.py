"""Which deployment is built when, and what its build comes to."""

import asyncio
import functools
import logging
import math
import sqlite3
import time
from types import TracebackType

from minifn.builder.build import Build, BuildContext, BuildError, Superseded
from minifn.builder.caches import least_used, set_aside
from minifn.builder.logs import BuildLog
from minifn.host.datadir import remove_tree
from minifn.host.space import TreeSize
from minifn.host.tasks import end
from minifn.instants import now_ms
from minifn.models import Deployment, DeploymentStatus, Function, Variable
from minifn.process_env import merge_variables
from minifn.store import deployments, functions, variables
from minifn.store.connection import may_pass
from minifn.store.database import INSIST_SECONDS
from minifn.store.deployments import BuildResult

logger = logging.getLogger("minifn.builder")


class Builder:
    """Builds waiting deployments, oldest first, a few at a time. An async context manager: inside it, `run` builds."""

    def __init__(self, tools: BuildContext) -> None:
        self._tools = tools
        self._running: dict[str, asyncio.Task[None]] = {}
        #: Deployment -> function, of the builds that run.
        self._building: dict[str, str] = {}
        self._interrupted: set[str] = set()
        self._wake = asyncio.Event()

    async def __aenter__(self) -> "Builder":
        """Queue what the last stop interrupted, and start."""
        interrupted = await self._tools.database.write(deployments.requeue_unfinished, now_ms())
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
        """Stop building; what was being built starts again with the next server."""
        await end(*self._running.values())

    def wake(self) -> None:
        """Say that a deployment waits."""
        self._wake.set()

    async def interrupt(self, deployment_id: str) -> None:
        """End a build whose deployment was canceled or deleted; return when its processes and files are gone."""
        task = self._running.get(deployment_id)
        if task is None:
            return
        if deployment_id not in self._interrupted:
            self._interrupted.add(deployment_id)
            task.cancel()
        await asyncio.wait([task])

    async def trim_caches(self, limit_bytes: int) -> int:
        """Remove the build caches that were not used for longest until the rest is no larger; return how many."""
        found = await asyncio.to_thread(least_used, self._tools.data.caches, limit_bytes)
        # Taken out of the way at once, so that a build that begins now makes a new one.
        removed = [set_aside(path) for path in found if path.name not in self._building.values()]
        for path in removed:
            await asyncio.to_thread(remove_tree, path)
        return len(removed)

    async def run(self) -> None:
        """Build deployments as they come."""
        while True:
            self._wake.clear()
            while len(self._running) < self._tools.config.build_concurrency:
                deployment = await self._tools.database.insist(deployments.claim, now_ms())
                if deployment is None:
                    break
                self._tools.changes.tell("update", deployment)
                self._begin(deployment)
            await self._wake.wait()

    def _begin(self, deployment: Deployment) -> None:
        task = asyncio.create_task(self._build(deployment), name=f"minifn-build-{deployment.id}")
        self._running[deployment.id] = task
        self._building[deployment.id] = deployment.function_id
        task.add_done_callback(functools.partial(self._release, deployment.id))

    def _release(self, deployment_id: str, task: asyncio.Task[None]) -> None:
        del self._running[deployment_id], self._building[deployment_id]
        self._interrupted.discard(deployment_id)
        self._wake.set()
        if not task.cancelled() and task.exception() is not None:
            logger.error(
                "the end of build %s could not be recorded",
                deployment_id,
                exc_info=task.exception(),
            )

    async def _build(self, deployment: Deployment) -> None:
        started = time.monotonic()
        database = self._tools.database
        function, merged = await database.read(_inputs, deployment.function_id)
        if function is None:
            return
        log = BuildLog(database, deployment.id, self._tools.changes)
        build = Build(self._tools, function, deployment, log)
        ended = None
        try:
            status, usage = await self._attempt(build, function, merged, log)
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

        A task that is canceled while it waits learns the outcome all the same: the files must stay if it is `ready`.
        """
        while True:
            recording = self._tools.database.write(
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
        self, build: Build, function: Function, merged: dict[str, str], log: BuildLog
    ) -> tuple[DeploymentStatus, TreeSize]:
        """Build within the deadline; a failure is noted in the log. Raises Superseded."""
        timeout_seconds = self._tools.config.build_timeout
        try:
            async with asyncio.timeout(timeout_seconds):
                usage = await build.run(merged)
        except Superseded:
            raise
        except TimeoutError:
            log.note(f"Build timed out after {timeout_seconds} seconds.")
        except BuildError as exc:
            log.note(str(exc))
        except Exception as exc:
            logger.exception("a build of function %s could not be run", function.id)
            log.note(f"Internal error: {type(exc).__name__}.")
        else:
            log.note(f"Build finished: {usage.files:,} files, {usage.size_bytes:,} bytes.")
            return "ready", usage
        return "failed", TreeSize()

    async def _tell(self, function: Function, deployment: Deployment) -> None:
        """Say how a build ended."""
        self._tools.changes.tell("update", deployment)
        if deployment.status != "ready":
            return
        current = await self._tools.database.read(functions.get, function.id)
        if current is not None and current.deployment_id == deployment.id:
            self._tools.hooks.prewarm(current, deployment)


async def _clear(build: Build, *, keep: bool) -> None:
    """Remove what a build leaves behind. How the build ended counts also when that fails."""
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
