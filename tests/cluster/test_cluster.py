"""Functions on the nodes of a real Ray cluster, several of them on this machine."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.api.event_reader import reading
from tests.cli.conftest import Here
from tests.cluster.conftest import Cluster, deploy
from tests.patience import patient
from tests.serving import Api, pack, wait_until

pytestmark = pytest.mark.slow


class Witness:
    """Counts the calls that functions report, by their name."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.seen[connection.recv(100).decode()] += 1

    def close(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def witness() -> Iterator[Witness]:
    witness = Witness()
    yield witness
    witness.close()


def said(execution: dict[str, Any]) -> Any:
    assert execution["status"] == "completed", execution["errors"]
    return json.loads(execution["responseBody"])["said"]


def test_a_call_runs_on_a_node_and_not_here(cluster: Cluster, api: Api, talking: str) -> None:
    execution = api.execute(talking, path="/?say=hello&log=printed")
    assert json.loads(execution["responseBody"]) == {"said": "hello", "kept": "secret"}
    assert execution["logs"] == "printed\n"
    assert cluster.server.workers() == []
    wait_until(
        lambda: sum(one["workers"] for one in cluster.nodes().values()), 5, "a node has a worker"
    )


def test_queued_calls_run(api: Api, talking: str) -> None:
    queued = [api.enqueue(talking, path=f"/?say={number}")["$id"] for number in range(8)]
    assert all(api.finished(talking, one)["status"] == "completed" for one in queued)


def test_logs_come_while_the_function_runs(api: Api, talking: str) -> None:
    with reading(api.http, "/minifn/logs", params={"functionId": talking}) as reader:
        queued = api.enqueue(talking, path="/?log=early&seconds=1")["$id"]
        _, line = reader.next("log")
        assert (line["executionId"], line["text"]) == (queued, "early\n")
        assert api.call("GET", f"/minifn/executions/{queued}", 200)["status"] == "processing"
        assert reader.next("end")[1]["logs"] == "early\n"


def test_a_large_body_goes_there_and_back(api: Api, talking: str) -> None:
    body = "0123456789abcdef" * 65_000
    execution = api.execute(talking, path="/?echo=1", body=body)
    assert execution["responseBody"] == body


def test_a_deadline_ends_a_call_on_a_node(api: Api, talking: str) -> None:
    api.call("PUT", f"/functions/{talking}", 200, json={"name": talking, "timeout": 1})
    try:
        began = time.monotonic()
        execution = api.execute(talking, path="/?seconds=20")
        assert execution["status"] == "failed"
        assert "timed out" in execution["errors"]
        assert time.monotonic() - began < patient(5, fault_seconds=20)
    finally:
        api.call("PUT", f"/functions/{talking}", 200, json={"name": talking, "timeout": 30})
    assert said(api.execute(talking, path="/?say=again")) == "again"


def test_a_function_runs_only_where_its_label_is(cluster: Cluster, api: Api) -> None:
    deploy(api, "pinned", {"MINIFN_NODE": "second"})
    assert said(api.execute("pinned", path="/?say=here")) == "here"
    api.call("POST", "/functions/pinned/variables", 201, json={"key": "OTHER", "value": "1"})
    deploy(api, "nowhere", {"MINIFN_NODE": "gpu"})
    execution = api.execute("nowhere", path="/")
    assert execution["status"] == "failed"
    assert "it has no resource 'gpu'" in execution["errors"]


def test_many_calls_spread_over_the_nodes(cluster: Cluster, api: Api, talking: str) -> None:
    said(api.execute(talking, path="/?say=warm"))
    with ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(api.execute, talking, path="/?seconds=0.7") for _ in range(12)]
        wait_until(
            lambda: sum(one["running"] >= 2 for one in cluster.nodes().values()) >= 2,
            10,
            "two nodes run calls",
        )
        assert {call.result()["status"] for call in calls} == {"completed"}


def test_a_new_node_is_used_and_a_drained_one_is_not(
    cluster: Cluster, api: Api, talking: str
) -> None:
    with cluster.one_more(resources={"third": 1}) as added:
        node = cluster.node(added, "ready", 5)
        assert (node["cpus"], node["resources"]["third"]) == (2, 1)
        deploy(api, "third", {"MINIFN_NODE": "third", "MINIFN_CONCURRENCY": "1"})
        running = api.enqueue("third", path="/?say=before&seconds=1.5")["$id"]
        wait_until(lambda: cluster.nodes()[added]["running"], 10, "the call runs there")
        drained = api.call("POST", f"/minifn/nodes/{added[:12]}/drain", 200)
        assert drained["state"] == "draining"
        refused = api.execute("third", path="/?say=after")
        assert refused["status"] == "failed"
        assert "draining" in refused["errors"]
        assert api.finished("third", running)["status"] == "completed"
        assert said(api.execute(talking, path="/?say=elsewhere")) == "elsewhere"
        cluster.restart_server()
        assert cluster.node(added, "draining")["drained"]
        undone = api.call("DELETE", f"/minifn/nodes/{added[:12]}/drain", 200)
        assert (undone["state"], undone["drained"]) == ("ready", False)
        # All nodes of this test have one host.
        several = api.call("POST", f"/minifn/nodes/{undone['host']}/drain", 400)
        assert "It names 4 nodes. Their IDs begin with " in several["message"]
        assert added[:8] in several["message"]
        missing = api.call("POST", "/minifn/nodes/nowhere/drain", 400)
        assert "No node of the cluster has this ID, host or address." in missing["message"]
        assert said(api.execute("third", path="/?say=again")) == "again"


