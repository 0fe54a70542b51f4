"""When functions with a schedule or an interval are due: `functions.schedule_next`, 0 while nobody has planned it.

A function is planned once it has a schedule or an interval, and an active deployment, and stays planned when it loses
its deployment, until the tick that finds none.
"""

import sqlite3

import msgspec

from minifn.models import Execution, ExecutionRequest
from minifn.store import executions

_COLUMNS = "id, deployment_id, schedule, interval_minutes, schedule_next, schedule_previous"
_RECURS = "(schedule <> '' OR interval_minutes > 0)"
_UNPLANNED = f"{_RECURS} AND deployment_id <> '' AND schedule_next = 0"
_PLANNED = f"schedule_next > 0 AND {_RECURS}"


class Plan(msgspec.Struct, frozen=True, array_like=True):
    """A function's schedule or interval and when it is due."""

    function_id: str
    deployment_id: str
    schedule: str
    #: 0 for a function with a schedule.
    interval_minutes: int
    #: 0 when it is not planned yet.
    next_at: int
    #: The last tick that ran, 0 before the first.
    previous_at: int


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that goes on from one instant to the next one."""

    function_id: str
    #: The expression and the interval that say so: they may have been changed since.
    schedule: str
    interval_minutes: int
    from_at: int
    #: 0: no longer planned.
    to_at: int
    #: What runs because `from_at` has come; None when that tick is skipped.
    execution: Execution | None = None


def pending(conn: sqlite3.Connection, now: int, limit: int) -> list[Plan]:
    """Return up to `limit` schedules that are due, or not planned yet."""
    return _plans(
        conn,
        f"SELECT * FROM (SELECT {_COLUMNS} FROM functions WHERE {_PLANNED} AND schedule_next <= ?"
        f" ORDER BY schedule_next LIMIT ?) UNION ALL SELECT {_COLUMNS} FROM functions WHERE {_UNPLANNED} LIMIT ?",
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
    """Move schedules and queue what runs because of it; return the queued executions.

    A schedule that somebody else has moved or changed is left alone: a tick is handed out once, whoever competes for
    it and whenever the server dies.
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
            executions.enqueue(conn, move.execution, ExecutionRequest())
            queued.append(move.execution)
    return queued


def _plans(conn: sqlite3.Connection, sql: str, *values: int) -> list[Plan]:
    return [Plan(*row) for row in conn.execute(sql, values)]
