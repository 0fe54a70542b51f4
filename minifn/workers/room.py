"""Room for one more worker: processes and memory, and what gives way for it."""

from collections.abc import Callable, Collection, Iterable
from typing import TypeAlias

from minifn.workers.deployment import DeploymentWorkers, take_longest_idle
from minifn.workers.template import Template
from minifn.workers.templates import Templates
from minifn.workers.worker import Worker

#: Bytes of memory that are kept free for each worker until it has answered its first request.
WORKER_BYTES = 64 * 1024 * 1024
#: Gives way for a worker, None for nothing.
Evicted: TypeAlias = Worker | Template | None


class Room:
    """The limits that all workers of a pool share, and how far the workers `alive` reach them."""

    def __init__(
        self,
        alive: Collection[Worker],
        templates: Templates,
        *,
        workers_max: int,
        available_bytes: Callable[[], int],
    ) -> None:
        self._alive = alive
        self._templates = templates
        self._workers_max = workers_max
        self._available_bytes = available_bytes

    def is_full(self) -> bool:
        """Tell whether a worker must end before another one may start. One may always run."""
        return len(self._alive) >= self._workers_max or (bool(self._alive) and self.is_short())

    def is_short(self) -> bool:
        """Tell whether memory is short for one more worker, besides those that still grow."""
        growing = sum(not worker.settled for worker in self._alive)
        return self._available_bytes() < (growing + 1) * WORKER_BYTES

    def evict(self, key: str, deployments: Iterable[DeploymentWorkers]) -> Evicted:
        """Take out what was idle longest, templates first if memory is short; None for nothing.

        The template of the deployment `key` stays: its forks need the least memory.
        """
        template = self._templates.give_way(key) if self.is_short() else None
        return template or take_longest_idle(deployments)