def test_commands_list_nodes_and_drain_one(cluster: Cluster, tmp_path: Path) -> None:
    cluster.settle()
    here = Here(tmp_path, cluster.server)
    ids = set(cluster.nodes())
    head, *rows = here.run("nodes").stdout.splitlines()
    assert head.split()[:2] == ["node", "state"]
    assert {(row.split()[0], row.split()[1]) for row in rows} == {(own[:8], "ready") for own in ids}
    described = map(json.loads, here.run("nodes", "--json").stdout.splitlines())
    assert {one["id"] for one in described} == ids
    own = min(ids)
    try:
        drained = here.run("drain", own).stdout
        assert drained.startswith(f"{own[:8]} gets no more calls; 0 run there")
        cluster.node(own, "draining")
    finally:
        undone = here.run("drain", own, "--undo", "--json").stdout
    assert json.loads(undone)["drained"] is False


def test_a_node_that_dies_fails_the_calls_that_ran_there(
    cluster: Cluster, api: Api, talking: str, witness: Witness
) -> None:
    """Calls that waited there go elsewhere, and no call runs twice."""
    names = [f"call{number}" for number in range(16)]

    def call(name: str) -> tuple[dict[str, Any], float]:
        path = f"/?say={name}&id={name}&tell={witness.port}&seconds=1.5"
        return api.execute(talking, path=path), time.monotonic()

    with cluster.one_more() as added, ThreadPoolExecutor(len(names)) as pool:
        cluster.node(added, "ready")
        calls = [pool.submit(call, name) for name in names]
        wait_until(lambda: cluster.nodes()[added]["running"] >= 2, 15, "calls run there")
        cluster.remove(added)
        removed = time.monotonic()
        results = [one.result() for one in calls]
    lost = [(one, at) for one, at in results if one["status"] == "failed"]
    # One for each worker that a node may have for this function.
    assert 1 <= len(lost) <= 2
    for execution, at in lost:
        assert f"({added[:8]}) was lost while it ran this function" in execution["errors"]
        assert at - removed < 5
    assert set(witness.seen.values()) == {1}


def test_a_node_whose_process_dies_is_started_again(
    cluster: Cluster, api: Api, talking: str
) -> None:
    said(api.execute(talking, path="/?say=before"))
    actors = cluster.actors()
    pids = {one.pid for one in actors}
    assert len(pids) >= 3
    for one in actors:
        one.kill()
    wait_until(lambda: pids.isdisjoint(one.pid for one in cluster.actors()), 20, "all are gone")
    wait_until(
        lambda: all(one["state"] == "ready" for one in cluster.nodes().values()),
        20,
        "all are ready",
    )
    assert said(api.execute(talking, path="/?say=after")) == "after"


def test_an_event_runs_a_function(api: Api, talking: str) -> None:
    settings = {"name": talking, "timeout": 30, "events": ["orders.*.create"]}
    api.call("PUT", f"/functions/{talking}", 200, json=settings)
    api.call("POST", "/events", 202, json={"event": "orders.42.create", "payload": {}})
    query = {"queries[]": '{"method":"equal","attribute":"trigger","values":["event"]}'}

    def caused() -> bool:
        listed = api.call("GET", f"/functions/{talking}/executions", 200, params=query)
        return [one["status"] for one in listed["executions"]] == ["completed"]

    wait_until(caused, 10, "the event has run it")


def test_a_node_with_another_version_is_refused(
    cluster: Cluster, api: Api, talking: str, tmp_path: Path
) -> None:
    other = "import minifn\nminifn.__version__ = '0.0.1'\n"
    (tmp_path / "sitecustomize.py").write_text(other)
    with cluster.one_more(env_vars={"PYTHONPATH": str(tmp_path)}) as added:
        reason = cluster.node(added, "refused")["reason"]
        assert "it has minifn 0.0.1" in reason
        assert said(api.execute(talking, path="/?say=fine")) == "fine"


def test_a_function_cannot_reach_ray_or_other_builds(cluster: Cluster, api: Api) -> None:
    host, _, port = cluster.address.rpartition(":")
    code = f"""import glob, socket

def main(context):
    try:
        socket.create_connection(({host!r}, {port}), 2).close()
        reached = True
    except OSError:
        reached = False
    places = [*glob.glob("/tmp/*"), *glob.glob("/fn/../*/minifn-node-*")]
    return context.res.json({{"reached": reached, "places": places}})
"""
    api.create("curious", api.runtime("python"), entrypoint="main.py")
    variable = {"key": "MINIFN_NETWORK", "value": "none"}
    api.call("POST", "/functions/curious/variables", 201, json=variable)
    api.deploy("curious", pack(extra={"main.py": code.encode()}))
    engine = next(one["engine"] for one in cluster.nodes().values() if one["state"] == "ready")
    if engine != "bwrap":
        pytest.skip(f"the engine here is {engine}, which shares the file system")
    execution = api.execute("curious")
    assert json.loads(execution["responseBody"])["reached"] is False, execution
    assert json.loads(execution["responseBody"])["places"] == []
