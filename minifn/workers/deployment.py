"""The workers of one deployment and the calls that wait for one."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from minifn.workers.records import FunctionResponse, WorkerSpec
from minifn.workers.worker import Worker

#: Seconds that requests wait before another worker starts: a burst of fast calls needs none.
GROW_SECONDS = 0.05
#: The same for workers whose calls block.
BLOCKING_GROW_SECONDS = 0.02
#: Most workers of one deployment that start at the same time.
STARTS_MAX = 4


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

    @property
    def growth_seconds(self) -> float:
        """Seconds from a wait to the start of another worker."""
        return BLOCKING_GROW_SECONDS if self.blocking else GROW_SECONDS

    def free_worker(self) -> Worker | None:
        """Return the least busy worker that takes a request, None if all are full."""
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

    def wait(self) -> "asyncio.Future[FunctionResponse | None]":
        """Return a new waiter, at the end of the queue."""
        waiter: asyncio.Future[FunctionResponse | None] = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        return waiter

    def missing_workers(self) -> int:
        """Return how many workers to start now.

        That is one for each call that waits, or as many as take them together; and a spare one when
        calls that block keep all workers busy.
        """
        waiting = len(self.waiters)
        wanted = waiting if self.blocking else -(-waiting // self.spec.concurrency)
        if self.blocking and not waiting and self.free_worker() is None:
            wanted = 1
        return max(0, min(wanted, STARTS_MAX) - len(self.starting))
