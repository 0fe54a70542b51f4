"""Schedules: when a function ticks, and when it does not."""

import asyncio
import itertools
import sqlite3
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from minifn.host.tasks import end
from minifn.instants import MAX_INSTANT_MS
from minifn.models import Deployment, ExecutionRequest
from minifn.services.schedules import BATCH, CLOCK_SLACK_MS, LATE_MAX_MS, correct, decide
from minifn.store import deployments, execution_queue, executions, functions, schedules
from minifn.store.schedules import Plan
from tests.clocks import DAY, HOUR, MINUTE, NOON, Play, World, instant, opened
from tests.patience import patient


def test_schedules_tick_at_their_minutes_for_years(play: Play) -> None:
    """From 2026 to 2030, a little late at each due moment: no tick is missing or repeated."""

    async def story(world: World) -> None:
        start, end = instant("2026-01-01"), instant("2030-01-01")
        expected = {"leap": ["2028-02-29"], "monthly": [], "fridays": []}
        await world.add("0 0 29 2 *", "leap")
        await world.add("@monthly", "monthly")
        await world.add("30 16 * * 5", "fridays")
        await world.add("0 0 30 2 *", "never")
        day = datetime(2026, 1, 1)
        while day < datetime(2030, 1, 1):
            if day.day == 1 and day > datetime(2026, 1, 1):
                expected["monthly"].append(f"{day:%Y-%m-%d}")
            if day.isoweekday() == 5:
                expected["fridays"].append(f"{day:%Y-%m-%d} 16:30")
            day += timedelta(days=1)
        due_at = await world.step(start)
        while due_at is not None and due_at < end:
            assert await world.step(due_at - 1) == due_at
            due_at = await world.step(due_at + 40)
        for function_id, days in expected.items():
            assert await world.ticks(function_id) == [instant(moment) + 40 for moment in days]
        assert await world.ticks("never") == []
        assert (await world.function("never")).schedule_next == MAX_INSTANT_MS

    play(story)


def test_a_tick_is_an_execution_without_a_caller(play: Play) -> None:
    async def story(world: World) -> None:
        await world.add("* * * * *")
        assert await world.step(NOON) == NOON + MINUTE
        assert await world.step(NOON + MINUTE) == NOON + 2 * MINUTE
        ((job,), _) = await world.database.write(execution_queue.claim, 5, NOON)
        assert job.request == ExecutionRequest()
        execution = job.execution
        assert (execution.trigger, execution.request_method, execution.request_path) == (
            "schedule",
            "POST",
            "/",
        )
        assert (execution.user_id, execution.deployment_id, execution.scheduled_at) == ("", "d", 0)
        function = await world.function()
        assert (function.schedule_previous, function.schedule_next) == (
            NOON + MINUTE,
            NOON + 2 * MINUTE,
        )

    play(story)


def test_missed_ticks_are_skipped(play: Play) -> None:
    """While no server ran, while the machine slept, while the clock was set forward."""

    async def story(world: World) -> None:
        await world.add("* * * * *")
        await world.step(NOON, NOON + MINUTE)
        world.restart()
        assert await world.step(NOON + 2 * MINUTE + 5) == NOON + 3 * MINUTE
        assert await world.ticks() == [NOON + MINUTE]
        assert await world.step(NOON + DAY + LATE_MAX_MS + 1) == NOON + DAY + MINUTE
        assert await world.ticks() == [NOON + MINUTE]
        await world.step(NOON + DAY + MINUTE + LATE_MAX_MS)
        assert (await world.ticks())[1:] == [NOON + DAY + MINUTE + LATE_MAX_MS]

    play(story)


def test_a_restart_keeps_planned_ticks(play: Play) -> None:
    async def story(world: World) -> None:
        await world.add("0 13 * * *")
        await world.step(NOON)
        world.restart()
        assert await world.step(NOON + MINUTE) == NOON + HOUR
        await world.step(NOON + HOUR)
        assert await world.ticks() == [NOON + HOUR]

    play(story)


def test_a_clock_that_goes_back_repeats_no_minute(play: Play) -> None:
    async def story(world: World) -> None:
        await world.add("* * * * *")
        await world.step(NOON, NOON + MINUTE)
        assert await world.step(NOON - HOUR + 2 * MINUTE) == NOON + 2 * MINUTE
        world.restart()
        assert await world.step(NOON + MINUTE - 1) == NOON + 2 * MINUTE
        await world.step(NOON + MINUTE, NOON + 2 * MINUTE)
        assert await world.ticks() == [NOON + MINUTE, NOON + 2 * MINUTE]

    play(story)


