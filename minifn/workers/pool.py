"""The warm processes of all deployments: started on demand, shared, stopped when idle."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Self, cast

from minifn.host.tasks import Tasks, end
from minifn.log_text import one_line
from minifn.sandbox.engines import Engine
from minifn.sandbox.spawner import Spawner
from minifn.workers.deployment import DeploymentWorkers, is_nearly_full
from minifn.workers.records import (
    TIMED_OUT,
    FunctionRequest,
    FunctionResponse,
    WorkerFailed,
    WorkerSpec,
    failed,
    lasting_since,
)
from minifn.workers.room import Evicted, Room
from minifn.workers.template import Template
from minifn.workers.templates import Templates
from minifn.workers.worker import Worker

logger = logging.getLogger("minifn.workers")

#: Number of workers that a request is offered to when each dies before receiving it.
ATTEMPTS = 3
#: Most times that workers may decline one request.
DECLINES_MAX = 100
STOPPING = "The server is stopping.\n"
#: Most calls that wait for a worker, of all deployments and of one.
WAITING_MAX = 4_000
DEPLOYMENT_WAITING_MAX = 1_000
OVERLOADED = "Too many requests wait for a worker.\n"
#: Seconds between looks for memory while calls wait for it.
LOOK_AGAIN_SECONDS = 0.25


class Pool:
    """Gives every request to a worker of its deployment.

    `workers_max` limits all workers, `function_workers_max` those of one function. At the limit an
    idle worker of another deployment is stopped first. So it is while `available_bytes` is less
    than a worker needs, except that one worker may always run. Templates take up to
    `template_bytes` and end before workers.
    """

    def __init__(
        self,
        spawner: Spawner,
        engine: Engine,
        *,
        idle_seconds: float = 60.0,
        workers_max: int = 64,
        function_workers_max: int = 32,
        available_bytes: Callable[[], int] = lambda: 1 << 62,
        template_bytes: int = 0,
    ) -> None:
        self._spawner = spawner
        self._engine = engine
        self._idle_seconds = idle_seconds
        self._function_workers_max = function_workers_max
        self.templates = Templates(spawner, engine, template_bytes)
        self.templates.on_retired = self._stop_forks
        self._deployments: dict[str, DeploymentWorkers] = {}
        #: Every worker whose process may still run, also those that left their deployment.
        self._alive: set[Worker] = set()
        self._room = Room(
            self._alive, self.templates, workers_max=workers_max, available_bytes=available_bytes
        )
        self._tasks = Tasks()
        #: The tasks that start a worker.
        self._starting: dict[asyncio.Task[None], Worker] = {}
        #: Calls that wait for a worker.
        self._waiting = 0
        self._reaper: asyncio.TimerHandle | None = None
        #: Whether a deployment waits for capacity.
        self._crowded = False
        #: Set meanwhile: nothing tells when other processes free memory.
        self._look_again: asyncio.TimerHandle | None = None
        self._closing = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    @property
    def workers(self) -> int:
        """Number of processes that run."""
        return len(self._alive)

    @property
    def busy(self) -> int:
        """Number of requests in flight."""
        return sum(worker.busy for worker in self._alive)

    async def call(
        self,
        spec: WorkerSpec,
        request: FunctionRequest,
        deadline: float,
        *,
        queue_unbounded: bool = False,
    ) -> FunctionResponse:
        """Run the function of a deployment; failures are in the response, never raised.

        The wait for a worker, its cold start and the call take place before `deadline` (monotonic
        clock, seconds). `queue_unbounded`: wait regardless of WAITING_MAX, for callers that limit
        their calls themselves.
        """
        began = time.monotonic()
        attempts = declines = 0
        waited = False
        while True:
            deployment = self._deployments.get(spec.key)
            worker = None
            if deployment is not None and deployment.spec is spec:
                worker = deployment.free_worker()
                if worker is not None and (deployment.blocking or is_nearly_full(worker)):
                    self._consider_growth(deployment)
            if worker is None:
                waited = True
                found = await self._wait_for_worker(spec, deadline, queue_unbounded)
                if isinstance(found, FunctionResponse):
                    return lasting_since(found, began)
                worker = found
            try:
                response = await worker.call(request, deadline)
            except asyncio.CancelledError:
                worker.abandon(request)
                raise
            if response.failure == "declined" and declines < DECLINES_MAX:
                declines += 1
                continue
            attempts += 1
            if response.delivered or response.failure != "died" or attempts == ATTEMPTS:
                break
        if response.failure == "declined":
            return failed("died", "The function's workers handed the request back too often.\n")
        return lasting_since(response, began) if waited or declines else response

    def prewarm(self, spec: WorkerSpec) -> bool:
        """Start a worker ahead of the first request and have it import the function.

        Return False, and do nothing, while memory is short: it would displace a useful one.
        """
        if self._closing or self._crowded or self._room.is_short():
            return False
        deployment = self._deployment(spec)
        if not deployment.workers and not deployment.starting:
            self._grow(deployment, load=True)
        return True

    def drop(self, key: str) -> None:
        """Forget a deployment: its workers finish their calls and end."""
        self.templates.drop(key)
        if deployment := self._deployments.pop(key, None):
            for worker in deployment.workers:
                self._stop(worker)
            deployment.workers.clear()
            deployment.wake()

    async def close(self) -> None:
        """End every worker; requests in flight fail."""
        self._closing = True
        for timer in (self._reaper, self._look_again):
            if timer is not None:
                timer.cancel()
        for deployment in self._deployments.values():
            deployment.wake(failed("stopped", STOPPING))
        self._deployments.clear()
        await end(*self._starting)
        await asyncio.gather(*(worker.kill() for worker in list(self._alive)))
        await self.templates.close()
        await self._tasks.wait()

    async def _wait_for_worker(
        self, spec: WorkerSpec, deadline: float, queue_unbounded: bool
    ) -> Worker | FunctionResponse:
        # Only here may the spec be replaced: two waiting requests with different specs would
        # otherwise drop each other's workers without end.
        deployment = self._deployment(spec)
        full = self._waiting >= WAITING_MAX or deployment.waiting >= DEPLOYMENT_WAITING_MAX
        if full and not queue_unbounded:
            return failed("overloaded", OVERLOADED)
        self._waiting += 1
        deployment.waiting += 1
        try:
            return await self._next_worker(deployment, deadline)
        finally:
            self._waiting -= 1
            deployment.waiting -= 1

    async def _next_worker(
        self, deployment: DeploymentWorkers, deadline: float
    ) -> Worker | FunctionResponse:
        spec = deployment.spec
        while True:
            if self._closing:
                return failed("stopped", STOPPING)
            worker = deployment.free_worker()
            if worker is not None:
                return worker
            waiter = deployment.wait()
            self._consider_growth(deployment)
            try:
                answer = await asyncio.wait_for(waiter, deadline - time.monotonic())
            except BaseException as exc:
                deployment.leave(waiter)
                if not isinstance(exc, TimeoutError):
                    raise
                return failed("timeout", TIMED_OUT + deployment.why_late(self._room.is_short()))
            if answer is not None:
                return answer
            deployment = self._deployments.get(spec.key) or self._deployment(spec)

    def _deployment(self, spec: WorkerSpec) -> DeploymentWorkers:
        """Return the deployment; its workers of an older spec (other variables or size) end."""
        deployment = self._deployments.get(spec.key)
        if deployment is not None and deployment.spec != spec:
            self.drop(spec.key)
            deployment = None
        if deployment is None:
            deployment = self._deployments[spec.key] = DeploymentWorkers(spec=spec)
        deployment.spec = spec
        return deployment

    def _consider_growth(self, deployment: DeploymentWorkers) -> None:
        """Start a worker at once if there is none, or soon if calls still wait then."""
        if not deployment.in_service:
            if not deployment.starting:
                self._grow(deployment)
        elif deployment.growth is None:
            loop = asyncio.get_running_loop()
            seconds = deployment.growth_seconds(self.templates.has(deployment.spec))
            deployment.growth = loop.call_later(seconds, self._grow_if_needed, deployment)

    def _grow_if_needed(self, deployment: DeploymentWorkers) -> None:
        """Start the workers that the calls of a deployment need by now."""
        deployment.growth = None
        if self._deployments.get(deployment.spec.key) is deployment:
            for _ in range(deployment.missing_workers(self.templates.has(deployment.spec))):
                self._grow(deployment)

    def _grow(self, deployment: DeploymentWorkers, load: bool = False) -> None:
        """Start one more worker if the limits allow it."""
        if self._closing or self._crowded or deployment.is_outdated:
            return
        owner = deployment.spec.owner
        of_function = sum(worker.spec.owner == owner for worker in self._alive)
        if of_function >= self._function_workers_max and deployment.workers:
            return
        evicted = None
        if self._room.is_full():
            if deployment.workers and not deployment.waiters:
                # A worker that no call waits for displaces no other.
                return
            evicted = self._room.evict(deployment.spec.key, self._deployments.values())
            if evicted is None:
                self._crowded = True
                loop = asyncio.get_running_loop()
                self._look_again = loop.call_later(LOOK_AGAIN_SECONDS, self._grow_where_needed)
                return
        worker = Worker(deployment.spec, careful=deployment.blocking)
        # Counted from now on, because one turn of the loop may start many.
        self._alive.add(worker)
        start = self._start_worker(deployment, worker, load, evicted)
        task = self._tasks.start(start, f"start of a worker of {deployment.spec.key}")
        deployment.starting.add(task)
        self._starting[task] = worker
        task.add_done_callback(self._end_start)

    async def _start_worker(
        self, deployment: DeploymentWorkers, worker: Worker, load: bool, evicted: Evicted
    ) -> None:
        """Start `worker` after the `evicted` one has ended and freed its memory."""
        worker.on_exit, worker.on_free = self._exited, self._freed
        worker.on_capacity = self._changed
        problem = "The worker could not be started.\n"
        try:
            if evicted is not None:
                await evicted.stop()
            template = self.templates.of(deployment.spec)
            await worker.start(self._spawner, self._engine, template)
            problem = "" if worker.in_service else "The worker ended as soon as it had started.\n"
        except WorkerFailed as exc:
            problem = str(exc)
        finally:
            deployment.starting.discard(cast("asyncio.Task[None]", asyncio.current_task()))
            if problem:
                self._alive.discard(worker)
                logger.warning("%s: %s", deployment.spec.command.label, one_line(problem))
                if not deployment.in_service:
                    deployment.wake(failed("start", problem))
        if problem:
            return
        dropped = self._deployments.get(deployment.spec.key) is not deployment
        if dropped or (worker.template is not None and worker.template.state == "retired"):
            self._stop(worker)
            deployment.wake()
            return
        deployment.workers.append(worker)
        if load or not deployment.waiters:
            worker.load()
        self._freed(worker)
        if deployment.waiters and deployment.blocking:
            self._grow_if_needed(deployment)
        if any(one.answered for one in deployment.workers):
            # It grows, so the next process is started ahead of need.
            self.templates.want(deployment.spec)

    def _changed(self, worker: Worker) -> None:
        """Note that a worker takes fewer requests, because its calls block, or more."""
        deployment = self._deployments.get(worker.spec.key)
        if deployment is None:
            return
        deployment.blocking = worker.slots < deployment.spec.concurrency
        # The first call of a worker may be slow because of imports.
        if deployment.blocking and (worker.answered or deployment.waiters):
            self._consider_growth(deployment)
        elif deployment.waiters:
            deployment.wake(count=worker.slots_free)

    def _end_start(self, start: asyncio.Task[None]) -> None:
        worker = self._starting.pop(start)
        if start.cancelled():
            # The task may have been canceled before its first step.
            self._alive.discard(worker)

    def _stop_forks(self, template: Template) -> None:
        """Have the workers that a template forked finish their calls and end."""
        if deployment := self._deployments.get(template.spec.key):
            for worker in deployment.take_forks(template):
                self._stop(worker)

    def _stop(self, worker: Worker) -> None:
        self._tasks.start(worker.stop(), f"end of a worker of {worker.spec.key}")

    def _freed(self, worker: Worker) -> None:
        if worker.answered == 1:
            self.templates.want(worker.spec)
        deployment = self._deployments.get(worker.spec.key)
        if deployment is not None and deployment.waiters:
            deployment.wake(count=worker.slots_free)
            if deployment.waiters:
                self._consider_growth(deployment)
        elif worker.busy == 0 and not self._closing:
            if self._crowded:
                self._grow_where_needed()
            if self._reaper is None:
                self._reaper = asyncio.get_running_loop().call_later(self._idle_seconds, self._reap)

    def _exited(self, worker: Worker) -> None:
        self._alive.discard(worker)
        deployment = self._deployments.get(worker.spec.key)
        if deployment is not None and worker in deployment.workers:
            deployment.workers.remove(worker)
        self._grow_where_needed()

    def _grow_where_needed(self) -> None:
        """Start workers for deployments whose requests wait, as there may be capacity now."""
        self._crowded = False
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        for waiting in self._deployments.values():
            if waiting.waiters:
                self._consider_growth(waiting)

    def _reap(self) -> None:
        """Stop the workers that were idle for long, and set a timer for the next one."""
        self._reaper = None
        now = time.monotonic()
        next_due = float("inf")
        for deployment in list(self._deployments.values()):
            for worker in deployment.take_idle(now - self._idle_seconds + 0.001):
                self._stop(worker)
            idle = (worker.idle_since for worker in deployment.workers if worker.busy == 0)
            next_due = min(next_due, min(idle, default=next_due) + self._idle_seconds)
            if not deployment.workers and not deployment.waiters and not deployment.starting:
                del self._deployments[deployment.spec.key]
        if next_due != float("inf"):
            self._reaper = asyncio.get_running_loop().call_later(next_due - now, self._reap)
