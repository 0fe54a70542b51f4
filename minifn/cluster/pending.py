"""A call that has not been answered yet, and where in the cluster it is."""

import asyncio
import time
from typing import TYPE_CHECKING, Literal

from minifn.change_feed import Printed
from minifn.models import Target
from minifn.workers.records import (
    TIMED_OUT,
    FunctionRequest,
    FunctionResponse,
    WorkerSpec,
    failed,
)

if TYPE_CHECKING:
    from minifn.cluster.member import Member

#: Number of times that a call is placed again before it fails.
PLACES_MAX = 20


class Pending:
    """A call in the cluster: at no node, waiting at some, or at the one that runs it."""

    def __init__(
        self,
        number: int,
        spec: WorkerSpec,
        request: FunctionRequest,
        deadline: float,
        *,
        queue_unbounded: bool,
    ) -> None:
        assert spec.target is not None
        self.id = number
        self.spec = spec
        self.target: Target = spec.target
        self.request = request
        self.deadline = deadline
        self.queue_unbounded = queue_unbounded
        self.began = time.monotonic()
        self.future: asyncio.Future[FunctionResponse] = asyncio.get_running_loop().create_future()
        #: The node that runs it, or may.
        self.owner: Member | None = None
        #: The node to which its build is copied for it.
        self.awaited: Member | None = None
        #: The nodes where it waits for a worker.
        self.held: set[Member] = set()
        #: The nodes where too many calls wait already.
        self.full: set[Member] = set()
        #: The node that has its request already.
        self.carrier: Member | None = None
        self.places = 0
        #: Why a node could not be prepared for it, "" for no reason.
        self.problem = ""
        self._logs = {"logs": "", "errors": ""}

    @property
    def key(self) -> str:
        """The deployment."""
        return self.spec.key

    @property
    def seconds_left(self) -> float:
        """Seconds until its deadline."""
        return self.deadline - time.monotonic()

    @property
    def seconds_waited(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    @property
    def is_placed(self) -> bool:
        """Whether a node has it, or gets it."""
        return bool(self.owner or self.awaited or self.held)

    def hold(self, member: "Member") -> None:
        """Note that it waits on a node."""
        self.held.add(member)
        member.load.parked[self.key] += 1

    def let_go(self, member: "Member") -> None:
        """Note that it no longer waits on a node."""
        self.held.discard(member)
        member.load.leave(self.key)

    def own(self, member: "Member") -> None:
        """Note that a node runs it, or may."""
        self.owner = member
        member.load.running[self.key] += 1

    def release(self, member: "Member") -> None:
        """Note that a node no longer has it."""
        if self.owner is member:
            self.owner = None
            member.load.end(self.key)
        elif member in self.held:
            self.let_go(member)

    def hear(self, stream: Literal["logs", "errors"], text: str) -> None:
        """Pass on lines that its function has logged, and keep them in case its node dies."""
        self._logs[stream] += text
        request = self.request
        if request.changes.live and request.execution is not None:
            news = Printed(
                execution_id=request.execution.id,
                function_id=request.execution.function_id,
                stream=stream,
                text=text,
            )
            request.changes.tell_watchers(news)

    def finish(self, response: FunctionResponse) -> None:
        """Answer the caller."""
        if not self.future.done():
            self.future.set_result(response)

    def fail_with(self, node: str, reason: str) -> None:
        """Answer that the node which ran it has died."""
        lost = failed("died", "")
        self.finish(
            FunctionResponse(
                status_code=500,
                headers=lost.headers,
                logs=self._logs["logs"],
                errors=f"{self._logs['errors']}The node {node} was lost while it ran this"
                f" function: {reason}.\n",
                failure="died",
                delivered=True,
                duration_seconds=time.monotonic() - self.began,
            )
        )

    def late(self) -> FunctionResponse:
        """Return the response to a call whose deadline has passed without an answer."""
        if self.owner is not None:
            why = ""
        elif self.is_placed:
            why = "No worker was free in time.\n"
        else:
            why = "No node of the cluster was ready in time.\n"
        return failed("timeout", f"{TIMED_OUT}{why}")
