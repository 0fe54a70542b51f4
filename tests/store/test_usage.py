"""Usage: each execution and build is counted once, also when executions are deleted."""

import asyncio
import random
import sqlite3
from pathlib import Path

import msgspec
import pytest

from minifn.ids import new_id
from minifn.models import Deployment, Execution, ExecutionRequest, Function
from minifn.store import (
    build_queue,
    deployments,
    execution_queue,
    executions,
    functions,
    retention,
    usage,
)
from minifn.store.build_queue import BuildResult
from minifn.store.database import Database
from minifn.store.usage import HOUR_MS, Kept, Used

HOUR = 480_000
NOW = HOUR * HOUR_MS


def ran(function_id: str = "fn", at: int = NOW, seconds: float = 0.5) -> Execution:
    return Execution(
        id=new_id(),
        created_at=at,
        updated_at=at,
        function_id=function_id,
        status="completed",
        duration_seconds=seconds,
    )


def counted(conn: sqlite3.Connection, function_id: str | None = "fn") -> Used:
    while usage.count_next(conn, 3):
        pass
    return usage.used(conn, function_id)


def test_finished_executions_are_counted_once(conn: sqlite3.Connection) -> None:
    for _ in range(7):
        executions.insert(conn, ran())
    for _ in range(2):
        used = counted(conn)
        assert (used.executions, used.executions_ms, used.executions_mb_seconds) == (
            7,
            3500,
            3.5 * 512,
        )


def test_hours_and_functions_are_apart(conn: sqlite3.Connection) -> None:
    functions.insert(
        conn, Function(id="big", name="Big", runtime="node-22", runtime_specification="s-2vcpu-2gb")
    )
    executions.insert(conn, ran())
    executions.insert(conn, ran(at=NOW + HOUR_MS - 1))
    executions.insert(conn, ran(at=NOW + HOUR_MS))
    executions.insert(conn, ran("big"))
    assert counted(conn, "big").executions_mb_seconds == 0.5 * 2048 * 2
    assert usage.used(conn, None).executions == 4
    by_hour = usage.used_by_hour(conn, HOUR, "fn")
    assert {hour: item.executions for hour, item in by_hour.items()} == {HOUR: 2, HOUR + 1: 1}
    assert list(usage.used_by_hour(conn, HOUR + 1)) == [HOUR + 1]


@pytest.mark.parametrize("seed", range(30))
def test_each_execution_is_counted_once_in_any_order_of_steps(
    conn: sqlite3.Connection, seed: int
) -> None:
    choose = random.Random(seed)
    finished = 0
    claimed: list[Execution] = []
    deletable: list[str] = []
    conn.execute("BEGIN")
    for moment in range(150):
        step = choose.choice(
            ("sync", "sync", "queue", "claim", "finish", "delete", "retention", "count", "recover")
        )
        if step == "sync":
            execution = ran(at=NOW + moment)
            executions.insert(conn, execution)
            deletable.append(execution.id)
            finished += 1
        elif step == "queue":
            waiting = msgspec.structs.replace(ran(at=NOW + moment), status="waiting")
            execution_queue.enqueue(conn, waiting, ExecutionRequest())
        elif step == "claim":
            claimed += [job.execution for job in execution_queue.claim(conn, 2, NOW + moment)[0]]
        elif step == "finish" and claimed:
            execution = claimed.pop(choose.randrange(len(claimed)))
            assert execution_queue.finish(conn, msgspec.structs.replace(execution, status="failed"))
            finished += 1
        elif step == "delete" and deletable:
            execution_id = deletable.pop(choose.randrange(len(deletable)))
            if executions.get(conn, "fn", execution_id):
                executions.delete(conn, "fn", execution_id)
        elif step == "retention":
            retention.delete_older(conn, NOW + moment, choose.randrange(1, 4))
        elif step == "count":
            usage.count_next(conn, choose.randrange(1, 5))
        elif step == "recover":
            finished += execution_queue.recover(conn, "stopped", NOW + moment)
            claimed.clear()
    assert counted(conn).executions == finished


def test_builds(conn: sqlite3.Connection) -> None:
    for number, status in enumerate(("ready", "failed", "canceled")):
        build = f"build-{number}"
        size = 100 + number
        deployments.insert(
            conn, Deployment(id=build, function_id="fn", created_at=NOW, source_size_bytes=size)
        )
        assert build_queue.claim(conn, NOW) is not None
        if status == "canceled":
            build_queue.cancel(conn, "fn", build, NOW + 9)
        else:
            result = BuildResult(
                status="ready" if status == "ready" else "failed", duration_seconds=2
            )
            assert build_queue.finish(conn, build, result, NOW + 1500)
    used = usage.used(conn, "fn")
    assert (used.builds_ready, used.builds_failed, used.builds_ms) == (1, 1, 3000)
    assert used.builds_mb_seconds == 3 * 1024
    assert usage.kept(conn, "fn") == Kept(
        functions=1, deployments=3, source_bytes=303, build_bytes=0
    )
    deployments.delete(conn, "fn", "build-0", NOW)
    assert usage.used(conn, "fn") == used
    assert usage.kept(conn, "fn").deployments == 2
    assert usage.kept_by_hour(conn, HOUR, "fn") == {HOUR: Kept(deployments=2, source_bytes=203)}


def test_a_deleted_function_has_no_usage(conn: sqlite3.Connection) -> None:
    executions.insert(conn, ran())
    assert counted(conn).executions == 1
    executions.insert(conn, ran())
    functions.delete(conn, "fn")
    assert counted(conn, None) == Used()
    assert usage.kept(conn) == Kept()
    functions.insert(conn, Function(id="fn", name="Again", runtime="python-3.11"))
    assert counted(conn) == Used()


def test_catching_up(tmp_path: Path) -> None:
    def fill(conn: sqlite3.Connection) -> None:
        functions.insert(conn, Function(id="fn", name="Fn", runtime="python-3.11"))
        for _ in range(usage.ROWS_MAX + 5):
            executions.insert(conn, ran())

    async def run() -> Used:
        async with Database(tmp_path / "minifn.db") as database:
            await database.write(fill)
            await usage.catch_up(database)
            return await database.read(usage.used, "fn")

    assert asyncio.run(run()).executions == usage.ROWS_MAX + 5
