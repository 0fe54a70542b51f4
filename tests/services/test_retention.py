"""Expired records and files are deleted, and their space is given back."""

import asyncio
import os
import sqlite3
from pathlib import Path

import msgspec
import pytest

from minifn.builder.caches import least_used
from minifn.config import Config
from minifn.embed import Minifn
from minifn.ids import new_id
from minifn.models import Deployment, Execution, ExecutionRequest, Function
from minifn.services.retention import DAY_MS, ROWS
from minifn.store import deployments, execution_queue, executions, functions, settings, usage

NOW = 1_800_000_000_000


def execution(function_id: str, created_at: int, logs: str = "") -> Execution:
    return Execution(
        id=new_id(),
        function_id=function_id,
        status="completed",
        created_at=created_at,
        updated_at=created_at,
        logs=logs,
    )


async def add(minifn: Minifn, function_id: str, **fields: object) -> None:
    function = msgspec.structs.replace(
        Function(id=function_id, name=function_id, runtime="python-3.11"), **fields
    )
    await minifn.database.write(functions.insert, function)


def times(conn: sqlite3.Connection) -> list[int]:
    return [row[0] for row in conn.execute("SELECT created_at FROM executions ORDER BY sequence")]


@pytest.mark.parametrize("days", [0, 2])
def test_executions_go_when_they_are_old(data: Path, days: int) -> None:
    """The finished ones; their use stays counted. 0 days keep everything."""

    async def main() -> None:
        async with Minifn(Config(data=data, sandbox="none", retention_days=days)) as minifn:
            await add(minifn, "fn")
            ages = (5 * DAY_MS, 3 * DAY_MS, 2 * DAY_MS + 1, 2 * DAY_MS, 1)
            for age in ages:
                await minifn.database.write(executions.insert, execution("fn", NOW - age))
            planned = Execution(
                id="planned",
                function_id="fn",
                status="scheduled",
                scheduled_at=NOW * 2,
                created_at=1,
            )
            await minifn.database.write(execution_queue.enqueue, planned, ExecutionRequest())
            await minifn.retention.sweep(NOW)
            kept = [NOW - age for age in ages if not days or age <= days * DAY_MS]
            assert await minifn.database.read(times) == [*kept, 1]
            assert (await minifn.database.read(usage.used)).executions == len(ages)

    asyncio.run(main())


def test_executions_go_when_they_are_many(data: Path) -> None:
    """The oldest finished ones of each function, in more than one step; their use stays counted."""
    kept, extra = 3, ROWS + 1

    async def main() -> None:
        async with Minifn(
            Config(data=data, sandbox="none", retention_count=kept, retention_days=0)
        ) as minifn:
            for function_id in ("busy", "calm"):
                await add(minifn, function_id)
            planned = Execution(
                id="planned",
                function_id="busy",
                status="scheduled",
                scheduled_at=NOW * 2,
                created_at=0,
            )
            await minifn.database.write(execution_queue.enqueue, planned, ExecutionRequest())
            for number in range(1, kept + extra + 1):
                await minifn.database.write(executions.insert, execution("busy", number))
            for number in range(kept):
                await minifn.database.write(executions.insert, execution("calm", NOW + number))
            for _ in range(2):
                await minifn.retention.sweep(NOW)
                newest = [extra + 1, extra + 2, extra + 3]
                assert await minifn.database.read(times) == [0, *newest, NOW, NOW + 1, NOW + 2]
            assert (await minifn.database.read(usage.used)).executions == 2 * kept + extra

    asyncio.run(main())


def test_deleted_functions_take_their_executions_with_them_and_the_file_shrinks(data: Path) -> None:
    def size() -> int:
        return (data / "minifn.db").stat().st_size

    async def main() -> None:
        async with Minifn(Config(data=data, sandbox="none")) as minifn:
            for function_id in ("gone", "kept"):
                await add(minifn, function_id)
                for _ in range(250):
                    await minifn.database.write(
                        executions.insert, execution(function_id, NOW, logs="x" * 20_000)
                    )
            await minifn.database.write(functions.delete, "gone")

    async def sweep() -> None:
        async with Minifn(Config(data=data, sandbox="none")) as minifn:
            await minifn.retention.sweep(NOW)
            assert len(await minifn.database.read(times)) == 250

    asyncio.run(main())
    before = size()
    asyncio.run(sweep())
    assert size() < before * 0.6


def test_a_sweep_leaves_room_for_other_writes(data: Path) -> None:
    async def main() -> None:
        async with Minifn(Config(data=data, sandbox="none")) as minifn:
            await add(minifn, "fn")
            for _ in range(50):
                await minifn.database.write(_insert_many, 100)
            sweep = asyncio.create_task(minifn.retention.sweep(NOW))
            writes = 0
            while not sweep.done():
                await minifn.database.write(settings.put, "name", "value")
                writes += 1
            await sweep
            assert await minifn.database.read(times) == []
            assert writes > 100

    asyncio.run(main())


def _insert_many(conn: sqlite3.Connection, count: int) -> None:
    for _ in range(count):
        executions.insert(conn, execution("fn", 1))


def test_inactive_deployments_go_with_their_files(data: Path) -> None:
    """As old as their function says; the active one stays, whatever its age."""

    async def main() -> None:
        async with Minifn(Config(data=data, sandbox="none")) as minifn:
            await add(minifn, "keeps")
            await add(minifn, "fn", deployment_id="active", deployment_retention_days=2)
            old, young = NOW - 3 * DAY_MS, NOW - DAY_MS
            for owner, deployment_id, at in (
                *(("fn", "active", old), ("fn", "old", old), ("fn", "young", young)),
                ("keeps", "of-another", old),
            ):
                deployment = Deployment(
                    id=deployment_id, function_id=owner, status="ready", created_at=at
                )
                await minifn.database.write(deployments.insert, deployment)
                minifn.data.source(deployment_id).touch()
                minifn.data.build(deployment_id).mkdir()
            await minifn.retention.sweep(NOW)
            left = {"active", "young", "of-another"}
            assert await minifn.database.read(deployments.ids) == left
            assert {path.name for path in minifn.data.builds.iterdir()} - {
                ".cache",
                ".toolchains",
            } == left
            assert {path.name for path in minifn.data.deployments.iterdir()} == {
                f"{name}.tar.gz" for name in left
            }

    asyncio.run(main())


def test_the_least_used_caches_are_given_up(data: Path) -> None:
    """The cache of a running build is kept."""

    async def main() -> None:
        async with Minifn(Config(data=data, sandbox="none")) as minifn:
            for age, name in enumerate(("new", "busy", "older", "oldest", "~aside")):
                cache = minifn.data.cache(name)
                cache.mkdir(parents=True)
                (cache / "wheel").write_bytes(b"x" * 1000)
                os.utime(cache, (NOW / 1000 - age, NOW / 1000 - age))
            found = await asyncio.to_thread(least_used, minifn.data.caches, 1000)
            assert [path.name for path in found] == ["~aside", "oldest", "older", "busy"]
            minifn.builder._building["deployment"] = "busy"
            assert await minifn.builder.trim_caches(1000) == 3
            assert {path.name for path in minifn.data.caches.iterdir()} == {"new", "busy"}
            assert await minifn.builder.trim_caches(2000) == 0
            minifn.builder._building.clear()

    asyncio.run(main())