def test_a_clock_that_was_far_ahead_is_not_waited_for(play: Play) -> None:
    """Neither by a running server nor by the next one, with or without ticks meanwhile."""

    async def story(world: World) -> None:
        future = NOON + 20 * 365 * DAY
        await world.add("* * * * *", "ticked")
        await world.add("@hourly", "planned")
        await world.step(future, future + MINUTE)
        assert await world.step(NOON) == NOON + MINUTE
        await world.step(NOON + MINUTE)
        assert (await world.ticks("ticked"))[1:] == [NOON + MINUTE]
        await world.step(NOON + HOUR)
        assert await world.ticks("planned") == [NOON + HOUR]
        await world.step(future)
        world.restart()
        assert await world.step(NOON + 2 * HOUR) == NOON + 2 * HOUR + MINUTE

    play(story)


def test_a_change_of_the_function_keeps_or_replaces_its_schedule(play: Play) -> None:
    async def story(world: World) -> None:
        await world.add("@hourly", deployment_id="")
        assert await world.step(NOON) is None
        await world.change(deployment_id="d")
        assert await world.step(NOON + 1) == NOON + HOUR
        await world.change(schedule="*/10 * * * *", schedule_next=0)
        assert await world.step(NOON + 2) == NOON + 10 * MINUTE
        await world.change(enabled=False)
        await world.step(NOON + 10 * MINUTE)
        assert len(await world.ticks()) == 1
        await world.change(schedule="", schedule_next=0)
        assert await world.step(NOON + 10 * MINUTE) is None
        await world.change(schedule="@hourly")
        await world.database.write(functions.delete, "fn")
        assert await world.step(NOON + HOUR) is None

    play(story)


def test_a_function_without_its_deployment_ticks_once_more(play: Play) -> None:
    """That execution fails and says why; the next tick comes with the next deployment."""

    async def story(world: World) -> None:
        await world.add("* * * * *")
        await world.step(NOON)
        await world.change(deployment_id="")
        assert await world.step(NOON + MINUTE) is None
        assert await world.step(NOON + 2 * MINUTE) is None
        assert await world.ticks() == [NOON + MINUTE]
        await world.change(deployment_id="new")
        assert await world.step(NOON + 3 * MINUTE) == NOON + 4 * MINUTE

    play(story)


def test_an_active_deployment_that_is_deleted_leaves_the_plan_to_that_last_tick(play: Play) -> None:
    async def story(world: World) -> None:
        await world.add("* * * * *")
        deployment = Deployment(id="d", function_id="fn", status="ready")
        await world.database.write(deployments.insert, deployment)
        await world.step(NOON)
        await world.database.write(deployments.delete, "fn", "d", NOON)
        await world.step(NOON + MINUTE)
        assert await world.ticks() == [NOON + MINUTE]

    play(story)


def test_competing_schedulers_hand_out_a_tick_once(tmp_path: Path) -> None:
    """The database decides, so a server that is started twice repeats no tick."""

    async def main() -> None:
        async with opened(tmp_path) as first, opened(tmp_path) as second:
            for number in range(20):
                await first.add("* * * * *", f"fn{number}")
            await asyncio.gather(first.step(NOON), second.step(NOON))
            for minute in range(1, 6):
                await asyncio.gather(
                    first.step(NOON + minute * MINUTE), second.step(NOON + minute * MINUTE)
                )
            for number in range(20):
                assert len(await first.ticks(f"fn{number}")) == 5

    asyncio.run(main())


def test_a_tick_that_was_not_committed_did_not_happen(play: Play) -> None:
    """The move and the execution are one transaction: an error undoes both."""

    async def story(world: World) -> None:
        await world.add("* * * * *")
        await world.step(NOON)
        (plan,) = await world.database.read(schedules.pending, NOON + MINUTE, 5)
        move = decide(plan, NOON + MINUTE, NOON)
        assert move.execution is not None
        await world.database.write(executions.insert, move.execution)
        with pytest.raises(Exception, match="UNIQUE"):
            await world.database.write(schedules.apply, [move])
        assert (await world.function()).schedule_next == NOON + MINUTE

    play(story)


def test_a_schedule_that_changes_while_it_is_planned_is_planned_again(play: Play) -> None:
    async def story(world: World) -> None:
        await world.add("@hourly")
        (plan,) = await world.database.read(schedules.pending, NOON, 5)
        await world.change(schedule="@daily")
        assert await world.database.write(schedules.apply, [decide(plan, NOON, NOON)]) == []
        assert await world.step(NOON) == NOON + DAY // 2

    play(story)


