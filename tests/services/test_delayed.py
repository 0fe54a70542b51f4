"""Scheduled executions, and the loop that waits for them; the last test takes minutes."""

import asyncio
import time

import pytest

from minifn import cron
from minifn.host.tasks import running
from minifn.ids import new_id
from minifn.instants import now_ms, parse_instant
from minifn.models import Execution, ExecutionRequest
from minifn.store import execution_queue, executions, functions
from tests.clocks import DAY, HOUR, MINUTE, NOON, Play, World
from tests.patience import patient
from tests.serving import Api, pack, wait_until


def planned_execution(at: int, execution_id: str | None = None) -> Execution:
    return Execution(
        id=execution_id or new_id(),
        function_id="fn",
        status="scheduled",
        trigger="schedule",
        scheduled_at=at,
    )


async def statuses(world: World) -> list[str]:
    rows = await world.database.read(
        lambda conn: conn.execute("SELECT status FROM executions ORDER BY sequence").fetchall()
    )
    return [row[0] for row in rows]


def test_executions_asked_for_an_instant_wait_for_it(play: Play) -> None:
    """Overdue ones run once at the start; a clock set ahead makes them due, one set back not."""

    async def story(world: World) -> None:
        await world.add("")
        for at in (NOON - DAY, NOON + MINUTE, NOON + 50 * 365 * DAY):
            await world.database.write(
                execution_queue.enqueue, planned_execution(at), ExecutionRequest()
            )
        assert await world.step(NOON) == NOON + MINUTE
        assert await statuses(world) == ["waiting", "scheduled", "scheduled"]
        world.restart()
        assert await world.step(NOON - HOUR, NOON + MINUTE - 1) == NOON + MINUTE
        assert await statuses(world) == ["waiting", "scheduled", "scheduled"]
        assert await world.step(NOON + DAY) == NOON + 50 * 365 * DAY
        assert await statuses(world) == ["waiting", "waiting", "scheduled"]

    play(story)


def test_deleted_executions_and_those_of_deleted_functions_never_run(play: Play) -> None:
    async def story(world: World) -> None:
        await world.add("")
        for execution_id in ("e1", "e2"):
            planned = planned_execution(NOON + MINUTE, execution_id)
            await world.database.write(execution_queue.enqueue, planned, ExecutionRequest())
        await world.database.write(executions.delete, "fn", "e1")
        assert await world.step(NOON) == NOON + MINUTE
        await world.database.write(functions.delete, "fn")
        assert await world.step(NOON + MINUTE) is None
        assert (await world.database.write(execution_queue.claim, 5, NOON))[0] == []

    play(story)


def test_the_loop_wakes_for_due_ticks_and_for_changes(play: Play) -> None:
    """With a real clock shortly before a minute, ticks come within a second of it."""

    async def story(world: World) -> None:
        ahead = MINUTE - 300 - now_ms() % MINUTE
        world.clock = lambda: now_ms() + ahead
        first = (world.clock() // MINUTE + 1) * MINUTE
        died: list[str] = []
        async with running(world.scheduler.run(), "scheduler", died.append):
            await asyncio.sleep(0)
            await world.add("* * * * *")
            function = await world.function()
            await world.executions.enqueue(function, ExecutionRequest(), "schedule", first)
            deadline = time.monotonic() + patient(20)
            while len(await world.ticks()) < 2 or "scheduled" in await statuses(world):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            queued = (await world.ticks())[1]
            assert first <= queued < first + 1000
            assert cron.next_run("* * * * *", first) == (await world.function()).schedule_next
        assert died == []

    play(story)


HELLO = b"""def main(context):
    context.log(context.req.headers['x-appwrite-trigger'])
    return context.res.empty()
"""


@pytest.mark.slow
def test_two_real_minutes(api: Api) -> None:
    """`minifn serve`: two ticks and one scheduled execution, each in the second it is due."""
    runtime = api.runtime("python")
    api.create("minutely", runtime, entrypoint="main.py", schedule="* * * * *")
    api.deploy("minutely", pack(extra={"main.py": HELLO}))
    at = (now_ms() // MINUTE + 2) * MINUTE
    if at - now_ms() < MINUTE + 2000:
        at += MINUTE
    moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at / 1000))
    planned = api.enqueue("minutely", scheduledAt=moment, path="/planned", method="PUT")
    assert (planned["status"], planned["trigger"]) == ("scheduled", "schedule")
    done = api.finished("minutely", planned["$id"], seconds=200)
    assert (done["status"], done["requestPath"], done["requestMethod"]) == (
        "completed",
        "/planned",
        "PUT",
    )
    assert at <= parse_instant(done["$updatedAt"]) < at + 1000

    def ticks() -> list[int]:
        path = "/functions/minutely/executions"
        rows = [row for row in api.pages(path, "executions") if row["requestPath"] == "/"]
        assert {row["trigger"] for row in rows} <= {"schedule"}
        finished = [
            row for row in rows if row["status"] == "completed" and "schedule" in row["logs"]
        ]
        return sorted(parse_instant(row["$createdAt"]) for row in finished)

    wait_until(lambda: len(ticks()) >= 2, 130, "two ticks")
    found = ticks()
    assert all(tick % MINUTE < 1000 for tick in found)
    assert len({tick // MINUTE for tick in found}) == len(found)
    api.call("DELETE", "/functions/minutely", 204)
