"""Builds on the nodes of a real Ray cluster."""

import contextlib
import hashlib
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import psutil
import pytest

from minifn.languages import RuntimeTable
from minifn.languages.table import default_search_path
from tests.cluster.conftest import Cluster, deploy
from tests.cluster.test_troubles import node_directory
from tests.serving import Api, pack, wait_until

pytestmark = pytest.mark.slow

CODE = b"""import sys, pathlib

def main(context):
    made = pathlib.Path(__file__).with_name("made").read_text()
    return context.res.json({"made": made, "version": sys.version_info[:2]})
"""
MADE = "python3 -c 'import sys; print(*sys.version_info[:2])' >made"
ARCHIVE = pack(extra={"main.py": CODE})


def create(api: Api, name: str, label: str = "", runtime: str = "") -> None:
    """Create a function, pinned to the nodes with a label."""
    api.create(name, runtime or api.runtime("python"), entrypoint="main.py", timeout=30)
    if label:
        pin(api, name, label)


def pin(api: Api, name: str, label: str) -> None:
    variable = {"key": "MINIFN_NODE", "value": label}
    api.call("POST", f"/functions/{name}/variables", 201, json=variable)


def sleepers(seconds: str) -> list[psutil.Process]:
    """The processes `sleep SECONDS`."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if one.cmdline() == ["sleep", seconds]:
                found.append(one)
    return found


def row(cluster: Cluster, deployment_id: str) -> tuple[str, str]:
    """The identity and the digest of a build, as the server recorded them."""
    with contextlib.closing(sqlite3.connect(cluster.server.data / "minifn.db")) as conn:
        found = conn.execute(
            "SELECT build_identity, build_sha256 FROM deployments WHERE id = ?", (deployment_id,)
        ).fetchone()
    return str(found[0]), str(found[1])


def node_files(name: str) -> list[Path]:
    """The files of all nodes with a name below a build."""
    return list(Path("/tmp").glob(f"minifn-node-*/builds/{name}"))


def test_a_build_runs_on_a_node_and_its_log_is_live(cluster: Cluster, api: Api) -> None:
    create(api, "made", "second")
    uploaded = api.upload("made", ARCHIVE, commands=f"echo early; sleep 3.25; {MADE}")["$id"]
    path = f"/functions/made/deployments/{uploaded}"

    def early() -> dict[str, Any] | None:
        found: dict[str, Any] = api.call("GET", path, 200)
        return found if "early\n" in found["buildLogs"] and sleepers("3.25") else None

    running = wait_until(early, 20, "the log has come while the build runs")
    assert running["status"] == "building"
    below = {one.pid for actor in cluster.actors() for one in actor.children(recursive=True)}
    assert below & {one.pid for one in sleepers("3.25")}
    assert not {one.pid for one in cluster.server.tree()} & {one.pid for one in sleepers("3.25")}
    ready = api.built("made", uploaded)
    assert ready["status"] == "ready", ready["buildLogs"]
    assert "makes the build" in ready["buildLogs"]
    # The server has it, packed and unpacked.
    assert (cluster.server.data / "builds" / uploaded / "made").exists()
    identity, digest = row(cluster, uploaded)
    output = cluster.server.data / "deployments" / f"{uploaded}~output.tar.gz"
    assert hashlib.sha256(output.read_bytes()).hexdigest() == digest
    assert "python-3." in identity
    assert api.execute("made")["status"] == "completed"
    assert len(node_files(uploaded)) == 1
    api.call("DELETE", path, 204)
    wait_until(lambda: not node_files(uploaded), 10, "the node has removed the build")
    assert not output.exists()


def test_a_build_cache_goes_with_its_function(cluster: Cluster, api: Api) -> None:
    """Also from a node that is lost at that moment."""

    def caches(name: str) -> list[Path]:
        return node_files(f".cache/{name}")

    for name in ("cached", "missed"):
        create(api, name, "second")
        api.deploy(name, ARCHIVE, commands=MADE)
        assert len(caches(name)) == 1
    api.call("DELETE", "/functions/cached", 204)
    wait_until(lambda: not caches("cached"), 10, "the node has removed the cache")
    place = caches("missed")[0].parents[2]
    (actor,) = (one for one in cluster.actors() if node_directory(one).root == place)
    actor.kill()
    api.call("DELETE", "/functions/missed", 204)
    wait_until(lambda: not caches("missed"), 30, "the next start there has removed it")
    cluster.settle()


def test_a_canceled_build_ends_on_its_node(cluster: Cluster, api: Api) -> None:
    create(api, "canceled")
    uploaded = api.upload("canceled", ARCHIVE, commands="sleep 611.5")["$id"]
    wait_until(lambda: sleepers("611.5"), 20, "the build runs")
    api.call("PATCH", f"/functions/canceled/deployments/{uploaded}/status", 200)
    wait_until(lambda: not sleepers("611.5"), 10, "the build has ended")
    assert api.built("canceled", uploaded)["status"] == "canceled"
    wait_until(lambda: not node_files(f"{uploaded}*"), 10, "its files are removed")


def test_a_build_whose_node_dies_starts_again_elsewhere(cluster: Cluster, api: Api) -> None:
    with (
        cluster.one_more(resources={"pair": 1}) as one,
        cluster.one_more(resources={"pair": 1}) as two,
    ):
        for own in (one, two):
            cluster.node(own, "ready")
        create(api, "moved", "pair")
        uploaded = api.upload("moved", ARCHIVE, commands=f"sleep 4.75; {MADE}")["$id"]
        wait_until(lambda: sleepers("4.75"), 20, "the build runs")
        path = f"/functions/moved/deployments/{uploaded}"

        def named() -> str:
            log = str(api.call("GET", path, 200)["buildLogs"])
            return log if "makes the build" in log else ""

        log = wait_until(named, 10, "the log names the node")
        dying, other = (one, two) if one[:8] in log else (two, one)
        cluster.remove(dying)
        ready = api.built("moved", uploaded)
        assert ready["status"] == "ready", ready["buildLogs"]
        assert f"({dying[:8]}) was lost" in ready["buildLogs"]
        assert f"({other[:8]}) makes the build" in ready["buildLogs"]
        assert api.execute("moved")["status"] == "completed"
        # Without any node that fits, the server makes it.
        cluster.remove(other)
        wait_until(lambda: other not in cluster.nodes(), 20, "the node is gone")
        again = api.deploy("moved", ARCHIVE, commands=MADE)
        assert "The server makes the build" in again["buildLogs"]
        assert "it has no resource 'pair'" in again["buildLogs"]


def test_a_node_with_another_interpreter_makes_its_own_build(cluster: Cluster, api: Api) -> None:
    create(api, "two", runtime="python-3.12")
    made = api.deploy("two", ARCHIVE, commands=f"{MADE}; cat made")
    if "\n3 12\n" not in made["buildLogs"]:
        pytest.skip("this machine has no Python 3.12 in the server's home directory")
    first = json.loads(api.execute("two")["responseBody"])
    assert first == {"made": "3 12\n", "version": [3, 12]}
    # Without a home directory, this node finds the system's Python alone.
    with cluster.one_more(resources={"other": 1}, env_vars={"HOME": "/nonexistent"}) as added:
        cluster.node(added, "ready")
        pin(api, "two", "other")
        execution = api.execute("two")
        assert execution["status"] == "completed", execution["errors"]
        own = json.loads(execution["responseBody"])
        assert own["version"] != [3, 12]
        assert own["made"] == "{} {}\n".format(*own["version"])
        # The server keeps the build that it has.
        kept = cluster.server.data / "builds" / made["$id"] / "made"
        assert kept.read_text() == "3 12\n"
        # A build that only this node can make says whose it is.
        again = api.deploy("two", ARCHIVE, commands=MADE)
        assert f"({added[:8]}) makes the build" in again["buildLogs"]
        assert row(cluster, again["$id"])[0] != row(cluster, made["$id"])[0]
        # A start without the cluster makes it again.
        with contextlib.closing(sqlite3.connect(cluster.server.data / "minifn.db")) as conn:
            assert conn.execute("SELECT 1 FROM settings WHERE name = 'cluster'").fetchone()


def test_a_runtime_of_a_node_alone_is_built_and_run_there(cluster: Cluster, api: Api) -> None:
    given = os.environ.get("MINIFN_RUNTIME_PATHS", "")
    listed = {one["key"] for one in api.call("GET", "/functions/runtimes", 200)["runtimes"]}
    table = RuntimeTable.load(search_path=default_search_path(given.split(",")))
    found = [one.id for one in table.runnable() if one.key in {"deno", "bun"} - listed]
    if not found:
        pytest.skip("the server has every runtime: MINIFN_RUNTIME_PATHS names no Deno and no Bun")
    # A server is started without this variable, a node with it.
    with cluster.one_more(env_vars={"MINIFN_RUNTIME_PATHS": given}) as added:
        cluster.node(added, "ready")
        api.create("foreign", found[-1], entrypoint="main.js", timeout=30)
        code = b"export default (context) => context.res.text(context.req.query.say);"
        made = api.deploy("foreign", pack(extra={"main.js": code}))
        assert "makes the build" in made["buildLogs"]
        assert api.execute("foreign", path="/?say=there")["responseBody"] == "there"


#: Packs a build as a node would that was taken over.
EVIL = """import hashlib, io, tarfile
import minifn.cluster.node_builds as node_builds

