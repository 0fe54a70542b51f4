"""Intervals: the runs of a function, derived from its id, and its executions."""

from hypothesis import given, strategies as st

from minifn import intervals
from minifn.ids import is_id
from minifn.intervals import MINUTES_MAX
from tests.clocks import MINUTE, NOON, Play, World

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}", fullmatch=True).filter(is_id)


@given(ids, st.integers(1, MINUTES_MAX), st.integers(0, 10**13))
def test_runs_come_once_an_interval(function_id: str, minutes: int, now: int) -> None:
    following = intervals.next_run(function_id, minutes, now)
    assert now < following <= now + minutes * MINUTE
    assert intervals.next_run(function_id, minutes, following) == following + minutes * MINUTE
    assert intervals.previous_run(function_id, minutes, following) == following - minutes * MINUTE
    assert intervals.previous_run(function_id, minutes, following + 1) == following


def test_functions_with_one_interval_are_spread() -> None:
    runs = {intervals.next_run(f"function-{number}", 5, NOON) for number in range(300)}
    assert len(runs) > 150
    assert max(runs) - min(runs) > 4 * MINUTE


def test_a_function_with_an_interval_ticks(play: Play) -> None:
    async def story(world: World) -> None:
        await world.add("", "fn", interval_minutes=5)
        await world.add("", "undeployed", "", interval_minutes=5)
        first = intervals.next_run("fn", 5, NOON)
        assert await world.step(NOON) == first
        for number in range(1, 4):
            assert (
                await world.step(first + (number - 1) * 5 * MINUTE) == first + number * 5 * MINUTE
            )
        assert await world.ticks() == [first + number * 5 * MINUTE for number in range(3)]
        assert await world.ticks("undeployed") == []
        function = await world.function()
        assert (function.schedule_previous, function.schedule_next) == (
            first + 10 * MINUTE,
            first + 15 * MINUTE,
        )

    play(story)


def test_another_interval_is_planned_again(play: Play) -> None:
    async def story(world: World) -> None:
        await world.add("", interval_minutes=600)
        assert await world.step(NOON) == intervals.next_run("fn", 600, NOON)
        await world.change(interval_minutes=1, schedule_next=0)
        assert await world.step(NOON) == intervals.next_run("fn", 1, NOON)
        await world.change(interval_minutes=0, schedule="0 13 * * *", schedule_next=0)
        assert await world.step(NOON) == NOON + 60 * MINUTE
        await world.change(schedule="", schedule_next=0)
        assert await world.step(NOON) is None

    play(story)


def test_ticks_missed_while_nothing_ran_are_skipped(play: Play) -> None:
    async def story(world: World) -> None:
        await world.add("", interval_minutes=5)
        first = intervals.next_run("fn", 5, NOON)
        await world.step(NOON, first + 12 * MINUTE)
        assert await world.ticks() == []
        assert await world.step(first + 15 * MINUTE) == first + 20 * MINUTE
        assert await world.ticks() == [first + 15 * MINUTE]

    play(story)
