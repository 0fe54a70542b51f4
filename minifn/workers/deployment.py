"""The workers of one deployment and the calls that wait for one."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from minifn.workers.records import FunctionResponse, WorkerSpec
from minifn.workers.template import Template
from minifn.workers.worker import Worker

#: Seconds that requests wait before another worker starts: a burst of fast calls needs none.
GROW_SECONDS = 0.05
#: The same for workers whose calls block, and for those that a template forks.
BLOCKING_GROW_SECONDS, FORK_GROW_SECONDS = 0.02, 0.002
#: Divisor of a worker's slots: with fewer free ones, the next worker starts ahead of need.
SPARE_SLOTS_SHARE = 4
#: Calls that a worker without its function counts for, in the choice of the least busy one.
NOT_LOADED = 1_000_000
#: Most workers of one deployment that start at the same time, and that are forked.
STARTS_MAX, FORKS_MAX = 4, 32


@dataclass(kw_only=True, slots=True)
class DeploymentWorkers:
    """The workers of one deployment and the calls that wait for one."""

    spec: WorkerSpec
    workers: list[Worker] = field(default_factory=list)
    starting: set[asyncio.Task[None]] = field(default_factory=set)
    #: Whether its calls block each other, so that a worker takes one at a time.
    blocking: bool = False
    growth: asyncio.TimerHandle | None = None
    #: Results are None to look again, or the response when no worker could be started.
    waiters: "deque[asyncio.Future[FunctionResponse | None]]" = field(default_factory=deque)
    #: How many calls wait, including those that were woken and have not looked again yet.
    waiting: int = 0

    @property
    def in_service(self) -> bool:
        """Whether a worker takes requests, now or later."""
        return any(worker.in_service for worker in self.workers)

    @property
    def is_outdated(self) -> bool:
        """Whether it has a worker, and another process would run other code."""
        return self.in_service and not self.spec.is_current()

    def growth_seconds(self, has_template: bool) -> float:
        """Return the seconds from a wait to the start of another worker."""
        if not self.blocking:
            # A wait for calls that last longer is no burst of fast ones.
            lasted = min((one.busy_seconds for one in self.workers), default=0.0)
            return max(FORK_GROW_SECONDS, GROW_SECONDS - lasted)
        return FORK_GROW_SECONDS if has_template else BLOCKING_GROW_SECONDS

    def free_worker(self) -> Worker | None:
        """Return the least busy worker that takes a request, None if all are full.

        One that has not imported the function yet comes last: its calls would wait for that.
        """
        found, least = None, 0
        for worker in self.workers:
            busy = worker.busy
            if busy < worker.slots:
                if not worker.loaded:
                    busy += NOT_LOADED
                if found is None or busy < least:
                    found, least = worker, busy
                    if not busy:
                        break
        return found

    def wake(self, answer: FunctionResponse | None = None, count: int | None = None) -> None:
        """Wake the first `count` waiters, or all."""
        while self.waiters and count != 0:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(answer)
                count = None if count is None else count - 1

    def wait(self) -> "asyncio.Future[FunctionResponse | None]":
        """Return a new waiter, at the end of the queue."""
        waiter: asyncio.Future[FunctionResponse | None] = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        return waiter

    def leave(self, waiter: "asyncio.Future[FunctionResponse | None]") -> None:
        """Take a waiter out of the queue that waits no more."""
        if waiter.done() and not waiter.cancelled():
            # It was woken for a slot that it no longer takes.
            self.wake(count=1)
        with contextlib.suppress(ValueError):
            self.waiters.remove(waiter)

    def why_late(self, is_short: bool) -> str:
        """Return why no worker took a call in time; `is_short` of memory."""
        if self.workers:
            return "No worker was free in time.\n"
        if not self.starting and is_short:
            return "No worker was started in time, because the server is short of memory.\n"
        return "No worker was started in time.\n"

    def take_idle(self, since: float) -> list[Worker]:
        """Take out the workers that are idle since then or longer."""
        taken = [one for one in self.workers if one.busy == 0 and one.idle_since <= since]
        self.workers = [one for one in self.workers if one not in taken]
        return taken

    def take_forks(self, template: Template) -> list[Worker]:
        """Take out the workers that a template forked."""
        taken = [one for one in self.workers if one.template is template]
        self.workers = [one for one in self.workers if one not in taken]
        return taken

    def missing_workers(self, has_template: bool = False) -> int:
        """Return how many workers to start now; more at once if a template forks them.

        That is one for each call that waits, or as many as take them together; and one more when
        all workers are nearly full or calls that block keep them busy.
        """
        waiting = len(self.waiters)
        wanted = waiting if self.blocking else -(-waiting // self.spec.concurrency)
        if not waiting and all(map(is_nearly_full, self.workers)):
            wanted = 1 if self.blocking or self.spec.concurrency > 1 else 0
        return max(0, min(wanted, FORKS_MAX if has_template else STARTS_MAX) - len(self.starting))


def is_nearly_full(worker: Worker) -> bool:
    """Tell whether a worker takes few further requests, so that another one will be needed."""
    return worker.busy >= worker.slots - worker.slots // SPARE_SLOTS_SHARE


def take_longest_idle(deployments: Iterable[DeploymentWorkers]) -> Worker | None:
    """Take the worker that was idle longest out of its deployment; None if all are busy."""
    idle = [
        (worker.idle_since, deployment, worker)
        for deployment in deployments
        for worker in deployment.workers
        if worker.busy == 0 and not deployment.waiting
    ]
    if not idle:
        return None
    _, deployment, worker = min(idle, key=lambda found: found[0])
    deployment.workers.remove(worker)
    return worker
