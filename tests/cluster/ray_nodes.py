"""A Ray cluster of several nodes on this machine: `python -m tests.cluster.ray_nodes`.

It runs in a process of its own, because Ray changes the process that it is imported into. It prints
the head's address, then obeys a JSON object a line: `{"add": {options}}` answers with the node's
id, `{"remove": id}` kills the processes of a node as a power failure would.
"""

import importlib
import json
import os
import sys
from typing import Any

#: Bytes of each object store.
STORE_BYTES = 80 * 2**20


def main() -> None:
    """Obey until the input ends."""
    kind: Any = importlib.import_module("ray.cluster_utils").Cluster
    # Ray's output goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    cluster = kind(initialize_head=True, head_node_args=head)
    nodes: dict[str, Any] = {}
    print(cluster.address, file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "add" in order:
            node = cluster.add_node(object_store_memory=STORE_BYTES, **order["add"])
            nodes[node.node_id] = node
            print(node.node_id, file=answers, flush=True)
        else:
            node = nodes.pop(order["remove"], None)
            if node is not None:
                cluster.remove_node(node, allow_graceful=False)
            print("removed", file=answers, flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
