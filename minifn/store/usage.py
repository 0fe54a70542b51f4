"""Usage of functions: one row for each function and hour, kept when executions are deleted.

Executions are counted later than they are written, once each, in the order of their rows; the
setting `_MARK` is the last sequence that was counted. An execution that ends behind the mark, or is
deleted ahead of it, is counted at once. Builds are few and counted as they end.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from minifn.models import DEFAULT_SPECIFICATION, SPECIFICATIONS
from minifn.store import settings
from minifn.store.conditions import condition, join
from minifn.store.database import Database
from minifn.store.queries import Filter

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
#: Newest minutes that are kept one by one.
MINUTES_KEPT = 120
#: Rows counted in one transaction, which takes about a millisecond.
ROWS_MAX = 2_000

_MARK = "usage_counted"
_MEMORY = {item.slug: item.memory_mb * item.cpus for item in SPECIFICATIONS}
#: Least memory of a build in MB, as in Appwrite.
_BUILD_MEMORY_MB = 1024


@dataclass(frozen=True)
class Used:
    """Usage of an hour or in all.

    `ms` are milliseconds; `mb_seconds` are MB of memory x CPUs x seconds.
    """

    executions: int = 0
    executions_ms: float = 0.0
    executions_mb_seconds: float = 0.0
    builds_ready: int = 0
    builds_failed: int = 0
    builds_ms: float = 0.0
    builds_mb_seconds: float = 0.0
    executions_failed: int = 0


@dataclass(frozen=True)
class Kept:
    """Functions and deployments that exist, and the bytes of their archives and builds."""

    functions: int = 0
    deployments: int = 0
    source_bytes: int = 0
    build_bytes: int = 0


_COLUMNS = tuple(Used.__dataclass_fields__)
_SUMS = ", ".join(f"coalesce(sum({column}), 0)" for column in _COLUMNS)


async def catch_up(database: Database) -> None:
    """Count every finished execution that is stored."""
    while await database.write(count_next):
        pass


def count_next(conn: sqlite3.Connection, limit: int = ROWS_MAX) -> bool:
    """Count the next `limit` rows; tell whether there are more."""
    (last,) = conn.execute("SELECT coalesce(max(sequence), 0) FROM executions").fetchone()
    through = min(last, _mark(conn) + limit)
    count_through(conn, through)
    return bool(through < last)


def count_through(conn: sqlite3.Connection, sequence: int) -> None:
    """Count the executions up to `sequence` that are not counted yet."""
    mark = _mark(conn)
    if sequence > mark:
        _count(conn, "sequence > ? AND sequence <= ?", mark, sequence)
        settings.put(conn, _MARK, str(sequence))


def count_late(conn: sqlite3.Connection, sequence: int) -> None:
    """Count an execution that has just finished, if the mark has passed it."""
    if sequence <= _mark(conn):
        _count(conn, "sequence = ?", sequence)


def count_early(conn: sqlite3.Connection, sequence: int) -> None:
    """Count an execution that is about to be deleted, if the mark has not reached it."""
    if sequence > _mark(conn):
        _count(conn, "sequence = ?", sequence)


def count_build(conn: sqlite3.Connection, deployment_id: str, now: int) -> None:
    """Count a build that has just ended, ready or failed."""
    function, specification, status, started_at = conn.execute(
        "SELECT functions.sequence, build_specification, status, build_started_at FROM deployments"
        " JOIN functions ON functions.id = function_id WHERE deployments.id = ?",
        (deployment_id,),
    ).fetchone()
    taken_ms = max(0, now - started_at) if started_at else 0
    memory = max(_memory(specification), _BUILD_MEMORY_MB)
    ready = status == "ready"
    used = Used(
        builds_ready=ready,
        builds_failed=not ready,
        builds_ms=taken_ms,
        builds_mb_seconds=taken_ms / 1000 * memory,
    )
    _add(conn, [(function, now // HOUR_MS, used)])


def used(conn: sqlite3.Connection, function_id: str | None = None) -> Used:
    """Return the usage of a function, or of all, in all hours."""
    where, values = _of(function_id)
    return Used(*conn.execute(f"SELECT {_SUMS} FROM usage WHERE {where}", values).fetchone())


def used_by_hour(
    conn: sqlite3.Connection, first_hour: int, function_id: str | None = None
) -> dict[int, Used]:
    """Return the usage of a function, or of all, by hour (since the epoch) from `first_hour` on."""
    where, values = _of(function_id)
    rows = conn.execute(
        f"SELECT hour, {_SUMS} FROM usage WHERE {where} AND hour >= ? GROUP BY hour",
        (*values, first_hour),
    )
    return {hour: Used(*sums) for hour, *sums in rows}


def kept(conn: sqlite3.Connection, function_id: str | None = None) -> Kept:
    """Return the records that exist of a function, or of all."""
    return next(iter(_kept(conn, "0", 0, function_id).values()), Kept())


def kept_by_hour(
    conn: sqlite3.Connection, first_hour: int, function_id: str | None = None
) -> dict[int, Kept]:
    """Return the existing records by the hour (since the epoch) of their creation, from
    `first_hour` on.
    """
    return _kept(conn, f"created_at / {HOUR_MS}", first_hour, function_id)


def used_by_function(
    conn: sqlite3.Connection, first_hour: int, last_hour: int, filters: Sequence[Filter]
) -> list[tuple[str, int, Used]]:
    """Return (function id, hour, usage) of each hour of a time, for functions that match."""
    where = join([condition(item) for item in filters])
    rows = conn.execute(
        f"SELECT functions.id, hour, {_SUMS} FROM usage"
        " JOIN functions ON functions.sequence = function"
        f" WHERE hour BETWEEN ? AND ? AND ({where.sql}) GROUP BY functions.id, hour",
        (first_hour, last_hour, *where.values),
    )
    return [(function_id, hour, Used(*sums)) for function_id, hour, *sums in rows]


def kept_by_function(
    conn: sqlite3.Connection, filters: Sequence[Filter]
) -> list[tuple[str, int, Kept]]:
    """Return (function id, hour of creation, records that exist), for functions that match."""
    where = join([condition(item) for item in filters])
    rows = conn.execute(
        f"SELECT functions.id, hour, sum(made), sum(deployed), sum(source), sum(build) FROM ("
        f" SELECT id AS owner, created_at / {HOUR_MS} AS hour,"
        "  1 AS made, 0 AS deployed, 0 AS source, 0 AS build FROM functions"
        f" UNION ALL SELECT function_id, created_at / {HOUR_MS},"
        "  0, 1, source_size_bytes, build_size_bytes FROM deployments"
        f") JOIN functions ON functions.id = owner WHERE {where.sql} GROUP BY functions.id, hour",
        where.values,
    )
    return [(function_id, hour, Kept(*sums)) for function_id, hour, *sums in rows]


def _kept(
    conn: sqlite3.Connection, hour: str, first_hour: int, function_id: str | None
) -> dict[int, Kept]:
    values = () if function_id is None else (function_id,)
    owner, itself = ("1", "1") if function_id is None else ("function_id = ?", "id = ?")
    rows = conn.execute(
        f"SELECT hour, sum(functions), sum(deployments), sum(source), sum(build) FROM ("
        f" SELECT {hour} AS hour, 0 AS functions, 1 AS deployments, source_size_bytes AS source,"
        f"  build_size_bytes AS build FROM deployments WHERE {owner}"
        f" UNION ALL SELECT {hour}, 1, 0, 0, 0 FROM functions WHERE {itself}"
        f") WHERE hour >= ? GROUP BY hour",
        (*values, *values, first_hour),
    )
    return {key: Kept(*sums) for key, *sums in rows}


def _of(function_id: str | None) -> tuple[str, tuple[str, ...]]:
    if function_id is None:
        return "1", ()
    return "function = (SELECT sequence FROM functions WHERE id = ?)", (function_id,)


def _mark(conn: sqlite3.Connection) -> int:
    return int(settings.get(conn, _MARK, "0"))


def _count(conn: sqlite3.Connection, where: str, *values: int) -> None:
    rows = conn.execute(
        "SELECT function, minute, count, failed, seconds, runtime_specification FROM ("
        f" SELECT function, updated_at / {MINUTE_MS} AS minute, count(*) AS count,"
        "  sum(status = 'failed') AS failed, sum(duration_seconds) AS seconds"
        "  FROM executions NOT INDEXED"
        f" WHERE {where} AND status IN ('completed', 'failed') GROUP BY 1, 2"
        ") JOIN functions ON functions.sequence = function",
        values,
    ).fetchall()
    if not rows:
        return
    of_minutes = [
        (
            function,
            minute * MINUTE_MS // HOUR_MS,
            Used(
                executions=count,
                executions_ms=seconds * 1000,
                executions_mb_seconds=seconds * _memory(specification),
                executions_failed=failed,
            ),
        )
        for function, minute, count, failed, seconds, specification in rows
    ]
    _add(conn, of_minutes)
    _add_minutes(conn, [(row[1], row[0], *row[2:4]) for row in rows])


def _add_minutes(conn: sqlite3.Connection, counted: Sequence[tuple[int, ...]]) -> None:
    """Add (minute, function, executions, failed ones) to the newest minutes."""
    conn.executemany(
        "INSERT INTO usage_minutes VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET executions = executions + excluded.executions,"
        " executions_failed = executions_failed + excluded.executions_failed",
        counted,
    )
    conn.execute(
        "DELETE FROM usage_minutes WHERE minute <= (SELECT max(minute) FROM usage_minutes) - ?",
        (MINUTES_KEPT,),
    )


def _memory(specification: str) -> float:
    return _MEMORY.get(specification, _MEMORY[DEFAULT_SPECIFICATION])


def _add(conn: sqlite3.Connection, more: Sequence[tuple[int, int, Used]]) -> None:
    """Add (function, hour, usage) to the hours."""
    marks = ", ".join("?" * (len(_COLUMNS) + 2))
    sums = ", ".join(f"{column} = {column} + excluded.{column}" for column in _COLUMNS)
    conn.executemany(
        f"INSERT INTO usage (function, hour, {', '.join(_COLUMNS)}) VALUES ({marks})"
        f" ON CONFLICT DO UPDATE SET {sums}",
        [
            (function, hour, *(getattr(used, column) for column in _COLUMNS))
            for function, hour, used in more
        ],
    )
