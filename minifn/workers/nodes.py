"""The nodes of a cluster, for parts that list or drain them."""

from typing import Protocol

import msgspec


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """The facts and the load of a node."""

    #: Ray's id, and the host's name and address.
    id: str
    host: str
    address: str
    #: `starting`, `ready`, `draining`, `silent`, `refused` or `lost`; `reason` says why for the
    #: last two.
    state: str
    #: Whether it is drained: it gets no more calls, also once it is ready.
    drained: bool = False
    reason: str = ""
    #: Resource -> amount, as Ray counts it.
    resources: dict[str, float]
    #: Processes of functions.
    workers: int = 0
    #: Calls that run, or may, and calls that wait for a worker there.
    running: int = 0
    waiting: int = 0
    #: Builds that are made there.
    building: int = 0
    available_bytes: int = 0
    #: The engine, "" before it is known.
    engine: str = ""
    #: The protections of functions: name, state, reason and remedy.
    protections: tuple[tuple[str, str, str, str], ...] = ()


class Cluster(Protocol):
    """The nodes of a server."""

    async def watch(self) -> None:
        """Follow the nodes that join and leave; raises ConnectionError without the head."""
        ...

    def nodes(self) -> list[NodeState]:
        """Return every node, by host."""
        ...

    def drain(self, name: str, *, undo: bool) -> NodeState:
        """Give a node no more calls; what waits there goes elsewhere, what runs ends there.

        `name` is its id, the beginning of that, its host or its address. `undo`: give it calls
        again. Raises LookupError, whose message says why, unless it names one node.
        """
        ...

    def forget(self, function_id: str) -> None:
        """Have every node remove what it keeps for a deleted function: its build cache."""
        ...

    def keep_drained(self, ids: frozenset[str]) -> None:
        """Drain nodes as soon as they are seen, by id."""
        ...
