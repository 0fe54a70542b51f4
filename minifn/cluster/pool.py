"""The workers of a cluster: each call goes to a node, and its answer comes back."""

import asyncio
import contextlib
import functools
import itertools
from typing import Self

from minifn.builder.context import BuildContext
from minifn.builder.packed import PackedBuilds
from minifn.cluster import connection
from minifn.cluster.builds import ClusterBuilds
from minifn.cluster.member import Member
from minifn.cluster.membership import Membership
from minifn.cluster.messages import (
    Answer,
    Ask,
    Call,
    Drop,
    Forget,
    Grant,
    Logged,
    Missing,
    Parked,
    Removed,
    Request,
    Status,
    ToPool,
    Wait,
    Withdraw,
)
from minifn.cluster.pending import PLACES_MAX, Pending
from minifn.cluster.placement import Needs, best, misfit
from minifn.cluster.preparation import Preparation
from minifn.config import Config
from minifn.endpoint import ApiEndpoint
from minifn.host.datadir import DataDir
from minifn.host.tasks import Tasks
from minifn.workers.nodes import NodeState
from minifn.workers.pool import OVERLOADED, STOPPING, WAITING_MAX
from minifn.workers.records import FunctionRequest, FunctionResponse, WorkerSpec, failed

#: Seconds between two looks for calls that wait and could wait at one more node.
SPREAD_SECONDS = 0.1
#: Seconds that a call waits at one node before another starts its first worker for it.
COLD_SECONDS = 2.0
#: Most seconds that leaving the cluster takes.
LEAVE_SECONDS = 5.0
#: Seconds after its deadline that the answer of a call may come.
GRACE_SECONDS = 2.0


