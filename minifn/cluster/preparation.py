"""The needs of a node before it runs a deployment: its build, and its target by a number."""

import asyncio
import functools
import itertools
import logging
from collections.abc import Sequence

from minifn.builder.context import BuildContext
from minifn.builder.logs import LogText
from minifn.builder.order import identity_of, order_of
from minifn.builder.packed import PackedBuilds
from minifn.cluster.connection import NodeLost
from minifn.cluster.member import Member
from minifn.cluster.messages import Forget, Prewarm
from minifn.cluster.remote_builds import BuildFailed
from minifn.errors import DeploymentNotFound
from minifn.host.space import TreeRefused
from minifn.host.tasks import Tasks
from minifn.languages import RuntimeUnavailable
from minifn.models import Target
from minifn.store import functions
from minifn.workers.records import WorkerSpec

logger = logging.getLogger("minifn.cluster")


class Preparation:
    """Prepares nodes for deployments; `use` comes before all else."""

    _context: BuildContext
    _packed: PackedBuilds

    def __init__(self) -> None:
        self._tasks = Tasks()
        self._count = itertools.count(1)
        #: Deployment -> the spec that was seen last, and the number that nodes know it by.
        self._numbers: dict[str, tuple[WorkerSpec, int]] = {}

    def use(self, context: BuildContext, packed: PackedBuilds) -> None:
        """Take the parts of the server that orders of builds need."""
        self._context, self._packed = context, packed

    async def close(self) -> None:
        """End the preparations that have not ended."""
        await self._tasks.end()

    def forget(self, key: str) -> None:
        """Forget a deployment."""
        self._numbers.pop(key, None)

    def is_near(self, member: Member, spec: WorkerSpec) -> bool:
        """Tell whether a node has a build, or needs only a copy of it."""
        if member.builds.has(spec.key):
            return True
        assert spec.target is not None
        return member.identity(spec.target.function.runtime) == self._identity(spec.target)

    def _identity(self, target: Target) -> str:
        """Return the identity of a target's build; the server's for one of an older minifn."""
        assert target.deployment is not None
        if target.deployment.build_identity:
            return target.deployment.build_identity
        context = self._context
        try:
            return identity_of(context.runtimes.resolve(target.function.runtime), context.engine)
        except RuntimeUnavailable:
            return ""

    async def build(self, member: Member, spec: WorkerSpec) -> str:
        """Bring a build to a node, unless it is there; return why it is not, "" for success."""
        member.load.coming.add(spec.key)
        try:
            await member.builds.prepare(spec.key, functools.partial(self._bring, member, spec))
        except (NodeLost, OSError, BuildFailed, TreeRefused, DeploymentNotFound) as exc:
            member.load.coming.discard(spec.key)
            logger.warning("node %s has no build of deployment %s: %s", member, spec.key, exc)
            return str(exc)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return "the node was lost"
        return ""

    async def _bring(self, member: Member, spec: WorkerSpec) -> None:
        """Copy a build to a node that it fits; another one makes its own of the source."""
        target = spec.target
        assert target is not None
        assert target.deployment is not None
        order = order_of(self._context, target.function, target.deployment, target.variables)
        own = target.deployment.id
        if self.is_near(member, spec):
            packed, sha256 = await self._packed.of(own)
            problem = await member.builds.adopt(order, packed, sha256)
            if not problem:
                return
            logger.warning("node %s cannot use the build of %s: %s", member, own, problem)
        logger.info("node %s makes its own build of deployment %s", member, own)
        source, seconds = self._context.data.source(own), self._context.config.build_timeout
        log = LogText()
        made = await member.builds.make(order, source, log, float(seconds), packed=False)
        if made.built is None:
            raise BuildFailed(f"its own build failed: {made.problem}")

    def tidy(self, member: Member) -> None:
        """Have a node that is ready remove the build caches of functions that are gone."""
        if member.facts and member.facts.caches:
            self._tasks.start(self._tidy(member, member.facts.caches), f"tidy {member}")

    async def _tidy(self, member: Member, caches: Sequence[str]) -> None:
        for function_id in await self._context.database.read(functions.missing, caches):
            member.send(Forget(function_id=function_id))

    def warm_up(self, member: Member, spec: WorkerSpec) -> None:
        """Start a worker on a node, once."""
        if spec.key not in member.load.coming:
            member.load.coming.add(spec.key)
            self._tasks.start(self._warm_up(member, spec), f"warm up {spec.key}")

    async def _warm_up(self, member: Member, spec: WorkerSpec) -> None:
        if not await self.build(member, spec):
            member.send(Prewarm(number=self.introduce(member, spec)))

    def introduce(self, member: Member, spec: WorkerSpec) -> int:
        """Have a node know a spec's target, and return its number."""
        assert spec.target is not None
        known, number = self._numbers.get(spec.key, (None, 0))
        if known is not spec:
            number = next(self._count)
            self._numbers[spec.key] = (spec, number)
        member.introduce(spec.key, number, spec.target)
        return number
