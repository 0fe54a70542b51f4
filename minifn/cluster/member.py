"""A server's view of one node: its state, its load, and the messages to it."""

import asyncio
import functools
import logging
import time
from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from minifn.cluster.connection import Actor, Found, NodeLost, in_thread
from minifn.cluster.messages import (
    BuildLogged,
    BuildMade,
    Close,
    Facts,
    Identity,
    Known,
    Settings,
    Status,
    ToNode,
    ToPool,
    decode_to_server,
    encode,
    own_identity,
)
from minifn.cluster.placement import Load
from minifn.cluster.remote_builds import RemoteBuilds
from minifn.host.tasks import Tasks
from minifn.models import Target
from minifn.workers.nodes import NodeState

logger = logging.getLogger("minifn.cluster")

#: Seconds until a node is tried again: after its process died, and after it was refused.
AGAIN_SECONDS, REFUSED_SECONDS = 0.5, 30.0
#: Seconds that the parts of a node may take to start, and to stop.
START_SECONDS, STOP_SECONDS = 60.0, 5.0

#: Seconds without a report of its load after which a node gets no calls until the next one.
SILENT_SECONDS = 4.0

#: `starting`; `ready`; `refused` = cannot run functions; `lost` = its process died, and is started
#: again. A ready one is shown as `draining` while it is drained, and as `silent` while
#: it does not report.
State = Literal["starting", "ready", "refused", "lost"]


class Listener(Protocol):
    """The part that a member tells what happens on its node."""

    def ready(self, member: "Member") -> None:
        """Note that a node takes calls."""
        ...

    def silent(self, member: "Member") -> None:
        """Note that a node does not report."""
        ...

    def hear(self, member: "Member", message: ToPool) -> None:
        """Take a message of a node."""
        ...

    def lost(self, member: "Member", reason: str) -> None:
        """Note that everything on a node has ended."""
        ...


class Refused(Exception):
    """A node cannot run functions of this server; the message says why."""


