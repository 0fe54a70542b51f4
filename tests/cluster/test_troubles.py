"""A slow node and a full one, schedules, secrets, and the death of the head."""

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from minifn.cluster.member import SILENT_SECONDS
from minifn.host.datadir import DataDir
from tests.cluster.conftest import Cluster, deploy
from tests.serving import Api, pack, wait_until

pytestmark = pytest.mark.slow


def node_directory(actor: psutil.Process) -> DataDir:
    """The data directory of the node whose actor this is."""
    opened = [file.path for child in actor.children() for file in child.open_files()]
    (lock,) = (path for path in opened if "/minifn-node-" in path and path.endswith("/run/lock"))
    return DataDir(Path(lock).parents[1])


def test_a_slow_node_stalls_no_calls_but_its_own(cluster: Cluster, api: Api, talking: str) -> None:
    """Its processes stand still: the call there ends by its deadline, the others at once."""
    before = {one.pid for one in cluster.actors()}
    with cluster.one_more(resources={"slow": 1}) as added, ThreadPoolExecutor(1) as pool:
        cluster.node(added, "ready")
        deploy(api, "slow", {"MINIFN_NODE": "slow"})
        settings = {"name": "slow", "timeout": 8, "entrypoint": "main.py"}
        api.call("PUT", "/functions/slow", 200, json=settings)
        assert api.execute("slow", path="/")["status"] == "completed"
        (actor,) = (one for one in cluster.actors() if one.pid not in before)
        actor.send_signal(signal.SIGSTOP)
        try:
            stuck = pool.submit(api.execute, "slow", path="/")
            began = time.monotonic()
            for _ in range(20):
                assert api.execute(talking, path="/")["status"] == "completed"
            assert time.monotonic() - began < 5
            cluster.node(added, "silent", SILENT_SECONDS + 5)
            assert api.execute(talking, path="/")["status"] == "completed"
            execution = stuck.result()
            assert execution["status"] == "failed"
            assert "timed out" in execution["errors"]
            assert time.monotonic() - began < 8 + 5
        finally:
            actor.send_signal(signal.SIGCONT)
        cluster.node(added, "ready")
        assert api.execute("slow", path="/")["status"] == "completed"


def test_calls_wait_for_a_full_node(cluster: Cluster, api: Api) -> None:
    """It runs as many as it has workers; the others wait for it as at home, and none is lost."""
    deploy(api, "full", {"MINIFN_NODE": "second", "MINIFN_CONCURRENCY": "1"})
    assert api.execute("full", path="/")["status"] == "completed"
    queued = [api.enqueue("full", path="/?seconds=0.4")["$id"] for _ in range(12)]
    most = 0

    def all_ended() -> bool:
        nonlocal most
        (node,) = (one for one in cluster.nodes().values() if one["resources"].get("second"))
        most = max(most, node["running"])
        found = api.call("GET", "/functions/full/executions", 200)["executions"]
        return all(one["status"] == "completed" for one in found if one["$id"] in queued)

    wait_until(all_ended, 20, "every execution has completed")
    assert most == 2


def test_a_schedule_runs_on_a_node(api: Api) -> None:
    api.create("ticking", api.runtime("python"), entrypoint="main.py", schedule="* * * * *")
    code = b"def main(context):\n    return context.res.text('tick')\n"
    api.deploy("ticking", pack(extra={"main.py": code}))

    def ran() -> bool:
        listed = api.call("GET", "/functions/ticking/executions", 200)["executions"]
        return [one["status"] for one in listed if one["trigger"] == "schedule"] == ["completed"]

    wait_until(ran, 70, "the schedule has run it")


def test_secrets_are_written_nowhere_on_a_node(cluster: Cluster, api: Api, talking: str) -> None:
    """Neither in a node's directory nor in the files of Ray's session."""
    secret = "swordfish-of-the-nodes"
    deploy(api, "keeping", {"KEPT": secret})
    execution = api.execute("keeping", path="/?seconds=0.1", body="x" * 200_000)
    assert json.loads(execution["responseBody"])["kept"] == secret
    places = [node_directory(one).root for one in cluster.actors()]
    assert len(places) >= 2
    session = Path("/tmp/ray/session_latest").resolve()
    looked = 0
    for place in (*places, session):
        for path in place.rglob("*"):
            if path.is_file() and not path.is_symlink():
                looked += 1
                assert secret.encode() not in path.read_bytes(), path
    assert looked > 20


def test_the_death_of_the_head_loses_nothing(tmp_path: Path) -> None:
    """The server stops in order, and goes on where it was with the next head."""
    data = tmp_path / "data"
    with ending(Cluster(data)) as first:
        first.add()
        with first.server.start().api as api:
            first.settle()
            deploy(api, "talking", {"MINIFN_CONCURRENCY": "1"})
            queued = [api.enqueue("talking", path="/?seconds=2")["$id"] for _ in range(40)]
        first.kill_head()
        assert first.server.process.wait(60) == 1, first.server.log_tail()
        line = "the connection to the cluster failed: the head of the cluster does not answer"
        assert line in first.server.log_tail()
        assert "Traceback" not in first.server.log_tail()
    with ending(Cluster(data)) as second:
        second.add()
        with second.server, second.server.api as api:
            ended = [api.finished("talking", one, 90)["status"] for one in queued]
            # Those that ran when the server stopped.
            assert ended.count("failed") <= 2
            assert ended.count("completed") >= 38


@contextlib.contextmanager
def ending(cluster: Cluster) -> Iterator[Cluster]:
    """Have a cluster end."""
    try:
        yield cluster
    finally:
        cluster.close()
