"""Builds on the nodes of a cluster, and at home when no node can make one."""

import asyncio
import logging
import os
from pathlib import Path

import msgspec

from minifn.archive import uploads
from minifn.builder.build import Build, HomeBuilds, memory_bytes
from minifn.builder.commands import BuildError
from minifn.builder.context import BuildContext
from minifn.builder.logs import LogText
from minifn.builder.order import Begun, BuildOrder, Built, identity_here
from minifn.cluster.connection import NodeLost
from minifn.cluster.member import Member
from minifn.cluster.membership import Membership
from minifn.cluster.messages import BuildMade, Drop
from minifn.cluster.placement import NODE_VARIABLE, Needs, best_to_build, misfit
from minifn.cluster.remote_builds import BuildFailed
from minifn.models import specification

logger = logging.getLogger("minifn.cluster")

#: Most nodes that a build is given to, one after the other; then it is made at home.
PLACES_MAX = 3
#: Seconds that a build waits for nodes that start, and between two looks.
SETTLE_SECONDS, LOOK_SECONDS = 10.0, 0.2
#: Most characters of an identity that a node tells.
IDENTITY_CHARS_MAX = 200


class ClusterBuilds:
    """Makes builds on nodes; what comes back is not trusted, and published as a local build is."""

    def __init__(self, context: BuildContext, membership: Membership) -> None:
        self._context = context
        self._membership = membership
        self._home = HomeBuilds(context)

    async def build(self, order: BuildOrder, log: LogText, begun: Begun) -> Built:
        """Build a deployment on the best node; see `Builds`."""
        own = order.deployment.id
        if own in self._context.folders:
            return await self._home.build(order, log, begun)
        data = self._context.data
        if not await asyncio.to_thread(uploads.complete, data.upload(own), data.source(own)):
            raise BuildError("The source of the deployment is missing.")
        tried: list[Member] = []
        while len(tried) < PLACES_MAX and (member := await self._choose(order, tried)):
            tried.append(member)
            log.note(f"The node {member} makes the build.")
            try:
                return await self._build_on(member, order, log, begun)
            except NodeLost as exc:
                log.note(f"The node {member} was lost: {exc}. The build starts again.")
        log.note(f"The server makes the build: {self._reasons(order, tried)}.")
        return await self._home.build(order, log, begun)

    async def _choose(self, order: BuildOrder, tried: list[Member]) -> Member | None:
        """Return the best node that was not tried, None for none; wait for those that start."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        here = await identity_here(self._context, order.function.runtime)
        needs = _needs(order)
        while True:
            ready = (one for one in self._membership.ready if one not in tried)
            fitting = [one for one in ready if not misfit(one, needs)]
            members = self._membership.members.values()
            settled = members and all(one.state != "starting" for one in members)
            if fitting or settled or loop.time() > deadline:
                return best_to_build(fitting, order.function.runtime, here)
            await asyncio.sleep(LOOK_SECONDS)

    def _reasons(self, order: BuildOrder, tried: list[Member]) -> str:
        """Return why no node makes a build."""
        needs = _needs(order)
        reasons = [
            f"{one}: {'it was lost' if one in tried else one.reason or misfit(one, needs)}"
            for one in self._membership.members.values()
            if one.state != "ready" or misfit(one, needs) or one in tried
        ]
        return "; ".join(reasons) or "no node is ready"

    async def _build_on(
        self, member: Member, order: BuildOrder, log: LogText, begun: Begun
    ) -> Built:
        own, load = order.deployment.id, member.load
        source = self._context.data.source(own)
        seconds = float(self._context.config.build_timeout)
        load.building += 1
        try:
            made = await member.builds.make(order, source, log, seconds, packed=True, begun=begun)
            if made.built is None:
                raise BuildError(made.problem or "The node did not say how the build ended.")
            packed = await self._fetch(member, own, made, made.built)
            published = await Build(self._context, order, log, begun).adopt(packed)
        except BaseException as exc:
            member.send(Drop(key=own))
            if isinstance(exc, BuildFailed):
                raise BuildError(f"The packed build of node {member} is refused: {exc}.") from exc
            raise
        finally:
            load.building -= 1
        member.builds.note(own)
        identity = made.built.identity[:IDENTITY_CHARS_MAX]
        return msgspec.structs.replace(published, identity=identity, sha256=made.built.sha256)

    async def _fetch(self, member: Member, own: str, made: BuildMade, built: Built) -> Path:
        """Fetch a packed build, durably. Raises BuildFailed, NodeLost and OSError."""
        limit_bytes = self._context.config.build_limit
        if not 0 < made.packed_bytes <= limit_bytes:
            raise BuildFailed(f"it is larger than {limit_bytes:,} bytes, or empty")
        path = self._context.data.output(own)
        new = path.with_name(f"{path.name}~new")
        try:
            if await member.builds.fetch(own, new, made.packed_bytes) != built.sha256:
                raise BuildFailed("its bytes are not those that the node made")
            await asyncio.to_thread(_keep, new, path)
        finally:
            new.unlink(missing_ok=True)
        return path


def _keep(new: Path, path: Path) -> None:
    """Give a file its name once it is on disk."""
    new.chmod(0o600)
    with new.open("rb") as file:
        os.fsync(file.fileno())
    new.replace(path)


def _needs(order: BuildOrder) -> Needs:
    return Needs(
        cpus=specification(order.function.build_specification).cpus,
        memory_bytes=memory_bytes(order),
        runtime=order.function.runtime,
        label=order.variables.get(NODE_VARIABLE, ""),
    )