class Member:
    """One node. `run` goes on until it is canceled."""

    def __init__(self, found: Found, settings: Settings, listener: Listener) -> None:
        self.found = found
        #: Whether it is drained: it gets no more calls.
        self.drained = False
        self._state: State = "starting"
        self._heard_at = 0.0
        self._is_silent = False
        #: Why it is refused or lost, "" otherwise.
        self.reason = ""
        self.facts: Facts | None = None
        self.status: Status | None = None
        self.load = Load()
        self._settings = settings
        self._listener = listener
        self._actor: Actor | None = None
        self.builds = RemoteBuilds(lambda: self._actor)
        self._tasks = Tasks()
        #: The addresses of all nodes.
        self._closed: tuple[str, ...] = ()
        #: Batches that were sent, to every process that the actor has had.
        self._batches = 0
        self._reset()

    def _reset(self) -> None:
        self.load = Load()
        #: Deployment -> the number by which the node knows its present target.
        self._known: dict[str, int] = {}
        self._outgoing: list[ToNode] = []

    def __str__(self) -> str:
        return f"{self.found.host} ({self.found.id[:8]})"

    @property
    def state(self) -> State | Literal["draining", "silent"]:
        """Its state; only a `ready` node gets calls."""
        if self._state != "ready":
            return self._state
        return "draining" if self.drained else "silent" if self._is_silent else "ready"

    @property
    def resources(self) -> Mapping[str, float]:
        """Resource -> amount."""
        return self.found.resources

    @property
    def runtimes(self) -> Mapping[str, str]:
        """Runtime -> version of its interpreter."""
        return self.facts.runtimes if self.facts else {}

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses at which its machine answers."""
        return frozenset((self.found.address, *(self.status.addresses if self.status else ())))

    def identity(self, runtime_id: str) -> str:
        """Return the identity of the builds of a runtime there, "" if it cannot build them."""
        return self.facts.identities.get(runtime_id, "") if self.facts else ""

    def shown(self) -> NodeState:
        """Return its state and load."""
        facts, status = self.facts, self.status
        return NodeState(
            id=self.found.id,
            host=self.found.host,
            address=self.found.address,
            state=self.state,
            drained=self.drained,
            reason=self.reason,
            resources=self.found.resources,
            workers=status.workers if status else 0,
            running=self.load.running.total(),
            waiting=self.load.parked.total(),
            building=self.load.building,
            available_bytes=status.available_bytes if status else 0,
            engine=facts.engine if facts else "",
            protections=facts.protections if facts else (),
        )

    async def run(self) -> None:
        """Start the node, and hear it until it is lost; then again."""
        while True:
            pause = AGAIN_SECONDS
            try:
                actor = self._actor
                if actor is None:
                    actor = await in_thread(functools.partial(Actor, self.found.id))
                self._actor = actor
                await self._start(actor)
                self._listener.ready(self)
                while True:
                    messages = decode_to_server(await actor.ask("poll"))
                    self._report()
                    for message in messages:
                        if isinstance(message, BuildLogged | BuildMade):
                            self.builds.hear(message)
                        else:
                            self._listener.hear(self, message)
            except (NodeLost, TimeoutError, msgspec.ValidationError) as exc:
                self._lose("lost", str(exc) or "it did not start in time")
            except Refused as exc:
                pause = REFUSED_SECONDS
                self._lose("refused", str(exc))
                self.kill()
            await asyncio.sleep(pause)

    async def _start(self, actor: Actor) -> None:
        """Start the node's parts. Raises NodeLost, Refused and TimeoutError."""
        self._reset()
        async with asyncio.timeout(START_SECONDS):
            try:
                given = await actor.ask("identity")
            except NodeLost as exc:
                if "minifn" in str(exc):
                    raise Refused(str(exc)) from exc
                raise
            own, other = own_identity(), msgspec.msgpack.decode(given, type=Identity)
            if own != other:
                raise Refused(f"it has {other}; this server has {own}")
            settings = msgspec.msgpack.encode(self._settings)
            answer = await actor.ask("start", settings, self._batches)
        self.facts = msgspec.msgpack.decode(answer, type=Facts)
        # Before all calls.
        self.send(Close(addresses=self._closed))
        self._state, self.reason = "ready", ""
        self._report()
        logger.info("node %s is %s: %s", self, self.state, self.facts.engine)

    def _lose(self, state: Literal["lost", "refused"], reason: str) -> None:
        if reason != self.reason:
            logger.warning("node %s is %s: %s", self, state, reason)
        self._state, self.reason = state, reason
        self._listener.lost(self, reason)
        self.builds.lose(reason)
        self._reset()

    def _report(self) -> None:
        self._heard_at = time.monotonic()
        if self._is_silent:
            self._is_silent = False
            logger.info("node %s reports again", self)
            self._listener.ready(self)

    def look(self) -> None:
        """Notice that the node does not report."""
        silent_seconds = time.monotonic() - self._heard_at
        if self._state == "ready" and not self._is_silent and silent_seconds > SILENT_SECONDS:
            self._is_silent = True
            logger.warning("node %s is silent: it gets no calls until it reports again", self)
            self._listener.silent(self)

    def gone(self) -> None:
        """Note that the cluster has lost the node."""
        self._lose("lost", "it left the cluster")

    async def stop(self) -> None:
        """End the node's functions, and its process."""
        await self._tasks.end()
        if self._actor is not None:
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._actor.ask("stop")
            except (NodeLost, TimeoutError) as exc:
                logger.info("node %s did not stop cleanly: %s", self, exc)
            self.kill()

    def kill(self) -> None:
        """End the node's process."""
        actor, self._actor = self._actor, None
        if actor is not None:
            actor.kill()

    def forget_build(self, key: str) -> bool:
        """Note that a build is not wanted there any more; tell whether it was, or was coming."""
        self._known.pop(key, None)
        return self.builds.forget(key)

    # Messages

    def introduce(self, key: str, number: int, target: Target) -> None:
        """Have the node know a target by a number, if it does not."""
        if self._known.get(key) != number:
            self._known[key] = number
            self.send(Known(number=number, target=target))

    def close(self, addresses: tuple[str, ...]) -> None:
        """Close addresses to functions with network `isolated`."""
        if addresses != self._closed:
            self._closed = addresses
            if self._state == "ready":
                self.send(Close(addresses=addresses))

    def send(self, message: ToNode) -> None:
        """Send a message at the end of this turn of the loop, with all others of the turn."""
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(message)

    def _flush(self) -> None:
        batch, self._outgoing = self._outgoing, []
        if self._actor is None:
            return
        # Targets have variables. They come first: a call needs its target, and none goes before.
        targets = [one for one in batch if isinstance(one, Known)]
        others = [one for one in batch if not isinstance(one, Known)]
        for messages, secret in ((targets, True), (others, False)):
            if messages:
                self._actor.submit(self._batches, encode(messages), secret=secret)
                self._batches += 1
