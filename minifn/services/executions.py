"""Runs executions: one path for HTTP calls, domains, schedules and events.

An execution is a row, and the `executions` table is the queue. A synchronous execution runs first
and is stored once, finished, before its answer is sent. A queued execution is stored first and
claimed by `run`, fairly between functions. One monotonic deadline is handed down: the wait for a
worker, its cold start and the call spend it.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import datetime

import msgspec

from minifn.change_feed import Begun, Change, ChangeFeed
from minifn.config import Config
from minifn.errors import (
    BuildNotReady,
    DeploymentNotFound,
    FunctionNotFound,
    FunctionSynchronousTimeout,
    MinifnError,
    Overloaded,
)
from minifn.hooks import Hooks
from minifn.host.tasks import Tasks
from minifn.instants import now_ms
from minifn.languages import RuntimeUnavailable
from minifn.log_text import headline
from minifn.models import (
    Execution,
    ExecutionRequest,
    ExecutionResult,
    ExecutionStatus,
    Function,
    Target,
    Trigger,
)
from minifn.services import execution_records as records
from minifn.services.filling import Filling
from minifn.services.function_calls import FunctionCalls
from minifn.services.queue_limits import QueueLimits
from minifn.services.targets import Targets
from minifn.store import execution_queue, executions, schedules
from minifn.store.database import Database
from minifn.store.schedules import Move
from minifn.tokens import Tokens
from minifn.workers.interface import Workers
from minifn.workers.records import FunctionResponse, answered
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
    """Runs executions now or later.

    An async context manager: inside it, `run` runs those that are queued.
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        targets: Targets,
        workers: Workers,
        specs: WorkerSpecs,
        tokens: Tokens,
        changes: ChangeFeed | None = None,
        hooks: Hooks = Hooks(),  # noqa: B008 - frozen
    ) -> None:
        self._config = config
        self._database = database
        self._targets = targets
        self._workers = workers
        self._specs = specs
        self._changes = changes or ChangeFeed()
        self._calls = FunctionCalls(tokens, specs.endpoint, self._changes)
        self._running = Tasks()
        self._filling = Filling(database)
        #: Sequence of the function served last: the next claim begins behind it.
        self._turn = 0
        self._wake = asyncio.Event()
        self._limits = QueueLimits(database, config.queue_limit, config.queue_bytes)
        self._halted = False
        #: Synchronous executions whose functions run, or wait for a worker.
        self._called = 0
        self._hooks = hooks

    async def __aenter__(self) -> "Executions":
        failed = await self._database.write(execution_queue.recover, INTERRUPTED, now_ms())
        if failed:
            logger.warning(
                "%d executions were interrupted by the last stop and are marked as failed", failed
            )
        await self._limits.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Put claimed executions that have not ended back into the queue, for the next start."""
        await self._running.end()
        await self._filling.wait()
        # One write for all: some tasks have not begun, and a claim may have been under way.
        try:
            await self._database.write(execution_queue.requeue, now_ms())
        except sqlite3.Error as exc:
            logger.error(
                "running executions cannot be queued again (%s); the next start marks them as"
                " failed",
                exc,
            )

    async def halt(self) -> None:
        """End the running executions.

        Synchronous ones fail and are answered, queued ones run again at the next start.
        """
        self._halted = True
        self._wake.set()
        await self._workers.close()

    async def ready(self, function_id: str) -> Target:
        """Return the target of a function that can run.

        Raises FunctionNotFound, DeploymentNotFound (no active deployment) or BuildNotReady.
        """
        target = await self._targets.of(function_id)
        check_ready(target)
        return target

    async def execute(
        self, target: Target, request: ExecutionRequest, trigger: Trigger = "http"
    ) -> ExecutionResult:
        """Run a function and return its finished, stored execution.

        Raises FunctionSynchronousTimeout, after storing the failed execution, when the cap for
        synchronous executions passed before the function's own timeout, and Overloaded, with
        nothing run or stored, when too many executions wait for a worker.
        """
        function = target.function
        cap = min(function.timeout_seconds, self._config.sync_timeout)
        execution = records.begin(function, request, trigger)
        self._called += 1
        try:
            response = await self._call(target, execution, request, cap)
        finally:
            self._called -= 1
        if response.failure == "overloaded":
            if self._changes.live:
                refused = records.refuse(execution, Overloaded.default_message())
                self._changes.tell_watchers(Change(action="create", record=refused))
            raise Overloaded
        capped = response.failure == "timeout" and cap < function.timeout_seconds
        if capped:
            message = f"{FunctionSynchronousTimeout.default_message()}\nError Code: 408"
            response = msgspec.structs.replace(
                response, errors=records.join(response.errors, message)
            )
        result = records.finish(target, execution, response)
        await self._insert(result.execution, alone=not self._called)
        self._changes.tell("create", result.execution, result=result)
        if result.execution.status == "failed":
            _report(result.execution)
        if capped:
            timeout = FunctionSynchronousTimeout()
            timeout.execution_id = result.execution.id
            raise timeout
        return result

    @property
    def waiting(self) -> int:
        """Number of executions that wait in the queue; may be too high for some seconds."""
        return self._limits.waiting

    @property
    def overloaded(self) -> bool:
        """Whether as many executions wait as the server accepts."""
        return self._limits.full

    async def enqueue(
        self,
        function: Function,
        request: ExecutionRequest,
        trigger: Trigger = "http",
        scheduled_at: int = 0,
    ) -> Execution:
        """Store an execution to run soon or at `scheduled_at`, and return it once it is safe.

        Raises FunctionNotFound and Overloaded.
        """
        execution = records.queued(function, request, trigger, scheduled_at)
        stored = await self._store([execution], request)
        if not stored:
            raise FunctionNotFound
        return execution

    async def enqueue_each(
        self, functions: Sequence[Function], request: ExecutionRequest
    ) -> list[Execution]:
        """Store an execution of each function, caused by one event, in one write.

        Return them once they are safe. A function that was deleted meanwhile gets none. Raises
        Overloaded.
        """
        return await self._store(
            [records.caused(function, request) for function in functions], request
        )

    async def tick(self, moves: list[Move]) -> None:
        """Move schedules, and queue the executions of those that tick."""
        ticked = await self._database.write(schedules.apply, moves)
        self._limits.ticked([execution.function_id for execution in ticked])
        self._queued(ticked)

    async def release(self, now: int) -> None:
        """Queue the scheduled executions that are due at `now`."""
        count = await self._database.write(execution_queue.release_due, now)
        self._limits.released(count)
        self._wake.set()

    async def _store(self, new: list[Execution], request: ExecutionRequest) -> list[Execution]:
        """Store executions of one request within the limits of the queue.

        Return those whose function still exists. Raises Overloaded.
        """
        function_ids = [execution.function_id for execution in new]
        scheduled = any(execution.scheduled_at for execution in new)
        async with self._limits.storing(function_ids, len(request.body), scheduled=scheduled):
            stored = await self._database.write(execution_queue.enqueue_each, new, request)
        self._queued(stored)
        return stored

    def _queued(self, stored: Sequence[Execution]) -> None:
        """Publish executions that were just stored, and have them run when they are due."""
        self._filling.count(len(stored))
        for execution in stored:
            self._changes.tell("create", execution)
        waiting = sum(execution.status == "waiting" for execution in stored)
        self._limits.wait(waiting)
        if waiting:
            self._wake.set()
        if waiting < len(stored):
            self._hooks.scheduled()

    async def crowded(self, functions: Sequence[Function], request: ExecutionRequest) -> set[str]:
        """Return the ids of those functions whose share of the queue has no room for `request`."""
        return await self._limits.crowded(
            [function.id for function in functions], len(request.body)
        )

    async def refuse(self, function: Function, request: ExecutionRequest, reason: str) -> None:
        """Store an execution, caused by an event, that failed for `reason` before it ran.

        Raises FunctionNotFound.
        """
        execution = records.refuse(records.caused(function, request), reason)
        await self._insert(execution)
        self._changes.tell("create", execution)

    def _insert(self, execution: Execution, *, alone: bool = False) -> "asyncio.Future[None]":
        """Store an execution that has ended; `alone`: no other one is soon to end."""
        self._filling.count(1)
        return self._database.write_each(executions.insert_each, execution, alone=alone)

    async def __call__(
        self,
        function_id: str = "",
        *,
        status: ExecutionStatus | None = None,
        trigger: Trigger | None = None,
        since: datetime | None = None,
    ) -> AsyncIterator[Execution]:
        """Yield the executions that fit, of a function or of all, the newest first.

        A `since` without a time zone is local time. Raises FunctionNotFound.
        """
        # Imported on first use: a server lists executions by clients' queries alone.
        from minifn.services import execution_lists

        if function_id:
            await self._targets.of(function_id)
        query = execution_lists.query_of(status, trigger, since)
        async for execution in execution_lists.each(self._database, function_id, query):
            yield execution

    async def delete(self, function_id: str, execution_id: str) -> Execution:
        """Delete a finished or scheduled execution and return it.

        Raises ExecutionNotFound and ExecutionInProgress.
        """
        execution = await self._database.write(executions.delete, function_id, execution_id)
        self._changes.tell("delete", execution)
        return execution

    async def run(self) -> None:
        """Run queued executions as they come, until `halt`."""
        limit = self._config.async_concurrency
        while not self._halted:
            self._wake.clear()
            free = limit - len(self._running)
            # Several are claimed at once, so that a full queue costs one write for several.
            if free >= max(1, limit // 4):
                jobs, self._turn = await self._database.insist(
                    execution_queue.claim, free, now_ms(), after=self._turn
                )
                if self._halted:
                    return
                self._limits.claimed(free, more=len(jobs) == free)
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
            self._limits.ended(execution.function_id, len(request.body))
            self._changes.tell("update", result.execution)
            if result.execution.status == "failed":
                _report(result.execution)

    async def _answer_queued(
        self, execution: Execution, request: ExecutionRequest
    ) -> ExecutionResult:
        try:
            target = await self.ready(execution.function_id)
        except MinifnError as exc:
            refused = records.refuse(execution, f"{exc.message}\nError Code: {exc.code}")
            return ExecutionResult(execution=refused)
        response = await self._call(
            target, execution, request, target.function.timeout_seconds, queue_unbounded=True
        )
        return records.finish(target, execution, response)

    def _call(
        self,
        target: Target,
        execution: Execution,
        request: ExecutionRequest,
        timeout_seconds: float,
        *,
        queue_unbounded: bool = False,
    ) -> Awaitable[FunctionResponse]:
        deadline = time.monotonic() + timeout_seconds
        if self._changes.live:
            self._changes.tell_watchers(Begun(execution=execution))
        try:
            spec = self._specs.of(target)
        except RuntimeUnavailable as exc:
            problem = f"{exc}\nError Code: 500"
            return answered(FunctionResponse(status_code=500, errors=problem, failure="start"))
        call = self._calls.make(target.function, execution, request)
        return self._workers.call(spec, call, deadline, queue_unbounded=queue_unbounded)


def _report(execution: Execution) -> None:
    """Write a line about a failed execution to the server's log."""
    logger.warning(
        "execution %s of function %s failed: %s",
        execution.id,
        execution.function_id,
        headline(execution.errors) or f"the function answered {execution.response_status_code}",
    )
