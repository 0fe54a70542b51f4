"""The interface of the workers to the parts above, which need not know where a worker runs."""

from collections.abc import Awaitable
from typing import Protocol

from minifn.workers.records import FunctionRequest, FunctionResponse, WorkerSpec


class Workers(Protocol):
    """The workers of all deployments: `Pool` has those of this machine, `ClusterPool` of many."""

    @property
    def workers(self) -> int:
        """Number of processes that run."""
        ...

    @property
    def busy(self) -> int:
        """Number of requests in flight."""
        ...

    def call(
        self,
        spec: WorkerSpec,
        request: FunctionRequest,
        deadline: float,
        *,
        queue_unbounded: bool = False,
    ) -> Awaitable[FunctionResponse]:
        """Run the function of a deployment; failures are in the response, never raised.

        The wait for a worker, its cold start and the call take place before `deadline` (monotonic
        clock, seconds). `queue_unbounded`: wait however many wait already, for callers that limit
        their calls themselves.
        """
        ...

    def prewarm(self, spec: WorkerSpec) -> bool:
        """Start a worker ahead of the first request; return False if there is no room for one."""
        ...

    def drop(self, key: str) -> None:
        """Forget a deployment: its workers finish their calls and end."""
        ...

    async def close(self) -> None:
        """End every worker; requests in flight fail."""
        ...
