"""The nodes of a cluster: a member for each that joins, until it leaves."""

import asyncio
import dataclasses
import hashlib
import ipaddress
import logging
import platform
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from minifn.cluster import connection
from minifn.cluster.connection import Found, NodeLost
from minifn.cluster.member import Listener, Member
from minifn.cluster.messages import Settings
from minifn.config import Config
from minifn.endpoint import ApiEndpoint
from minifn.host.datadir import DataDir
from minifn.host.tasks import end
from minifn.workers.nodes import NodeState

logger = logging.getLogger("minifn.cluster")

#: Names of the server's settings.
FIELDS = frozenset(item.name for item in dataclasses.fields(Config))
#: Seconds between two looks for nodes that joined or left.
LOOK_SECONDS = 1.0
#: Seconds without an answer after which the head of the cluster counts as dead.
HEAD_SECONDS = 20.0


class Membership:
    """The members; `watch` makes them and goes on until it is canceled."""

    def __init__(
        self, config: Config, data: DataDir, endpoint: ApiEndpoint, listener: Listener
    ) -> None:
        self._config = config
        self._data = data
        self._endpoint = endpoint
        self._listener = listener
        #: Nodes by id.
        self.members: dict[str, Member] = {}
        #: Ids of nodes that are drained as soon as they are seen.
        self.drained: frozenset[str] = frozenset()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._warned = False

    @property
    def ready(self) -> list[Member]:
        """The nodes that take calls."""
        return [one for one in self.members.values() if one.state == "ready"]

    @property
    def is_settled(self) -> bool:
        """Whether there are nodes, and none of them may soon take calls that takes none now."""
        states = {one.state for one in self.members.values()}
        return bool(states) and states.isdisjoint(("starting", "lost", "silent"))

    def drain(self, name: str, *, undo: bool) -> NodeState:
        """Give a node no more calls, or calls again; see `Cluster.drain`."""
        named = [
            one
            for one in self.members.values()
            if one.found.id.startswith(name)
            or name in (one.found.host, one.found.address, str(one))
        ]
        if not named:
            raise LookupError("No node of the cluster has this ID, host or address.")
        if len(named) > 1:
            ids = ", ".join(sorted(one.found.id[:8] for one in named))
            raise LookupError(f"It names {len(named)} nodes. Their IDs begin with {ids}.")
        (member,) = named
        member.drained = not undo
        tell = self._listener.ready if undo else self._listener.silent
        tell(member)
        return member.shown()

    async def watch(self) -> None:
        """Have a member for each living node.

        Raises ConnectionError once the head has not answered for HEAD_SECONDS: Ray would end this
        process soon after. Also when this machine has left: a server starts no actor from then on.
        """
        answered, own = time.monotonic(), connection.own_node()
        while True:
            try:
                async with asyncio.timeout(HEAD_SECONDS):
                    found = {one.id: one for one in await connection.in_thread(connection.nodes)}
                answered = time.monotonic()
                self._follow(found)
                if own not in found:
                    raise ConnectionError("Ray has ended on this machine: start it again")
                for member in self.members.values():
                    member.look()
            except (NodeLost, TimeoutError) as exc:
                if time.monotonic() - answered >= HEAD_SECONDS:
                    raise ConnectionError("the head of the cluster does not answer") from exc
            await asyncio.sleep(LOOK_SECONDS)

    def _follow(self, found: Mapping[str, Found]) -> None:
        """Make members of the nodes that joined, and end those of nodes that left.

        All are told the addresses of all.
        """
        for gone in self.members.keys() - found.keys():
            self._running.pop(gone).cancel()
            self.members.pop(gone).gone()
        for own in found.keys() - self.members.keys():
            member = Member(found[own], self._settings(found[own].address), self._listener)
            member.drained = own in self.drained
            self.members[own] = member
            self._running[own] = asyncio.create_task(member.run(), name=f"node {own}")
        members = self.members.values()
        addresses = tuple(sorted({one for member in members for one in member.addresses}))
        for member in members:
            member.close(addresses)

    async def close(self) -> None:
        """End every node's functions and processes."""
        await end(*self._running.values())
        members, self.members = list(self.members.values()), {}
        await asyncio.gather(*(member.stop() for member in members))

    def _settings(self, address: str) -> Settings:
        """Return the settings for the node at an address."""
        config, own = self._config, connection.own_address()
        endpoint = reachable(self._endpoint.url, config.host, own)
        if address != own and _is_loopback(endpoint) and not self._warned:
            self._warned = True
            logger.warning(
                "functions on other machines cannot call the API at %s: set MINIFN_ENDPOINT to an"
                " address that they reach",
                endpoint,
            )
        taken = {name for name in Settings.__struct_fields__ if name in FIELDS}
        given: dict[str, Any] = {name: getattr(config, name) for name in taken - {"endpoint"}}
        return Settings(
            server=hashlib.sha256(f"{platform.node()} {self._data.root}".encode()).hexdigest()[:16],
            endpoint=endpoint,
            **given,
        )


def reachable(url: str, host: str, address: str) -> str:
    """Return the URL of the API for functions on other machines.

    A server on every address is told to functions by its `address` in the cluster; one on loopback
    alone cannot be reached from other machines.
    """
    parts = urlsplit(url)
    if host not in ("0.0.0.0", "::") or not _is_loopback(url):
        return url
    shown = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=f"{shown}:{parts.port}" if parts.port else shown).geturl()


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
