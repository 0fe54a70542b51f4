"""The needs of a node before it runs a deployment: its build, and its target by a number."""

import asyncio
import itertools
import logging

from minifn.cluster.connection import NodeLost
from minifn.cluster.member import Member
from minifn.cluster.messages import Prewarm
from minifn.host.datadir import DataDir
from minifn.host.tasks import Tasks
from minifn.workers.records import WorkerSpec

logger = logging.getLogger("minifn.cluster")


class Preparation:
    """Prepares nodes for deployments."""

    def __init__(self, data: DataDir) -> None:
        self._data = data
        self._tasks = Tasks()
        self._count = itertools.count(1)
        #: Deployment -> the spec that was seen last, and the number that nodes know it by.
        self._numbers: dict[str, tuple[WorkerSpec, int]] = {}

    async def close(self) -> None:
        """End the preparations that have not ended."""
        await self._tasks.end()

    def forget(self, key: str) -> None:
        """Forget a deployment."""
        self._numbers.pop(key, None)

    async def build(self, member: Member, spec: WorkerSpec) -> str:
        """Copy a build to a node, unless it is there; return why it is not, "" for success."""
        assert spec.target is not None
        assert spec.target.deployment is not None
        deployment_id = spec.target.deployment.id
        member.load.coming.add(spec.key)
        try:
            directory = self._data.build(deployment_id)
            await member.prepare(spec.key, directory, spec.target.function)
        except (NodeLost, OSError) as exc:
            member.load.coming.discard(spec.key)
            logger.warning("build %s was not copied to node %s: %s", deployment_id, member, exc)
            return str(exc)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return "the node was lost"
        return ""

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