def test_too_many_waiting_executions_cost_ticks_but_not_the_schedule(play: Play) -> None:
    async def story(world: World) -> None:
        await world.add("* * * * *")
        await world.step(*(NOON + minute * MINUTE for minute in range(6)))
        assert len(await world.ticks()) == 2
        assert (await world.function()).schedule_next == NOON + 6 * MINUTE

    play(story, queue_limit=2)


def test_more_functions_than_one_batch_tick_together_and_rest_without_a_scan(play: Play) -> None:
    async def story(world: World) -> None:
        count = 2 * BATCH + 1
        for number in range(count):
            await world.add("@hourly", f"fn{number}")
        await world.step(NOON)
        assert await world.step(NOON + HOUR) == NOON + 2 * HOUR
        rows = await world.database.read(
            lambda conn: conn.execute("SELECT count(*) FROM executions").fetchone()
        )
        assert rows == (count,)
        plans: list[str] = []
        await world.database.read(lambda conn: plans.extend(explained(conn)))
        assert [plan for plan in plans if "SCAN functions" in plan] == []
        assert any("functions_due" in plan for plan in plans)

    play(story)


def explained(conn: Any) -> list[str]:
    """The query plans of the scheduler's queries."""
    asked: list[str] = []
    conn.set_trace_callback(asked.append)
    schedules.pending(conn, NOON, 10)
    schedules.next_due(conn)
    execution_queue.next_due(conn)
    conn.set_trace_callback(None)
    found = [row[3] for sql in asked for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}")]
    # Reading a subquery's few rows is not a scan of the table.
    return [detail for detail in found if not detail.startswith("SCAN (")]


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(-HOUR, HOUR) | st.integers(1, 2 * MINUTE), st.booleans()),
        min_size=5,
        max_size=40,
    )
)
def test_no_minute_ticks_twice_whatever_the_clock_does(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[int, bool]]
) -> None:
    """Jumps forward, jumps back by less than the slack, restarts."""

    async def main() -> None:
        async with opened(tmp_path_factory.mktemp("world")) as world:
            await world.add("* * * * *")
            await world.add("*/7 * * * *", "sevens")
            now = latest = NOON
            for delta, restart in moves:
                now = max(now + delta, latest - CLOCK_SLACK_MS)
                latest = max(latest, now)
                if restart:
                    world.restart()
                due_at = await world.step(now)
                assert due_at is not None
                assert due_at > now
            for function_id in ("fn", "sevens"):
                minutes = Counter(at // MINUTE for at in await world.ticks(function_id))
                assert all(count == 1 for count in minutes.values())

    asyncio.run(main())


@given(
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.sampled_from(["", "d"]),
    st.sampled_from(["", "*/5 * * * *"]),
)
def test_a_decision_always_leads_on(
    next_at: int, now: int, previous_at: int, deployment_id: str, schedule: str
) -> None:
    plan = Plan("fn", deployment_id, schedule, 0 if schedule else 5, next_at, previous_at)
    if next_at <= now:
        move = decide(plan, now, 0)
        assert move.to_at > now or (move.to_at == 0 and not deployment_id)
        assert move.execution is None or now - next_at <= LATE_MAX_MS
    corrected = correct(plan, now)
    assert corrected is None or now < corrected.to_at < next_at


def test_an_unreadable_schedule_does_not_stop_the_others(play: Play) -> None:
    async def story(world: World) -> None:
        await world.add("what is this", "old")
        await world.add("* * * * *")
        assert await world.step(NOON) == NOON + MINUTE
        assert (await world.function("old")).schedule_next == MAX_INSTANT_MS

    play(story)


def test_an_error_that_goes_on_is_one_line_of_the_log(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk may be full for hours, and the log may lie on it."""
    monkeypatch.setattr("minifn.services.schedules.RETRY_SECONDS", 0.001)

    async def story(world: World) -> None:
        looks = itertools.count()
        over = asyncio.Event()

        def clock() -> int:
            if (look := next(looks)) < 10:
                full = sqlite3.OperationalError("database or disk is full")
                full.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise full
            if look < 20:
                raise ValueError("another")
            over.set()
            return NOON

        world.clock = clock
        looking = asyncio.create_task(world.scheduler.run())
        async with asyncio.timeout(patient(10)):
            await over.wait()
        await end(looking)

    play(story)
    said = [(record.getMessage(), bool(record.exc_info)) for record in caplog.records]
    assert said == [
        (f"due executions cannot be queued ({problem}); the scheduler tries until it can", traced)
        for problem, traced in (("database or disk is full", False), ("another", True))
    ]
