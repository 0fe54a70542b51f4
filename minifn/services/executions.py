"""Runs executions: one path for HTTP calls, domains, schedules and events.

An execution is a row, and the `executions` table is the queue. A synchronous execution runs first and is stored once,
finished, before its answer leaves; a queued one is stored first and claimed by the queue runner, fairly between
functions. One monotonic deadline is handed down: waiting for a worker, its cold start and the call spend it.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Sequence
from types import TracebackType

import msgspec

from minifn.change_feed import ChangeFeed
from minifn.config import Config
from minifn.errors import (
    BuildNotReady,
    DeploymentNotFound,
    FunctionSynchronousTimeout,
    MinifnError,
    Overloaded,
)
from minifn.hooks import Hooks
from minifn.host.tasks import Tasks
from minifn.instants import now_ms
from minifn.languages import RuntimeUnavailable
from minifn.models import Execution, ExecutionRequest, ExecutionResult, Function, Target, Trigger
from minifn.services import execution_records as records
from minifn.services.function_calls import FunctionCalls
from minifn.services.functions import FunctionService
from minifn.services.queue_limits import QueueLimits
from minifn.store import execution_queue, executions
from minifn.store.database import Database
from minifn.tokens import Tokens
from minifn.workers.pool import Pool
from minifn.workers.records import FunctionResponse
from minifn.workers.specs import WorkerSpecs

logger = logging.getLogger("minifn.services.executions")

#: The error of an execution that was running when the server was killed.
INTERRUPTED = "The server stopped while this execution was running.\nError Code: 500"


def check_ready(target: Target) -> None:
    """Raise DeploymentNotFound without an active deployment, BuildNotReady before it is built."""
    if target.deployment is None:
        raise DeploymentNotFound(
            "Deployment not found. Create a deployment before trying to execute a function."
        )
    if target.deployment.status != "ready":
        raise BuildNotReady


class Executions:
    """Runs executions now or later. An async context manager: inside it, `run` runs those that are queued."""

    def __init__(
        self,
        config: Config,
        database: Database,
        functions: FunctionService,
        pool: Pool,
        launcher: WorkerSpecs,
        tokens: Tokens,
        changes: ChangeFeed | None = None,
        hooks: Hooks = Hooks(),  # noqa: B008 - frozen
    ) -> None:
        self._config = config
        self._database = database
        self._functions = functions
        self._pool = pool
        self._launcher = launcher
        self._calls = FunctionCalls(tokens, launcher.endpoint)
        self._running = Tasks()
        #: Which function was served last: the next claim begins behind it.
        self._turn = 0
        self._wake = asyncio.Event()
        self._changes = changes or ChangeFeed()
        self._backlog = QueueLimits(database, config.queue_limit, config.queue_bytes)
        self._halted = False
        self._hooks = hooks

    async def __aenter__(self) -> "Executions":
        failed = await self._database.write(execution_queue.recover, INTERRUPTED, now_ms())
        if failed:
            logger.warning(
                "%d executions were interrupted by the last stop and are marked as failed", failed
            )
        await self._backlog.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put what was claimed and has not ended back into the queue, for the next start."""
        await self._running.end()
        # Everything, and not each task its own: some have not begun, and a claim may have been on its way.
        try:
            await self._database.write(execution_queue.requeue, now_ms())
        except sqlite3.Error as exc:
            logger.error(
                "what was running cannot be queued again (%s) and will be marked as failed", exc
            )

    async def halt(self) -> None:
        """End what runs: synchronous executions fail and are answered, queued ones run again at the next start."""
        self._halted = True
        self._wake.set()
        await self._pool.close()

    async def ready(self, function_id: str) -> Target:
        """Return what is needed to run a function.

        Raises FunctionNotFound, DeploymentNotFound (no active deployment) or BuildNotReady.
        """
        target = await self._functions.target(function_id)
        check_ready(target)
        return target

    async def execute(
        self, target: Target, request: ExecutionRequest, trigger: Trigger = "http"
    ) -> ExecutionResult:
        """Run a function and return its finished, stored execution.

        Raises FunctionSynchronousTimeout, after storing the failed execution, when the cap for synchronous executions
        passed before the function's own timeout did, and Overloaded, with nothing run or stored, when too many
        executions wait for a worker.
        """
        function = target.function
        cap = min(function.timeout_seconds, self._config.sync_timeout)
        execution = records.begin(function, request, trigger)
        response = await self._call(target, execution, request, cap)
        if response.failure == "overloaded":
            raise Overloaded
        capped = response.failure == "timeout" and cap < function.timeout_seconds
        if capped:
            message = f"{FunctionSynchronousTimeout.__doc__}\nError Code: 408"
            response = msgspec.structs.replace(
                response, errors=records.join(response.errors, message)
            )
        result = records.finish(target, execution, response)
        await self._database.write(executions.insert, result.execution)
        self._changes.tell("create", result.execution, result=result)
        if capped:
            raise FunctionSynchronousTimeout
        return result

    async def enqueue(
        self,
        function: Function,
        request: ExecutionRequest,
        trigger: Trigger = "http",
        scheduled_at: int = 0,
    ) -> Execution:
        """Store an execution to run soon, or at the instant `scheduled_at`, and return it once it is safe.

        Raises Overloaded.
        """
        execution = records.begin(function, request, trigger)
        execution = msgspec.structs.replace(
            execution,
            status="scheduled" if scheduled_at else "waiting",
            scheduled_at=scheduled_at,
            deployment_id=function.deployment_id,
        )
        async with self._backlog.storing(
            (function.id,), len(request.body), scheduled=scheduled_at > 0
        ):
            await self._database.write(execution_queue.enqueue, execution, request)
        if not scheduled_at:
            self.note_queued([execution])
        else:
            self._changes.tell("create", execution)
            self._hooks.scheduled()
        return execution

    @property
    def overloaded(self) -> bool:
        """Whether as many executions wait as the server accepts."""
        return self._backlog.full

    def note_queued(self, queued: Sequence[Execution], *, ticked: bool = False) -> None:
        """Run executions that were just stored as waiting; `ticked`: by schedules."""
        for execution in queued:
            self._changes.tell("create", execution)
        if ticked:
            self._backlog.ticked([execution.function_id for execution in queued])
        self._backlog.wait(len(queued))
        self._wake.set()

    def note_released(self, count: int) -> None:
        """Run that many executions that were stored as scheduled, and now wait."""
        self._backlog.released(count)
        self._backlog.wait(count)
        self._wake.set()

    async def enqueue_each(
        self, functions: Sequence[Function], request: ExecutionRequest
    ) -> list[Execution]:
        """Store an execution of each of `functions`, caused by one event, in one write; return them once they are safe.

        A function that was deleted meanwhile gets none. Raises Overloaded.
        """
        waiting = [
            msgspec.structs.replace(
                records.caused(function, request),
                status="waiting",
                deployment_id=function.deployment_id,
            )
            for function in functions
        ]
        async with self._backlog.storing(
            [function.id for function in functions], len(request.body)
        ):
            stored = await self._database.write(execution_queue.enqueue_each, waiting, request)
        self.note_queued(stored)
        return stored

    async def crowded(self, functions: Sequence[Function], request: ExecutionRequest) -> set[str]:
        """Return the functions (ids) among these whose share of the queue has no room for this."""
        return await self._backlog.crowded(
            [function.id for function in functions], len(request.body)
        )

    async def refuse(self, function: Function, request: ExecutionRequest, reason: str) -> None:
        """Store an execution, caused by an event, that failed for `reason` before it ran. Raises FunctionNotFound."""
        execution = records.fail(records.caused(function, request), reason)
        await self._database.write(executions.insert, execution)
        self._changes.tell("create", execution)

    async def delete(self, function_id: str, execution_id: str) -> Execution:
        """Delete a finished or scheduled execution and return it. Raises ExecutionNotFound and ExecutionInProgress."""
        execution = await self._database.write(executions.delete, function_id, execution_id)
        self._changes.tell("delete", execution)
        return execution

    async def run(self) -> None:
        """Run queued executions as they come, until `halt`."""
        limit = self._config.async_concurrency
        while not self._halted:
            self._wake.clear()
            free = limit - len(self._running)
            # Claiming a few at a time keeps a full queue to one write for several executions.
            if free >= max(1, limit // 4):
                jobs, self._turn = await self._database.insist(
                    execution_queue.claim, free, now_ms(), after=self._turn
                )
                if self._halted:
                    return
                self._backlog.claimed(free, more=len(jobs) == free)
                for job in jobs:
                    self._changes.tell("update", job.execution)
                    work = self._run_queued(job.execution, job.request)
                    self._running.start(
                        work, f"minifn-execution-{job.execution.id}", self._wake.set
                    )
                if len(jobs) == free:
                    continue
            await self._wake.wait()

    async def _run_queued(self, execution: Execution, request: ExecutionRequest) -> None:
        try:
            result = await self._answer_queued(execution, request)
        except Exception as exc:
            logger.exception("execution %s could not be run", execution.id)
            result = ExecutionResult(
                execution=records.fail(execution, f"Internal error: {type(exc).__name__}")
            )
        if self._halted and result.execution.status == "failed":
            return
        if await self._database.insist(execution_queue.finish, result.execution, result.body):
            self._backlog.ended(execution.function_id, len(request.body))
            self._changes.tell("update", result.execution)

    async def _answer_queued(
        self, execution: Execution, request: ExecutionRequest
    ) -> ExecutionResult:
        try:
            target = await self.ready(execution.function_id)
        except MinifnError as exc:
            failed = records.fail(execution, f"{exc.message}\nError Code: {exc.code}")
            return ExecutionResult(execution=msgspec.structs.replace(failed, deployment_id=""))
        response = await self._call(
            target, execution, request, target.function.timeout_seconds, queue_unbounded=True
        )
        return records.finish(target, execution, response)

    async def _call(
        self,
        target: Target,
        execution: Execution,
        request: ExecutionRequest,
        timeout_seconds: float,
        *,
        queue_unbounded: bool = False,
    ) -> FunctionResponse:
        deadline = time.monotonic() + timeout_seconds
        try:
            spec = self._launcher.of(target)
        except RuntimeUnavailable as exc:
            return FunctionResponse(
                status_code=500, errors=f"{exc}\nError Code: 500", failure="start"
            )
        call = self._calls.make(target.function, execution, request)
        return await self._pool.call(spec, call, deadline, queue_unbounded=queue_unbounded)
