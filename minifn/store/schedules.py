"""Next runs of functions with a schedule or an interval: `functions.schedule_next`, 0 = unplanned.

A function is planned when it has a schedule or an interval, and an active deployment. Without its
deployment it stays planned until the next tick.
"""

import sqlite3
from collections.abc import Sequence

import msgspec

from minifn.models import Execution, ExecutionRequest, Function
from minifn.store import execution_queue, functions, kind_order
from minifn.store.attributes import EXECUTIONS
from minifn.store.chosen import choose
from minifn.store.conditions import Condition, within
from minifn.store.plans import Scope
from minifn.store.queries import CREATION, Comparison, Method, Query

_COLUMNS = "id, deployment_id, schedule, interval_minutes, schedule_next, schedule_previous"
_RECURS = "(schedule <> '' OR interval_minutes > 0)"
_UNPLANNED = f"{_RECURS} AND deployment_id <> '' AND schedule_next = 0"
#: Most executions of one function that `ran` returns.
RAN_MAX = 300
_PLANNED = f"schedule_next > 0 AND {_RECURS}"


class Plan(msgspec.Struct, frozen=True, array_like=True):
    """A function's schedule or interval with its next run."""

    function_id: str
    deployment_id: str
    schedule: str
    #: 0 for a function with a schedule.
    interval_minutes: int
    #: 0 = not planned yet.
    next_at: int
    #: The last tick that ran; 0 before the first.
    previous_at: int


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a schedule from one tick to the next."""

    function_id: str
    #: The schedule and the interval that the step is for; they may have been changed since.
    schedule: str
    interval_minutes: int
    from_at: int
    #: 0 = no longer planned.
    to_at: int
    #: The execution of the tick `from_at`; None when it is skipped.
    execution: Execution | None = None


class Ran(msgspec.Struct, frozen=True, array_like=True):
    """An execution that a schedule caused."""

    id: str
    function_id: str
    created_at: int
    status: str


def recurring(conn: sqlite3.Connection, reach: Sequence[str] = ()) -> list[Function]:
    """Return the functions within `reach` that have a schedule or an interval, by creation."""
    where = within("id", reach)
    return functions.TABLE.all(conn, f"{_RECURS} AND {where.sql} ORDER BY sequence", *where.values)


def ran(conn: sqlite3.Connection, sequences: Sequence[int], since: int) -> list[Ran]:
    """Return executions that schedules of functions caused since an instant, oldest first.

    Of each function these are the newest RAN_MAX.
    """
    by_schedule = Comparison(Method.EQUAL, EXECUTIONS["trigger"], ("schedule",))
    found = []
    for function in sequences:
        prefix = Condition("function = ?", (function,))
        query = Query(filters=(by_schedule,), limit=RAN_MAX)
        newest = kind_order.sequences(
            *(conn, "executions", query, Scope(prefix, prefix), [(CREATION.column, True)], ()),
            choose(conn, query, prefix),
        )
        found += conn.execute(
            "SELECT id, function_id, created_at, status FROM executions WHERE created_at >= ?"
            f" AND sequence IN ({newest.sql})",
            (since, *newest.values, RAN_MAX, 0),
        ).fetchall()
    return sorted((Ran(*row) for row in found), key=lambda one: one.created_at)


def pending(conn: sqlite3.Connection, now: int, limit: int) -> list[Plan]:
    """Return up to `limit` schedules that are due or not planned yet."""
    return _plans(
        conn,
        f"SELECT * FROM (SELECT {_COLUMNS} FROM functions WHERE {_PLANNED} AND schedule_next <= ?"
        " ORDER BY schedule_next LIMIT ?)"
        f" UNION ALL SELECT {_COLUMNS} FROM functions WHERE {_UNPLANNED} LIMIT ?",
        now,
        limit,
        limit,
    )


def planned(conn: sqlite3.Connection) -> list[Plan]:
    """Return every schedule that is planned."""
    return _plans(conn, f"SELECT {_COLUMNS} FROM functions WHERE {_PLANNED}")


def next_due(conn: sqlite3.Connection) -> int | None:
    """Return when the next schedule is due."""
    (next_at,) = conn.execute(
        f"SELECT min(schedule_next) FROM functions WHERE {_PLANNED}"
    ).fetchone()
    return None if next_at is None else int(next_at)


def apply(conn: sqlite3.Connection, moves: list[Move]) -> list[Execution]:
    """Move schedules and queue the executions of their ticks; return the queued ones.

    A schedule that was moved or changed meanwhile is left alone: each tick is queued once, also
    when schedulers compete or the server dies.
    """
    queued = []
    for move in moves:
        previous_at = "schedule_next" if move.execution else "schedule_previous"
        changed = conn.execute(
            f"UPDATE functions SET schedule_previous = {previous_at}, schedule_next = ?"
            " WHERE id = ? AND schedule = ? AND interval_minutes = ? AND schedule_next = ?",
            (move.to_at, move.function_id, move.schedule, move.interval_minutes, move.from_at),
        )
        if changed.rowcount and move.execution:
            execution_queue.enqueue(conn, move.execution, ExecutionRequest())
            queued.append(move.execution)
    return queued


def _plans(conn: sqlite3.Connection, sql: str, *values: int) -> list[Plan]:
    return [Plan(*row) for row in conn.execute(sql, values)]
