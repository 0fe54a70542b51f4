"""The warm processes of all deployments: started on demand, shared, stopped when idle."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Self, cast

import msgspec

from minifn.log_text import one_line
from minifn.sandbox.engines import Engine
from minifn.sandbox.spawner import Spawner
from minifn.workers.records import TIMED_OUT, FunctionRequest, FunctionResponse, WorkerSpec, failed
from minifn.workers.worker import Worker, WorkerFailed

logger = logging.getLogger("minifn.workers")

#: A request is given to so many workers at most, each time the last one died before it had it.
ATTEMPTS = 3
#: Most times that workers may hand one request back.
DECLINES_MAX = 100
#: Full workers get company when requests still wait after this: a burst of fast calls needs no second process.
GROW_SECONDS = 0.05
#: The same for workers whose calls block.
BLOCKING_GROW_SECONDS = 0.02
#: Most workers of one deployment that start at the same time.
STARTS_MAX = 4
STOPPING = "The server is stopping.\n"
#: So many calls wait for a worker at most, and so many of one deployment, so that it cannot take all the room.
WAITING_MAX = 4_000
DEPLOYMENT_WAITING_MAX = 1_000
OVERLOADED = "Too many requests wait for a worker.\n"
#: Memory that is kept free for each worker until it has answered its first request, bytes.
WORKER_BYTES = 64 * 1024 * 1024
#: Seconds between looks for memory while calls wait for it.
LOOK_AGAIN_SECONDS = 0.25


@dataclass(kw_only=True, slots=True)
class DeploymentWorkers:
    """The workers of one deployment and who waits for them."""

    spec: WorkerSpec
    workers: list[Worker] = field(default_factory=list)
    starting: set[asyncio.Task[None]] = field(default_factory=set)
    #: Its calls hold each other up: a worker takes one at a time.
    blocking: bool = False
    growth: asyncio.TimerHandle | None = None
    #: Woken with None to look again, or with the answer when a worker could not be started.
    waiters: "deque[asyncio.Future[FunctionResponse | None]]" = field(default_factory=deque)
    #: How many calls wait, those included that have been woken and have not looked yet.
    waiting: int = 0

    def free_worker(self) -> Worker | None:
        """Return the least busy worker that takes a request."""
        workers = self.workers
        if len(workers) == 1:
            return workers[0] if workers[0].free else None
        return min(
            (worker for worker in workers if worker.free),
            key=lambda worker: worker.busy,
            default=None,
        )

    def wake(self, answer: FunctionResponse | None = None, count: int | None = None) -> None:
        """Wake the first `count` waiters, or all."""
        while self.waiters and count != 0:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(answer)
                count = None if count is None else count - 1


class Pool:
    """Hands every request to a worker of its deployment.

    `workers_max` bounds all workers, `function_workers_max` those of one function. At the bound an idle worker of
    another deployment makes room. The same holds while `available_bytes` has less than a worker
    needs, except that one worker may always run.
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
    ) -> None:
        self._spawner = spawner
        self._engine = engine
        self._idle_seconds = idle_seconds
        self._workers_max = workers_max
        self._function_workers_max = function_workers_max
        self._available_bytes = available_bytes
        self._deployments: dict[str, DeploymentWorkers] = {}
        #: Every worker whose process is not known to have ended, also those that left their deployment.
        self._alive: set[Worker] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        #: Those of them that start a worker.
        self._starting: dict[asyncio.Task[None], Worker] = {}
        #: Calls that wait for a worker.
        self._waiting = 0
        self._reaper: asyncio.TimerHandle | None = None
        #: Somebody waits because there is no room for one more worker.
        self._crowded = False
        #: Set while calls wait for room: nothing tells when other processes free memory.
        self._look_again: asyncio.TimerHandle | None = None
        self._closing = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def workers(self) -> int:
        """Processes that run."""
        return len(self._alive)

    @property
    def busy(self) -> int:
        """Requests that workers have in hand."""
        return sum(worker.busy for worker in self._alive)

    async def call(
        self, spec: WorkerSpec, request: FunctionRequest, deadline: float, *, patient: bool = False
    ) -> FunctionResponse:
        """Run the function of a deployment; failures are in the answer, never raised.

        Waiting for a worker, its cold start and the call spend the time until `deadline` (monotonic clock). However
        many wait already, a `patient` call waits too: for callers that bound their calls themselves.
        """
        began = time.monotonic()
        attempts = declines = 0
        while True:
            deployment = self._deployments.get(spec.key)
            worker = (
                deployment.free_worker()
                if deployment is not None and deployment.spec is spec
                else None
            )
            if deployment is not None and worker is not None:
                if deployment.blocking:
                    self._consider_growth(deployment)
                response = await worker.call(request, deadline)
            else:
                found = await self._wait_for_worker(spec, deadline, patient)
                answer = (
                    found
                    if isinstance(found, FunctionResponse)
                    else await found.call(request, deadline)
                )
                response = msgspec.structs.replace(
                    answer, duration_seconds=time.monotonic() - began
                )
            if response.failure == "declined" and declines < DECLINES_MAX:
                declines += 1
                continue
            attempts += 1
            if response.delivered or response.failure != "died" or attempts == ATTEMPTS:
                break
        if response.failure == "declined":
            return failed("died", "The function's workers handed the request back too often.\n")
        if declines:
            response = msgspec.structs.replace(response, duration_seconds=time.monotonic() - began)
        return response

    def prewarm(self, spec: WorkerSpec) -> None:
        """Start a worker ahead of the first request and have it import the function.

        Does nothing while memory is short: the worker would cost one that is of use.
        """
        if not self._closing and not self._crowded and not self._is_short():
            deployment = self._deployment(spec)
            if not deployment.workers and not deployment.starting:
                self._grow(deployment, load=True)

    def drop(self, key: str) -> None:
        """Forget a deployment: its workers finish what they run and end."""
        deployment = self._deployments.pop(key, None)
        if deployment is not None:
            for worker in deployment.workers:
                self._run(worker.stop())
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
        starting = list(self._starting)
        for start in starting:
            start.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        await asyncio.gather(*(worker.kill() for worker in list(self._alive)), *self._tasks)

    async def _wait_for_worker(
        self, spec: WorkerSpec, deadline: float, patient: bool
    ) -> Worker | FunctionResponse:
        # Only the first look may replace the spec: two requests with different ones would drop each other's for ever.
        deployment = self._deployment(spec)
        full = self._waiting >= WAITING_MAX or deployment.waiting >= DEPLOYMENT_WAITING_MAX
        if full and not patient:
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
            waiter: asyncio.Future[FunctionResponse | None] = (
                asyncio.get_running_loop().create_future()
            )
            deployment.waiters.append(waiter)
            self._consider_growth(deployment)
            try:
                answer = await asyncio.wait_for(waiter, deadline - time.monotonic())
            except BaseException as exc:
                if waiter.done() and not waiter.cancelled():
                    # Woken for a slot that it no longer takes.
                    deployment.wake(count=1)
                with contextlib.suppress(ValueError):
                    deployment.waiters.remove(waiter)
                if not isinstance(exc, TimeoutError):
                    raise
                return failed("timeout", f"{TIMED_OUT}{self._why_late(deployment)}\n")
            if answer is not None:
                return answer
            deployment = self._deployments.get(spec.key) or self._deployment(spec)

    def _why_late(self, deployment: DeploymentWorkers) -> str:
        if deployment.workers:
            return "No worker was free in time."
        if not deployment.starting and self._is_short():
            return "No worker was started in time, because the server is short of memory."
        return "No worker was started in time."

    def _deployment(self, spec: WorkerSpec) -> DeploymentWorkers:
        """Return the deployment; workers of an older spec (other variables, another size) are let go."""
        deployment = self._deployments.get(spec.key)
        if deployment is not None and deployment.spec != spec:
            self.drop(spec.key)
            deployment = None
        if deployment is None:
            deployment = self._deployments[spec.key] = DeploymentWorkers(spec=spec)
        deployment.spec = spec
        return deployment

    def _consider_growth(self, deployment: DeploymentWorkers) -> None:
        """See that there will be a worker for the next call: at once when there is none, else a little later."""
        if not any(worker.in_service for worker in deployment.workers):
            if not deployment.starting:
                self._grow(deployment)
        elif deployment.growth is None:
            delay_seconds = BLOCKING_GROW_SECONDS if deployment.blocking else GROW_SECONDS
            loop = asyncio.get_running_loop()
            deployment.growth = loop.call_later(delay_seconds, self._grow_if_needed, deployment)

    def _grow_if_needed(self, deployment: DeploymentWorkers) -> None:
        """Start a worker for each call that waits, and a spare one when calls that block keep all of them busy."""
        deployment.growth = None
        if self._deployments.get(deployment.spec.key) is not deployment:
            return
        waiting = len(deployment.waiters)
        wanted = waiting if deployment.blocking else -(-waiting // deployment.spec.concurrency)
        if deployment.blocking and not waiting and deployment.free_worker() is None:
            wanted = 1
        for _ in range(min(wanted, STARTS_MAX) - len(deployment.starting)):
            self._grow(deployment)

    def _grow(self, deployment: DeploymentWorkers, load: bool = False) -> None:
        """Start one more worker if the limits allow it; a spare one displaces no other."""
        if self._closing or self._crowded:
            return
        group = deployment.spec.group or deployment.spec.key
        of_function = sum((worker.spec.group or worker.spec.key) == group for worker in self._alive)
        if of_function >= self._function_workers_max and deployment.workers:
            return
        evicted = None
        if len(self._alive) >= self._workers_max or (self._alive and self._is_short()):
            if deployment.workers and not deployment.waiters:
                # A spare one displaces no other.
                return
            evicted = self._evict()
            if evicted is None:
                self._crowded = True
                loop = asyncio.get_running_loop()
                self._look_again = loop.call_later(LOOK_AGAIN_SECONDS, self._grow_where_needed)
                return
        worker = Worker(deployment.spec, careful=deployment.blocking)
        # Counted from here on: many may be started in one turn of the loop.
        self._alive.add(worker)
        task = self._run(self._start(deployment, worker, load, evicted))
        deployment.starting.add(task)
        self._starting[task] = worker
        task.add_done_callback(self._end_start)

    def _is_short(self) -> bool:
        """Tell whether memory is short for one more worker, besides those that grow still."""
        growing = sum(not worker.settled for worker in self._alive)
        return self._available_bytes() < (growing + 1) * WORKER_BYTES

    def _evict(self) -> Worker | None:
        """Take the worker that has been idle longest out of service, None when there is none."""
        idle = [
            (worker.idle_since, other, worker)
            for other in self._deployments.values()
            for worker in other.workers
            if worker.busy == 0 and not other.waiting
        ]
        if not idle:
            return None
        _, other, worker = min(idle, key=lambda found: found[0])
        other.workers.remove(worker)
        return worker

    async def _start(
        self, deployment: DeploymentWorkers, worker: Worker, load: bool, evicted: Worker | None
    ) -> None:
        """Start `worker`, once the `evicted` one has ended and left its memory."""
        worker.on_exit = self._exited
        worker.on_free = self._freed
        worker.on_capacity = self._changed
        problem = "The worker could not be started.\n"
        try:
            if evicted is not None:
                await evicted.stop()
            await worker.start(self._spawner, self._engine)
            problem = "" if worker.in_service else "The worker ended as soon as it had started.\n"
        except WorkerFailed as exc:
            problem = str(exc)
        finally:
            deployment.starting.discard(cast("asyncio.Task[None]", asyncio.current_task()))
            if problem:
                self._alive.discard(worker)
                logger.warning("%s: %s", deployment.spec.command.label, one_line(problem))
                if not any(other.in_service for other in deployment.workers):
                    deployment.wake(failed("start", problem))
        if problem:
            return
        if self._deployments.get(deployment.spec.key) is not deployment:
            self._run(worker.stop())
            deployment.wake()
            return
        deployment.workers.append(worker)
        if load:
            worker.load()
        self._freed(worker)
        if deployment.waiters and deployment.blocking:
            self._grow_if_needed(deployment)

    def _changed(self, worker: Worker) -> None:
        """Take note of a worker that takes fewer requests than before, because its calls block, or more."""
        deployment = self._deployments.get(worker.spec.key)
        if deployment is None:
            return
        deployment.blocking = worker.slots < deployment.spec.concurrency
        # The first call of a worker is slow for reasons of its own.
        if deployment.blocking and (worker.answered or deployment.waiters):
            self._consider_growth(deployment)
        elif deployment.waiters:
            deployment.wake(count=worker.slots_free)

    def _end_start(self, start: asyncio.Task[None]) -> None:
        worker = self._starting.pop(start)
        if start.cancelled():
            # Perhaps before its first step.
            self._alive.discard(worker)

    def _freed(self, worker: Worker) -> None:
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
        """Start workers for deployments whose requests wait, now that there may be room."""
        self._crowded = False
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        for waiting in self._deployments.values():
            if waiting.waiters:
                self._consider_growth(waiting)

    def _reap(self) -> None:
        """Stop the workers that have been idle for long, and come back when the next one will have been."""
        self._reaper = None
        now = time.monotonic()
        next_due = float("inf")
        for deployment in list(self._deployments.values()):
            for worker in list(deployment.workers):
                due = worker.idle_since + self._idle_seconds
                if worker.busy == 0 and due <= now + 0.001:
                    self._stop(deployment, worker)
                elif worker.busy == 0:
                    next_due = min(next_due, due)
            if not deployment.workers and not deployment.waiters and not deployment.starting:
                del self._deployments[deployment.spec.key]
        if next_due != float("inf"):
            self._reaper = asyncio.get_running_loop().call_later(next_due - now, self._reap)

    def _stop(self, deployment: DeploymentWorkers, worker: Worker) -> None:
        deployment.workers.remove(worker)
        self._run(worker.stop())

    def _run(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run something in the background and keep it from being collected."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
