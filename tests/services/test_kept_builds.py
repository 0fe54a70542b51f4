"""Inactive builds beyond MINIFN_BUILDS_KEPT are removed, and made again when they are activated."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from minifn.errors import DeploymentNotFound
from minifn.instants import now_ms
from minifn.languages import RuntimeTable
from minifn.models import Deployment, Function
from minifn.store import build_queue, deployments, functions
from minifn.store.build_queue import BuildResult
from minifn.store.connection import connect
from minifn.store.schema import migrate
from tests.building import World, opened

FILES = {"main.py": "def main(context):\n    pass\n"}
READY = BuildResult(status="ready", duration_seconds=1, build_size_bytes=10)


@pytest.fixture(scope="module")
def runtimes() -> RuntimeTable:
    """The runtimes of this machine."""
    return RuntimeTable.load()


def builds(world: World) -> set[str]:
    """Return the names of the directories with builds."""
    return {path.name for path in world.data.builds.iterdir()} - {".cache", ".toolchains"}


def test_the_newest_builds_stay_and_archives_all(data: Path, runtimes: RuntimeTable) -> None:
    async def main() -> None:
        async with opened(data, runtimes, builds_kept=1) as world:
            made = [await world.build(FILES) for _ in range(4)]
            first, second, third, active = (deployment.id for deployment in made)
            await world.deployments.output("fn", first)
            assert await world.deployments.remove_builds(world.config.builds_kept, 1) == 1
            assert await world.deployments.remove_builds(world.config.builds_kept, 20) == 1
            assert await world.deployments.remove_builds(world.config.builds_kept, 20) == 0
            assert builds(world) == {third, active}
            assert not world.data.output(first).exists()
            with pytest.raises(DeploymentNotFound):
                await world.deployments.output("fn", first)
            for deployment_id in (first, second):
                assert (await world.deployments.source("fn", deployment_id)).exists()
                removed = await world.get(deployment_id)
                assert (removed.status, removed.build_size_bytes) == ("ready", 0)
            # A start takes nothing for a stranger, and gives nothing back.
            await world.deployments.tidy()
            assert builds(world) == {third, active}

    asyncio.run(main())


def test_a_removed_build_is_made_again_before_it_becomes_active(
    data: Path, runtimes: RuntimeTable
) -> None:
    async def main() -> None:
        async with opened(data, runtimes, builds_kept=1) as world:
            removed, _, active = [await world.build(FILES, "echo again >made") for _ in range(3)]
            assert await world.deployments.remove_builds(world.config.builds_kept, 20) == 1
            world.ready.clear()
            function = await world.deployments.activate("fn", removed.id)
            assert function.deployment_id == active.id
            ended = await world.until(removed.id, lambda now: now.status == "ready")
            await world.built(removed)
            assert ended.build_size_bytes > 0
            assert not ended.build_removed
            assert world.published(removed, "made") == "again\n"
            assert (await world.function()).deployment_id == removed.id
            assert world.ready == [removed.id]
            # The one that was active is the newest that is not.
            assert await world.deployments.remove_builds(world.config.builds_kept, 20) == 1
            assert builds(world) == {removed.id, active.id}

    asyncio.run(main())


def test_a_new_deployment_of_a_removed_one_is_built(data: Path, runtimes: RuntimeTable) -> None:
    async def main() -> None:
        async with opened(data, runtimes, builds_kept=1) as world:
            removed, *_ = [await world.build(FILES) for _ in range(3)]
            assert await world.deployments.remove_builds(world.config.builds_kept, 20) == 1
            copy = await world.built(await world.deployments.rebuild("fn", removed.id))
            assert copy.status == "ready"
            assert not copy.build_removed
            assert copy.id in builds(world)

    asyncio.run(main())


def test_every_build_is_kept_when_the_setting_is_0(data: Path, runtimes: RuntimeTable) -> None:
    async def main() -> None:
        async with opened(data, runtimes, builds_kept=0) as world:
            made = {(await world.build(FILES)).id for _ in range(3)}
            await world.retention.sweep(now_ms())
            assert builds(world) == made

    asyncio.run(main())


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with ready deployments a, b and c: c is active, the build of a was removed."""
    conn = connect(tmp_path / "minifn.db")
    migrate(conn)
    functions.insert(conn, Function(id="fn", name="fn", runtime="python-3.11"))
    for name in "abc":
        finish(conn, add(conn, name))
    assert deployments.remove_builds(conn, 1, 9) == ["a"]
    yield conn
    conn.close()


def add(conn: sqlite3.Connection, name: str) -> Deployment:
    deployment = Deployment(id=name, function_id="fn", activate=True, created_at=1, updated_at=1)
    return deployments.insert(conn, deployment)


def finish(conn: sqlite3.Connection, deployment: Deployment) -> None:
    claimed = build_queue.claim(conn, 5)
    assert claimed is not None
    assert claimed.id == deployment.id
    assert build_queue.finish(conn, deployment.id, READY, 6) is not None


def active(conn: sqlite3.Connection) -> str:
    function = functions.get(conn, "fn")
    assert function is not None
    return function.deployment_id


def test_an_older_deployment_that_was_chosen_takes_over(conn: sqlite3.Connection) -> None:
    deployments.activate(conn, "fn", "a", 7)
    # A server that stops meanwhile goes on with it.
    build_queue.claim(conn, 8)
    assert build_queue.requeue_unfinished(conn, 9) == 1
    chosen = deployments.by_id(conn, "a")
    assert chosen is not None
    finish(conn, chosen)
    assert active(conn) == "a"


@pytest.mark.parametrize("later", ["activate", "upload"])
def test_the_last_choice_counts(later: str, conn: sqlite3.Connection) -> None:
    deployments.activate(conn, "fn", "a", 7)
    chosen = deployments.by_id(conn, "a")
    assert chosen is not None
    if later == "activate":
        deployments.activate(conn, "fn", "b", 8)
        finish(conn, chosen)
        assert active(conn) == "b"
    else:
        newest = add(conn, "d")
        finish(conn, chosen)
        assert active(conn) == "c"
        finish(conn, newest)
        assert active(conn) == "d"


def test_a_restored_database_builds_no_removed_build(conn: sqlite3.Connection) -> None:
    deployments.rebuild(conn, deployments.built(conn), 7)
    found = {name: deployments.by_id(conn, name) for name in "abc"}
    assert {name: one and one.status for name, one in found.items()} == {
        "a": "ready",
        "b": "waiting",
        "c": "waiting",
    }
