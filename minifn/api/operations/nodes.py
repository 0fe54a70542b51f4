"""The nodes of the cluster on which functions run."""

from collections.abc import Mapping
from typing import Annotated, Any

from starlette.types import ASGIApp

from minifn.api.wire.answers import json_answer
from minifn.api.wire.operation import PROJECTS_READ, PROJECTS_WRITE, Call, Operation
from minifn.api.wire.params import NoParams, Params, Text
from minifn.workers.nodes import NodeState


class OneNode(Params, frozen=True, kw_only=True):
    """A node: its id, the beginning of that, its host's name or its address."""

    node_id: Annotated[str, Text(256)]


async def list_nodes(call: Call, params: NoParams) -> ASGIApp:
    """List the nodes with their load; a server without a cluster has none."""
    nodes = [shown(one) for one in call.parts.nodes.all()]
    cluster = call.parts.nodes.has_cluster
    return json_answer({"total": len(nodes), "cluster": cluster, "nodes": nodes})


async def drain(call: Call, params: OneNode) -> ASGIApp:
    """Give a node no more calls; it is empty once its `running` and `building` are 0."""
    return json_answer(shown(await call.parts.nodes.drain(params.node_id)))


async def undrain(call: Call, params: OneNode) -> ASGIApp:
    """Give a drained node calls again."""
    return json_answer(shown(await call.parts.nodes.drain(params.node_id, undo=True)))


def shown(node: NodeState) -> Mapping[str, Any]:
    """Return a node as the API shows it."""
    names = ("name", "state", "reason", "remedy")
    return {
        "id": node.id,
        "host": node.host,
        "address": node.address,
        "state": node.state,
        "drained": node.drained,
        "reason": node.reason,
        "cpus": node.resources.get("CPU", 0.0),
        "memoryBytes": int(node.resources.get("memory", 0)),
        "resources": node.resources,
        "memoryAvailableBytes": node.available_bytes,
        "workers": node.workers,
        "running": node.running,
        "waiting": node.waiting,
        "building": node.building,
        "engine": node.engine,
        "protections": [dict(zip(names, one, strict=True)) for one in node.protections],
    }


OPERATIONS = (
    Operation(
        name="minifn.listNodes",
        method="GET",
        path="/minifn/nodes",
        scopes=PROJECTS_READ,
        params=NoParams,
        handler=list_nodes,
        needs_project=False,
    ),
    Operation(
        name="minifn.drainNode",
        method="POST",
        path="/minifn/nodes/{nodeId}/drain",
        scopes=PROJECTS_WRITE,
        params=OneNode,
        handler=drain,
        needs_project=False,
        keys_only=True,
        statuses=(200,),
    ),
    Operation(
        name="minifn.undrainNode",
        method="DELETE",
        path="/minifn/nodes/{nodeId}/drain",
        scopes=PROJECTS_WRITE,
        params=OneNode,
        handler=undrain,
        needs_project=False,
        keys_only=True,
        statuses=(200,),
    ),
)
