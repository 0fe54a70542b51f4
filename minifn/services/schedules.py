"""Queues due executions: ticks of schedules, and executions scheduled for an instant.

One task sleeps until the next due moment, or until a function changes. A tick that was missed while
no server ran is skipped; a scheduled execution whose instant has passed runs at once. A function
ticks at most once a minute, however the clock is set: the transaction that queues the execution
stores the minute with the function.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from minifn import cron, intervals
from minifn.instants import MAX_INSTANT_MS, now_ms
from minifn.models import Execution
from minifn.services import execution_records as records
from minifn.services.executions import Executions
from minifn.services.targets import Targets
from minifn.store import execution_queue, schedules
from minifn.store.connection import trace_of
from minifn.store.database import Database
from minifn.store.schedules import Move, Plan

logger = logging.getLogger("minifn.services.schedules")

#: Most milliseconds of delay of a tick; a later one is skipped, as after a suspend.
LATE_MAX_MS = 30_000
#: Milliseconds ahead of the clock up to which a function's last tick is believed. A tick farther
#: ahead was stored under a wrong clock, and its minutes may come again.
CLOCK_SLACK_MS = 3_600_000
#: Most seconds between two looks at the clock: timers do not notice a suspend or a set clock.
LOOK_SECONDS = 10.0
#: Seconds before a failed step is repeated.
RETRY_SECONDS = 5.0
#: Most schedules moved in one transaction.
BATCH = 200


class Scheduler:
    """Queues due executions while `run` runs. `clock` returns milliseconds since the epoch."""

    def __init__(
        self,
        database: Database,
        targets: Targets,
        executions: Executions,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._database = database
        self._executions = executions
        self._clock = clock
        self._wake = asyncio.Event()
        #: Milliseconds since the epoch: ticks due earlier were missed.
        self._since = MAX_INSTANT_MS
        self._looked_at = MAX_INSTANT_MS
        targets.on_change(lambda function_id: self.wake())

    def wake(self) -> None:
        """Plan again: the next due moment may have become earlier."""
        self._wake.set()

    async def step(self, now: int) -> int | None:
        """Queue everything that is due at `now`; return the next due moment, None for none."""
        if now < self._looked_at:
            # The first look, or a clock that was set back: plans may lie too far ahead.
            self._since = min(self._since, now)
            await self._database.write(
                schedules.apply, await self._database.read(_corrections, now)
            )
        self._looked_at = now
        while moves := await self._database.read(
            _moves, now, self._since, self._executions.overloaded
        ):
            await self._executions.tick(moves)
        due_at = await self._database.read(execution_queue.next_due)
        if due_at is not None and due_at <= now:
            await self._executions.release(now)
        return await self._database.read(_next_due)

    async def run(self) -> None:
        """Step whenever an execution is due."""
        problem = ""
        while True:
            self._wake.clear()
            try:
                due_at = await self.step(self._clock())
            except Exception as error:
                # Once for each reason: a disk may be full for hours, and the log may lie on it.
                if problem != (problem := str(error)):
                    logger.error(
                        "due executions cannot be queued (%s); the scheduler tries until it can",
                        problem,
                        exc_info=trace_of(error),
                    )
                await asyncio.sleep(RETRY_SECONDS)
                continue
            problem = ""
            pause_seconds = LOOK_SECONDS
            if due_at is not None:
                pause_seconds = min(pause_seconds, max(0, due_at - self._clock()) / 1000)
            try:
                async with asyncio.timeout(pause_seconds):
                    await self._wake.wait()
            except TimeoutError:
                continue


def following(plan: Plan, now: int) -> int:
    """Return when a schedule is due next, after `now` and after the last tick."""
    after = plan.previous_at if now < plan.previous_at <= now + CLOCK_SLACK_MS else now
    if plan.interval_minutes:
        return intervals.next_run(plan.function_id, plan.interval_minutes, after)
    try:
        return cron.next_run(plan.schedule, after) or MAX_INSTANT_MS
    except ValueError as exc:
        logger.error("the schedule of function %s is never due: %s", plan.function_id, exc)
        return MAX_INSTANT_MS


def decide(plan: Plan, now: int, since: int, overloaded: bool = False) -> Move:
    """Return the move of a schedule that is due, or not planned yet, at `now`.

    Ticks before `since` were missed.
    """
    if not plan.next_at:
        return _move(plan, following(plan, now))
    runs = plan.next_at >= since and now - plan.next_at <= LATE_MAX_MS
    if runs and overloaded:
        logger.warning(
            "a tick of function %s is skipped: too many executions are waiting", plan.function_id
        )
        runs = False
    to_at = following(plan, now) if plan.deployment_id else 0
    return _move(
        plan, to_at, records.tick(plan.function_id, plan.deployment_id, now) if runs else None
    )


def correct(plan: Plan, now: int) -> Move | None:
    """Return the move of a schedule that was planned under a clock ahead of `now`.

    None when the plan is right.
    """
    to_at = following(plan, now)
    return _move(plan, to_at) if to_at < plan.next_at else None


def _move(plan: Plan, to_at: int, execution: Execution | None = None) -> Move:
    return Move(
        function_id=plan.function_id,
        schedule=plan.schedule,
        interval_minutes=plan.interval_minutes,
        from_at=plan.next_at,
        to_at=to_at,
        execution=execution,
    )


def _moves(conn: sqlite3.Connection, now: int, since: int, overloaded: bool) -> list[Move]:
    return [decide(plan, now, since, overloaded) for plan in schedules.pending(conn, now, BATCH)]


def _corrections(conn: sqlite3.Connection, now: int) -> list[Move]:
    return [move for plan in schedules.planned(conn) if (move := correct(plan, now))]


def _next_due(conn: sqlite3.Connection) -> int | None:
    due = (schedules.next_due(conn), execution_queue.next_due(conn))
    return min((at for at in due if at is not None), default=None)
