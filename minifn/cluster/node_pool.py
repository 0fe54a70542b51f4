"""The pool of a node: as a server's, and a call can wait for a worker before it is granted."""

from minifn.workers.pool import Pool
from minifn.workers.records import FunctionResponse, WorkerSpec


class NodePool(Pool):
    """A pool whose calls may wait without their request."""

    def has_room(self, spec: WorkerSpec) -> bool:
        """Tell whether a worker takes a call at once."""
        deployment = self._deployments.get(spec.key)
        return (
            deployment is not None
            and deployment.spec is spec
            and deployment.free_worker() is not None
        )

    async def wait(
        self, spec: WorkerSpec, deadline: float, *, queue_unbounded: bool
    ) -> FunctionResponse | None:
        """Wait until a worker is free, and return None; or the response when none comes.

        The worker is not kept: `call` takes it, or `pass_on` lets another call have it.
        """
        found = await self._wait_for_worker(spec, deadline, queue_unbounded)
        return found if isinstance(found, FunctionResponse) else None

    def pass_on(self, spec: WorkerSpec) -> None:
        """Wake the next call that waits, because the woken one went elsewhere."""
        deployment = self._deployments.get(spec.key)
        if deployment is not None and deployment.free_worker() is not None:
            deployment.wake(count=1)

    def slots(self, key: str) -> int:
        """Return how many calls the workers of a deployment take at once."""
        deployment = self._deployments.get(key)
        return sum(worker.slots for worker in deployment.workers) if deployment else 0

    def all_slots(self) -> dict[str, int]:
        """Return the deployments that have a worker which takes calls, with their slots."""
        return {key: slots for key in self._deployments if (slots := self.slots(key))}