class ClusterPool:
    """The pool of a server whose functions run on the nodes of a cluster."""

    def __init__(
        self,
        config: Config,
        data: DataDir,
        endpoint: ApiEndpoint,
    ) -> None:
        self._config = config
        self.membership = Membership(config, data, endpoint, self)
        self._calls: dict[int, Pending] = {}
        self._ids = itertools.count(1)
        self._preparation = Preparation()
        self._tasks = Tasks()
        self._spreading: asyncio.TimerHandle | None = None
        self._closing = False

    async def __aenter__(self) -> Self:
        """Join the cluster. Raises ClusterUnavailable."""
        config = self._config
        join = functools.partial(
            connection.join, config.cluster, allow_public=config.cluster_public
        )
        await connection.in_thread(join)
        connection.take_back_signals()
        return self

    def builds(self, context: BuildContext, packed: PackedBuilds) -> ClusterBuilds:
        """Return the builds on the nodes, for `context`."""
        self._preparation.use(context, packed)
        return ClusterBuilds(context, self.membership)

    async def watch(self) -> None:
        """Follow the nodes that join and leave; raises ConnectionError without the head."""
        await self.membership.watch()

    async def __aexit__(self, *error: object) -> None:
        await self.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await connection.in_thread(connection.leave)

    @property
    def workers(self) -> int:
        """Number of processes that run on all nodes."""
        return sum(one.status.workers for one in self.membership.members.values() if one.status)

    @property
    def busy(self) -> int:
        """Number of requests in flight."""
        return len(self._calls)

    async def call(
        self,
        spec: WorkerSpec,
        request: FunctionRequest,
        deadline: float,
        *,
        queue_unbounded: bool = False,
    ) -> FunctionResponse:
        """Run the function of a deployment; see `Workers.call`."""
        if self._closing:
            return failed("stopped", STOPPING)
        call = Pending(next(self._ids), spec, request, deadline, queue_unbounded=queue_unbounded)
        self._calls[call.id] = call
        try:
            self._place(call)
            async with asyncio.timeout(max(0.0, call.seconds_left) + GRACE_SECONDS):
                return await call.future
        except TimeoutError:
            return call.late()
        finally:
            del self._calls[call.id]
            self._withdraw(call)

    def prewarm(self, spec: WorkerSpec) -> bool:
        """Start a worker on the least loaded node; return False without a node for it."""
        node = best(self._near(spec, self._usable(spec)), spec.key)
        if node is None:
            return False
        self._preparation.warm_up(node, spec)
        return True

    def drop(self, key: str) -> None:
        """Forget a deployment: its workers finish their calls and end, its builds are removed."""
        self._preparation.forget(key)
        for member in self.membership.members.values():
            if member.forget_build(key):
                member.send(Drop(key=key))

    async def close(self) -> None:
        """End every worker; requests in flight fail."""
        self._closing = True
        if self._spreading is not None:
            self._spreading.cancel()
        for call in self._calls.values():
            call.finish(failed("stopped", STOPPING))
        await self._tasks.end()
        await self._preparation.close()
        await self.membership.close()

    # Nodes

    def ready(self, member: Member) -> None:
        """Give a ready node the calls that found none."""
        for call in list(self._calls.values()):
            if not call.is_placed:
                self._place(call)
        self._preparation.tidy(member)

    def silent(self, member: Member) -> None:
        """Have the calls that wait on a node wait on others."""
        for call in list(self._calls.values()):
            if member in call.held:
                member.send(Withdraw(id=call.id))
                call.let_go(member)
            elif call.awaited is member:
                call.awaited = None
            else:
                continue
            self._place_anew(call)

    def lost(self, member: Member, reason: str) -> None:
        """Fail what ran on a node; what waited there goes to another one."""
        for call in list(self._calls.values()):
            if call.owner is member:
                call.owner = None
                call.fail_with(str(member), reason)
            elif not call.is_placed and self.membership.is_settled:
                self._place_nowhere(call)
        self.silent(member)

    def nodes(self) -> list[NodeState]:
        """Return every node, by host."""
        shown = [one.shown() for one in self.membership.members.values()]
        return sorted(shown, key=lambda one: (one.host, one.id))

    def drain(self, name: str, *, undo: bool) -> NodeState:
        """Give a node no more calls, or calls again; see `Cluster.drain`."""
        return self.membership.drain(name, undo=undo)

    def forget(self, function_id: str) -> None:
        """Have every node remove the build cache of a deleted function."""
        for member in self.membership.members.values():
            # The others are told at their next start.
            if member.state not in ("starting", "refused", "lost"):
                member.send(Forget(function_id=function_id))

    def keep_drained(self, ids: frozenset[str]) -> None:
        """Drain nodes as soon as they are seen."""
        self.membership.drained = ids

    # Placement

    def _usable(self, spec: WorkerSpec) -> list[Member]:
        """Return the ready nodes that fit a target."""
        assert spec.target is not None
        needs = Needs.of(spec.target)
        ready = self.membership.ready
        return [one for one in ready if not (misfit(one, needs) or one.builds.refusal(spec.key))]

    def _near(self, spec: WorkerSpec, nodes: list[Member]) -> list[Member]:
        """Return the nodes that need not make a build of their own; without any, all."""
        return [one for one in nodes if self._preparation.is_near(one, spec)] or nodes

    def _place_anew(self, call: Pending) -> None:
        """Place a call that no node has any more."""
        if not call.is_placed and not call.future.done():
            self._place(call)

    def _place(self, call: Pending, without: Member | None = None) -> None:
        """Send a call to the best node; to a warm one first, while the best one warms up."""
        call.places += 1
        nodes = [one for one in self._usable(call.spec) if one is not without]
        nodes = self._near(call.spec, [one for one in nodes if one not in call.full] or nodes)
        node = best(nodes, call.key)
        if node is None or call.places > PLACES_MAX:
            self._place_nowhere(call)
            return
        if call.key not in node.load.slots:
            warm = best([one for one in nodes if call.key in one.load.slots], call.key)
            if warm is not None:
                self._preparation.warm_up(node, call.spec)
                node = warm
        if node.builds.has(call.key):
            self._send(call, node)
        else:
            call.awaited = node
            node.load.parked[call.key] += 1
            self._tasks.start(self._send_after_build(call, node), f"call {call.id}")

    def _place_nowhere(self, call: Pending) -> None:
        """Let a call wait for a node, unless all are known and none fits, or too many wait."""
        members = self.membership.members.values()
        needs = Needs.of(call.target)
        refusals = {one: one.reason or one.builds.refusal(call.key) for one in members}
        reasons = [f"{one}: {refusals[one] or misfit(one, needs) or one.state}" for one in members]
        if self.membership.is_settled or call.places > PLACES_MAX:
            text = call.problem or "; ".join(reasons)
            call.finish(failed("start", f"No node of the cluster can run the function ({text}).\n"))
        elif not call.queue_unbounded and len(self._calls) > WAITING_MAX:
            call.finish(failed("overloaded", OVERLOADED))

    async def _send_after_build(self, call: Pending, member: Member) -> None:
        problem = await self._preparation.build(member, call.spec)
        member.load.leave(call.key)
        if call.awaited is not member or call.future.done():
            return
        call.awaited = None
        call.problem = f"{member}: {problem}" if problem else call.problem
        if problem or member.state != "ready":
            self._place(call, without=member)
        else:
            self._send(call, member)

    def _send(self, call: Pending, member: Member, *, offer: bool = False) -> None:
        """Send a call to a node that has its build: to run it, or else to offer it."""
        number = self._preparation.introduce(member, call.spec)
        offer = offer or member.load.is_full(call.key)
        request = None if offer else Request.of(call.request)
        if offer:
            call.hold(member)
            self._spread_soon()
        else:
            call.own(member)
            call.carrier = member
        member.send(
            Call(
                id=call.id,
                number=number,
                seconds=call.seconds_left,
                request=request,
                queue_unbounded=call.queue_unbounded,
            )
        )

    def _withdraw(self, call: Pending) -> None:
        """Have every node forget a call."""
        if call.owner is not None:
            call.owner.send(Withdraw(id=call.id))
            call.release(call.owner)
        for member in tuple(call.held):
            member.send(Withdraw(id=call.id))
            call.let_go(member)
        call.awaited = None

    # News of nodes

    def hear(self, member: Member, message: ToPool) -> None:
        """Take a message of a node."""
        match message:
            case Status():
                member.status = message
                for key in {*message.slots, *member.load.slots}:
                    member.load.has(key, message.slots.get(key, 0))
                return
            case Removed():
                member.forget_build(message.key)
                return
        call = self._calls.get(message.id)
        if call is None:
            if isinstance(message, Ask):
                member.send(Withdraw(id=message.id))
            return
        if isinstance(message, Answer | Parked | Ask):
            member.load.has(call.key, message.slots)
        match message:
            case Answer():
                self._answer(call, member, message.response)
            case Logged():
                call.hear(message.stream, message.text)
            case Parked():
                self._park(call, member)
            case Ask():
                self._grant(call, member)
            case Missing():
                member.forget_build(message.key)
                call.release(member)
                self._place_anew(call)

    def _answer(self, call: Pending, member: Member, response: FunctionResponse) -> None:
        call.release(member)
        if response.failure == "overloaded":
            call.full.add(member)
            if not call.is_placed and any(one not in call.full for one in self._usable(call.spec)):
                self._place(call)
            if call.is_placed:
                return
        call.finish(response)

    def _park(self, call: Pending, member: Member) -> None:
        if call.owner is member:
            call.release(member)
            call.hold(member)
        self._spread_soon()

    def _grant(self, call: Pending, member: Member) -> None:
        if call.owner is not None or member not in call.held or call.future.done():
            member.send(Withdraw(id=call.id))
            return
        if member.load.is_full(call.key):
            member.send(Wait(id=call.id))
            return
        call.let_go(member)
        for other in tuple(call.held):
            other.send(Withdraw(id=call.id))
            call.let_go(other)
        call.own(member)
        request = None if call.carrier is member else Request.of(call.request)
        call.carrier = member
        member.send(Grant(id=call.id, request=request))

    def _spread_soon(self) -> None:
        if self._spreading is None and not self._closing:
            loop = asyncio.get_running_loop()
            self._spreading = loop.call_later(SPREAD_SECONDS, self._spread)

    def _spread(self) -> None:
        """Offer each call that waits to one more node; workers there start as they are needed."""
        self._spreading = None
        loop_time = asyncio.get_running_loop().time
        started = loop_time()
        for call in list(self._calls.values()):
            if not call.held or call.owner is not None:
                continue
            self._spread_soon()
            others = [one for one in self._usable(call.spec) if one not in call.held | call.full]
            node = best(others, call.key)
            is_warm = any(call.key in one.load.slots for one in self.membership.members.values())
            if node is None or not (is_warm or call.seconds_waited > COLD_SECONDS):
                continue
            if call.key in node.load.slots and node.builds.has(call.key):
                self._send(call, node, offer=True)
            else:
                self._preparation.warm_up(node, call.spec)
            if loop_time() - started > SPREAD_SECONDS / 4:
                break
