"""One cluster and one server for all tests: Ray starts in ten seconds and takes a gigabyte."""

import contextlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.serving import Api, Server, pack, wait_until

#: Answers with the text of the query `say`; `seconds` blocks, `log` prints, `tell` counts calls.
CODE = b"""import os, socket, time

def main(context):
    query = context.req.query
    if port := query.get("tell"):
        with socket.create_connection(("127.0.0.1", int(port))) as told:
            told.sendall(query["id"].encode())
    if text := query.get("log"):
        context.log(text)
    time.sleep(float(query.get("seconds", "0")))
    if query.get("echo"):
        return context.res.binary(context.req.body_binary)
    return context.res.json({"said": query.get("say", ""), "kept": os.environ.get("KEPT", "")})
"""
#: States of all nodes together while none changes.
SETTLED = ({"ready"}, {"ready", "draining"})


class Cluster:
    """The nodes, and a server whose functions run on them."""

    def __init__(self, data: Path) -> None:
        with data.with_name("ray.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.cluster.ray_nodes"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.address = self._answer()
        self.server = Server(data, cluster=self.address, cluster_public="true", function_workers=2)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the cluster has ended"
        return line

    def _order(self, order: Mapping[str, Any]) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def add(self, **options: Any) -> str:
        """Add a node of two processors, and return its id."""
        return self._order({"add": {"num_cpus": 2, **options}})

    def remove(self, node_id: str) -> None:
        """Kill every process of a node, unless they were killed."""
        self._order({"remove": node_id})

    @contextlib.contextmanager
    def one_more(self, **options: Any) -> Iterator[str]:
        """Have one node more inside the block, which may remove it."""
        added = self.add(**options)
        try:
            yield added
        finally:
            self.remove(added)

    def kill_head(self) -> None:
        """Kill the process that keeps the list of nodes."""
        (head,) = (
            one
            for one in psutil.Process(self._process.pid).children(recursive=True)
            if one.name() == "gcs_server"
        )
        head.kill()

    def actors(self) -> list[psutil.Process]:
        """The processes of minifn's actors, one a node."""
        found = []
        for one in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "".join(one.cmdline()[:1]).startswith("ray::Node"):
                    found.append(one)
        return found

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The nodes by id, as the server lists them."""
        with self.server.api as api:
            return {one["id"]: one for one in api.call("GET", "/minifn/nodes", 200)["nodes"]}

    def node(self, node_id: str, state: str, seconds: float = 20) -> dict[str, Any]:
        """Wait until a node is in a state, and return it."""

        def named() -> dict[str, Any] | None:
            found = self.nodes().get(node_id)
            return found if found and found["state"] == state else None

        return wait_until(named, seconds, f"node {node_id} is {state}")

    def restart_server(self) -> None:
        """Stop the server and start it again; its nodes are ready when this returns."""
        assert self.server.stop() == 0, self.server.log_tail()
        self.server.start()
        self.settle()

    def settle(self) -> None:
        """Wait until every node is ready, or drained."""
        wait_until(
            lambda: {one["state"] for one in self.nodes().values()} in SETTLED,
            30,
            "nodes are ready",
        )

    def close(self) -> None:
        """End every process."""
        self._process.communicate(timeout=60)


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head without functions and two nodes, which no test removes."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'minifn[ray]'")
    cluster = Cluster(tmp_path_factory.mktemp("cluster") / "data")
    try:
        nodes = [cluster.add(resources={name: 1}) for name in ("first", "second")]
        with cluster.server:
            for own in nodes:
                cluster.node(own, "ready")
            yield cluster
    finally:
        cluster.close()


@pytest.fixture
def api(cluster: Cluster) -> Iterator[Api]:
    """A client with the admin key of the cluster's server."""
    with cluster.server.api as api:
        yield api


@pytest.fixture(scope="package")
def talking(cluster: Cluster) -> str:
    """The id of a function with CODE, whose worker takes one call at a time."""
    with cluster.server.api as api:
        deploy(api, "talking", {"MINIFN_CONCURRENCY": "1", "KEPT": "secret"})
    return "talking"


def deploy(api: Api, function_id: str, variables: Mapping[str, str]) -> None:
    """Create a function with CODE and wait for its build."""
    api.create(function_id, api.runtime("python"), entrypoint="main.py", timeout=30)
    for key, value in variables.items():
        path = f"/functions/{function_id}/variables"
        api.call("POST", path, 201, json={"key": key, "value": value, "secret": True})
    api.deploy(function_id, pack(extra={"main.py": CODE}))
