"""Runs executions: one path for HTTP calls, domains, schedules and events.

An execution is a row, and the `executions` table is the queue. A synchronous execution runs first and is stored once,
finished, before its answer leaves; a queued one is stored first and claimed by the queue runner, fairly between
functions. One monotonic deadline is handed down: waiting for a worker, its cold start and the call spend it.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import msgspec

from minifn.change_feed import ChangeFeed
from minifn.config import Config
from minifn.errors import BuildNotReady, DeploymentNotFound, FunctionSynchronousTimeout, MinifnError, Overloaded
from minifn.host.budget import Budget
from minifn.host.tasks import end
from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.languages import RuntimeUnavailable
from minifn.log_text import keep_tail
from minifn.models import (
    APPWRITE_VERSION,
    Execution,
    ExecutionRequest,
    ExecutionResult,
    Function,
    Headers,
    Target,
    Trigger,
)
from minifn.services.functions import FunctionService
from minifn.services.queue_limits import QueueLimits
from minifn.store import executions
from minifn.store.database import Database
from minifn.tokens import Tokens, UserClaims
from minifn.workers.pool import Pool
from minifn.workers.records import FunctionRequest, FunctionResponse
from minifn.workers.specs import WorkerSpecs

logger = logging.getLogger("minifn.services.executions")

#: Of a request's headers, what is stored with its execution.
STORED_REQUEST_HEADERS = frozenset({"content-type", "agent", "content-length", "host", "x-appwrite-client-ip"})
#: Of an answer's headers, what is stored with its execution.
STORED_RESPONSE_HEADERS = frozenset({"content-type", "content-length"})
#: How much longer than the function's timeout the keys and JWTs given to it live, seconds.
TOKEN_GRACE_SECONDS = 60
#: Of all the bodies that wait for their function, or are being read for it.
BODIES_BYTES_MAX = 512 * 1024 * 1024
#: Of all the long answers that their callers have not taken yet.
ANSWERS_BYTES_MAX = 512 * 1024 * 1024
#: What an execution says that was running when the server was killed.
INTERRUPTED = "The server stopped while this execution was running.\nError Code: 500"


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
    ) -> None:
        self._config = config
        self._database = database
        self._functions = functions
        self._pool = pool
        self._launcher = launcher
        self._tokens = tokens
        self._running: set[asyncio.Task[None]] = set()
        #: Which function was served last: the next claim begins behind it.
        self._turn = 0
        self._wake = asyncio.Event()
        self._changes = changes or ChangeFeed()
        self._backlog = QueueLimits(database, config.queue_limit, config.queue_bytes)
        self._halted = False
        #: Memory for the bodies of requests; who reads one takes of it.
        self.bodies = Budget(BODIES_BYTES_MAX)
        #: Memory for long answers, taken until they are sent.
        self.answers = Budget(ANSWERS_BYTES_MAX)
        #: Told that an execution was stored that is due later; set by the service.
        self.on_scheduled: Callable[[], None] | None = None

    async def __aenter__(self) -> "Executions":
        failed = await self._database.write(executions.recover, INTERRUPTED, now_ms())
        if failed:
            logger.warning("%d executions were interrupted by the last stop and are marked as failed", failed)
        await self._backlog.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put what was claimed and has not ended back into the queue, for the next start."""
        await end(*self._running)
        # Everything, and not each task its own: some have not begun, and a claim may have been on its way.
        try:
            await self._database.write(executions.requeue, now_ms())
        except sqlite3.Error as exc:
            logger.error("what was running cannot be queued again (%s) and will be marked as failed", exc)

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
        if target.deployment is None:
            raise DeploymentNotFound("Deployment not found. Create a deployment before trying to execute a function.")
        if target.deployment.status != "ready":
            raise BuildNotReady
        return target

    async def execute(self, target: Target, request: ExecutionRequest, trigger: Trigger = "http") -> ExecutionResult:
        """Run a function and return its finished, stored execution.

        Raises FunctionSynchronousTimeout, after storing the failed execution, when the cap for synchronous executions
        passed before the function's own timeout did, and Overloaded, with nothing run or stored, when too many
        executions wait for a worker.
        """
        function = target.function
        cap = min(function.timeout_seconds, self._config.sync_timeout)
        execution = _begin(function, request, trigger)
        response = await self._call(target, execution, request, cap)
        if response.failure == "overloaded":
            raise Overloaded
        capped = response.failure == "timeout" and cap < function.timeout_seconds
        if capped:
            message = f"{FunctionSynchronousTimeout.__doc__}\nError Code: 408"
            response = msgspec.structs.replace(response, errors=_join(response.errors, message))
        result = _finish(target, execution, response)
        await self._database.write(executions.insert, result.execution)
        self._changes.tell("create", result.execution, result=result)
        if capped:
            raise FunctionSynchronousTimeout
        return result

    async def enqueue(
        self, function: Function, request: ExecutionRequest, trigger: Trigger = "http", scheduled_at: int = 0
    ) -> Execution:
        """Store an execution to run soon, or at the instant `scheduled_at`, and return it once it is safe.

        Raises Overloaded.
        """
        execution = _begin(function, request, trigger)
        execution = msgspec.structs.replace(
            execution,
            status="scheduled" if scheduled_at else "waiting",
            scheduled_at=scheduled_at,
            deployment_id=function.deployment_id,
        )
        async with self._backlog.storing(1, len(request.body), scheduled=scheduled_at > 0):
            await self._database.write(executions.enqueue, execution, request)
        if not scheduled_at:
            self.note_queued([execution])
        else:
            self._changes.tell("create", execution)
            if self.on_scheduled is not None:
                self.on_scheduled()
        return execution

    @property
    def overloaded(self) -> bool:
        """Whether as many executions wait as the server accepts."""
        return self._backlog.full

    def note_queued(self, queued: Sequence[Execution]) -> None:
        """Run executions that were just stored as waiting."""
        for execution in queued:
            self._changes.tell("create", execution)
        self._backlog.wait(len(queued))
        self._wake.set()

    def note_released(self, count: int) -> None:
        """Run that many executions that were stored as scheduled, and now wait."""
        self._backlog.released(count)
        self._backlog.wait(count)
        self._wake.set()

    async def enqueue_each(self, functions: Sequence[Function], request: ExecutionRequest) -> list[Execution]:
        """Store an execution of each of `functions`, caused by one event, in one write; return them once they are safe.

        A function that was deleted meanwhile gets none. Raises Overloaded.
        """
        waiting = [
            msgspec.structs.replace(_caused(function, request), status="waiting", deployment_id=function.deployment_id)
            for function in functions
        ]
        async with self._backlog.storing(len(waiting), len(request.body)):
            stored = await self._database.write(executions.enqueue_each, waiting, request)
        self.note_queued(stored)
        return stored

    async def refuse(self, function: Function, request: ExecutionRequest, reason: str) -> None:
        """Store an execution, caused by an event, that failed for `reason` before it ran. Raises FunctionNotFound."""
        execution = _failed(_caused(function, request), reason)
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
                jobs, self._turn = await self._database.insist(executions.claim, free, now_ms(), after=self._turn)
                if self._halted:
                    return
                self._backlog.claimed(free, more=len(jobs) == free)
                for job in jobs:
                    self._changes.tell("update", job.execution)
                    task = asyncio.create_task(self._run_queued(job.execution, job.request))
                    self._running.add(task)
                    task.add_done_callback(self._release)
                if len(jobs) == free:
                    continue
            await self._wake.wait()

    def _release(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake.set()

    async def _run_queued(self, execution: Execution, request: ExecutionRequest) -> None:
        try:
            result = await self._answer_queued(execution, request)
        except Exception as exc:
            logger.exception("execution %s could not be run", execution.id)
            result = ExecutionResult(execution=_failed(execution, f"Internal error: {type(exc).__name__}"))
        if self._halted and result.execution.status == "failed":
            return
        if await self._database.insist(executions.finish, result.execution):
            self._backlog.ended(len(request.body))
            self._changes.tell("update", result.execution)

    async def _answer_queued(self, execution: Execution, request: ExecutionRequest) -> ExecutionResult:
        try:
            target = await self.ready(execution.function_id)
        except MinifnError as exc:
            failed = _failed(execution, f"{exc.message}\nError Code: {exc.code}")
            return ExecutionResult(execution=msgspec.structs.replace(failed, deployment_id=""))
        response = await self._call(target, execution, request, target.function.timeout_seconds, patient=True)
        return _finish(target, execution, response)

    async def _call(
        self,
        target: Target,
        execution: Execution,
        request: ExecutionRequest,
        timeout_seconds: float,
        *,
        patient: bool = False,
    ) -> FunctionResponse:
        deadline = time.monotonic() + timeout_seconds
        try:
            spec = self._launcher.worker(target)
        except RuntimeUnavailable as exc:
            return FunctionResponse(status_code=500, errors=f"{exc}\nError Code: 500", failure="start")
        call = self._request(target.function, execution, request)
        return await self._pool.call(spec, call, deadline, patient=patient)

    def _request(self, function: Function, execution: Execution, request: ExecutionRequest) -> FunctionRequest:
        headers = dict(request.headers)
        lifetime = function.timeout_seconds + TOKEN_GRACE_SECONDS
        host = headers.setdefault("host", self._launcher.authority)
        headers["x-appwrite-trigger"] = execution.trigger
        headers["x-appwrite-execution-id"] = execution.id
        headers["x-appwrite-key"] = self._tokens.mint_key(function.scopes, lifetime, depth=request.depth)
        headers["x-appwrite-user-id"] = request.user_id
        headers["x-appwrite-user-jwt"] = self._user_jwt(execution, request, lifetime)
        headers["x-appwrite-country-code"] = ""
        headers["x-appwrite-continent-code"] = ""
        headers["x-appwrite-continent-eu"] = "false"
        if request.client_ip:
            headers["x-appwrite-client-ip"] = request.client_ip
        if _was_queued(execution):
            headers["x-appwrite-event"] = request.event
        if execution.trigger == "event":
            headers["user-agent"] = f"Appwrite/{APPWRITE_VERSION}"
            headers["content-type"] = "application/json"
        path, _, query = request.path.partition("?")
        # Whoever sends it: an address that the function makes of it is one of a page.
        scheme = "https" if headers.get("x-forwarded-proto") == "https" else "http"
        name, _, port = host.partition(":")
        return FunctionRequest(
            method=request.method,
            scheme=scheme,
            host=name,
            port=int(port) if port.isdecimal() and len(port) < 6 else 443 if scheme == "https" else 80,
            path=path if path.startswith("/") else f"/{path}",
            query=query,
            headers=tuple(headers.items()),
            body=request.body,
            timeout_seconds=function.timeout_seconds,
            logging=function.logging,
        )

    def _user_jwt(self, execution: Execution, request: ExecutionRequest, lifetime_seconds: int) -> str:
        """Return a token of who asked for the execution: at once only of a session, later of any user.

        As Appwrite's `Functions/Http/Executions/Create.php` and `Functions/Workers/Functions.php` do. But it outlives
        neither a session nor a JWT that was itself made for a function, which could else renew it for ever.
        """
        known = request.user_id if _was_queued(execution) else request.session_id
        now = int(time.time())
        ends = min(now + lifetime_seconds, request.user_ends or now + lifetime_seconds)
        if not known or execution.trigger == "event" or ends <= now:
            return ""
        claims = UserClaims(
            user_id=request.user_id,
            session_id="" if execution.scheduled_at else request.session_id,
            exp=ends,
            handed=True,
        )
        return self._tokens.mint_user(claims)


def _begin(function: Function, request: ExecutionRequest, trigger: Trigger) -> Execution:
    created_at = now_ms()
    stored = [(name, value) for name, value in request.headers if name in STORED_REQUEST_HEADERS]
    if request.client_ip:
        stored.append(("x-appwrite-client-ip", request.client_ip))
    return Execution(
        id=new_id(),
        created_at=created_at,
        updated_at=created_at,
        function_id=function.id,
        trigger=trigger,
        status="processing",
        user_id=request.user_id,
        request_method=request.method,
        request_path=request.path,
        request_headers=tuple(stored),
    )


def _was_queued(execution: Execution) -> bool:
    """Tell whether an execution was stored before it ran: only then does it have a sequence."""
    return execution.sequence > 0


def _caused(function: Function, request: ExecutionRequest) -> Execution:
    """Return the execution of a function that an event causes. It belongs to no user, whoever caused the event."""
    return msgspec.structs.replace(_begin(function, request, "event"), user_id="")


def _finish(target: Target, execution: Execution, response: FunctionResponse) -> ExecutionResult:
    logged = target.function.logging
    headers: Headers = (
        *((name, value) for name, value in response.headers if name != "x-appwrite-execution-id"),
        ("x-appwrite-execution-id", execution.id),
    )
    finished = msgspec.structs.replace(
        execution,
        updated_at=now_ms(),
        deployment_id=target.function.deployment_id,
        status="failed" if response.failure or response.status_code >= 500 else "completed",
        response_status_code=response.status_code,
        response_headers=tuple(item for item in headers if item[0] in STORED_RESPONSE_HEADERS),
        logs=keep_tail(response.logs, "Logs") if logged else "",
        errors=keep_tail(response.errors, "Errors") if logged else "",
        # To the microsecond: some SDKs make texts of numbers with more than 15 digits.
        duration_seconds=round(response.duration_seconds, 6),
    )
    return ExecutionResult(execution=finished, body=response.body, headers=headers)


def _failed(execution: Execution, errors: str) -> Execution:
    return msgspec.structs.replace(execution, updated_at=now_ms(), status="failed", errors=errors)


def _join(text: str, line: str) -> str:
    return f"{text.rstrip()}\n{line}".lstrip() if text else line