async def evil(directory, target):
    with tarfile.open(target, "w:gz") as archive:
        archive.add(directory / "main.py", "main.py", filter=plain)
        kind = (directory / "kind").read_text().strip()
        entry = tarfile.TarInfo({"dots": "../../escape"}.get(kind, "escape"))
        if kind == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
        elif kind == "device":
            entry.type, entry.devmajor, entry.devminor = tarfile.BLKTYPE, 8, 0
        elif kind == "setuid":
            entry.mode = 0o4755
        archive.addfile(entry, io.BytesIO())
    return hashlib.sha256(target.read_bytes()).hexdigest()

def plain(entry):
    entry.uid = entry.gid = 0
    entry.mode = 0o644
    return entry

node_builds.pack_apart = evil
"""


def test_a_hostile_packed_build_is_refused(cluster: Cluster, api: Api, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(EVIL)
    reasons = {
        "link": "outside the deployment",
        "dots": "'..' in a path",
        "device": "only files, directories and links",
        "setuid": "special mode bits",
    }
    environment = {"PYTHONPATH": str(tmp_path)}
    with cluster.one_more(resources={"evil": 1}, env_vars=environment) as added:
        cluster.node(added, "ready")
        create(api, "evil", "evil")
        for kind, reason in reasons.items():
            uploaded = api.upload("evil", ARCHIVE, commands=f"echo {kind} >kind")["$id"]
            failed = api.built("evil", uploaded)
            assert failed["status"] == "failed", failed["buildLogs"]
            assert reason in failed["buildLogs"]
            assert not (cluster.server.data / "builds" / uploaded).exists()
            outputs = (cluster.server.data / "deployments").glob(f"{uploaded}~*")
            assert list(outputs) == []
        assert list(cluster.server.data.rglob("escape")) == []


def test_secrets_of_variables_are_not_written_on_nodes(cluster: Cluster, api: Api) -> None:
    deploy(api, "discreet", {"MINIFN_NODE": "first", "PASSWORD": "s3cret-in-no-file"})
    api.execute("discreet")
    for path in Path("/tmp").glob("minifn-node-*/**/*"):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                assert b"s3cret-in-no-file" not in path.read_bytes(), path
