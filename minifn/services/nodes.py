"""The nodes of a cluster; a drained one stays drained when the server starts again."""

import msgspec

from minifn.errors import ArgumentInvalid
from minifn.store import settings
from minifn.store.database import Database
from minifn.workers.nodes import Cluster, NodeState

_DRAINED = "drained nodes"


class Nodes:
    """The nodes of the server's cluster; none without one."""

    def __init__(self, database: Database, cluster: Cluster | None) -> None:
        self._database = database
        self._cluster = cluster

    async def open(self) -> None:
        """Drain the nodes that were drained before."""
        if self._cluster is not None:
            stored = await self._database.read(settings.get, _DRAINED, "[]")
            self._cluster.keep_drained(msgspec.json.decode(stored, type=frozenset[str]))

    @property
    def has_cluster(self) -> bool:
        """Whether functions run on a cluster."""
        return self._cluster is not None

    def all(self) -> list[NodeState]:
        """Return every node, by host."""
        return self._cluster.nodes() if self._cluster is not None else []

    async def drain(self, name: str, *, undo: bool = False) -> NodeState:
        """Give a node no more calls, or calls again; see `Cluster.drain`.

        Raises ArgumentInvalid unless `name` names one node.
        """
        try:
            if self._cluster is None:
                raise LookupError("This server has no cluster.")
            node = self._cluster.drain(name, undo=undo)
        except LookupError as exc:
            raise ArgumentInvalid.for_param("nodeId", str(exc)) from exc
        # Ray's ids do not come back: those of nodes that left are forgotten here.
        drained = [one.id for one in self.all() if one.drained]
        await self._database.write(settings.put, _DRAINED, msgspec.json.encode(drained).decode())
        return node
