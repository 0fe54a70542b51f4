"""An overview of functions: the state, the latest calls and the last error of each.

Numbers come from `usage`; percentiles from a sample, the newest executions: a million rows are not
read for them.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from minifn.models import Function
from minifn.store import functions, late_indexes
from minifn.store.conditions import within
from minifn.store.kinds import BY_KIND
from minifn.store.usage import HOUR_MS, MINUTE_MS

#: Minutes of the shortest overview, which has one point a minute.
MINUTES = 60
#: Newest executions of all functions from which percentiles are taken.
SAMPLE_ROWS = 2000
#: Newest executions of a function that has fewer in that sample.
SAMPLE_OF_FUNCTION = 20
#: Characters at the end of a build log in which its problem is looked for.
LOG_TAIL_CHARS = 4000
_ERROR_CHARS = 4000
#: Columns of an execution in a sample, and their values.
_SAMPLED = "function, status, updated_at, duration_seconds"
_Ended = tuple[int, str, int, float]


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The state and the latest calls of one function."""

    function: Function
    #: (calls, failures) of each minute or hour, oldest first.
    series: tuple[tuple[int, int], ...]
    #: Seconds of the sampled executions that ended in this time, in order.
    durations: tuple[float, ...]
    last_error: str
    last_error_at: int
    #: End of the log of the newest build when that failed.
    build_log: str


@dataclass(frozen=True)
class Failure:
    """The last failed execution of a function."""

    errors: str
    status_code: int
    at: int


def overview(
    conn: sqlite3.Connection, reach: Sequence[str], hours: int, now: int
) -> list[Overview]:
    """Return the overview of the functions within `reach`, by creation, over the last `hours`.

    One hour has a point a minute, more hours one an hour. Executions that are not counted yet are
    left out.
    """
    where = within("id", reach)
    found = functions.TABLE.all(conn, f"{where.sql} ORDER BY sequence", *where.values)
    series = _by_minute(conn, now) if hours <= 1 else _by_hour(conn, hours, now)
    points = MINUTES if hours <= 1 else hours
    since = now - hours * HOUR_MS
    called = [one.sequence for one in found if one.sequence in series]
    durations = _durations(conn, called, since)
    failures = _failures(conn, [one.sequence for one in found])
    logs = _build_logs(conn, found)
    nothing = Failure("", 0, 0)
    return [
        Overview(
            function=one,
            series=_filled(series.get(one.sequence, {}), points),
            durations=tuple(sorted(durations.get(one.sequence, ()))),
            last_error=_text(failures.get(one.sequence, nothing)),
            last_error_at=failures.get(one.sequence, nothing).at,
            build_log=logs.get(one.latest_deployment_id, ""),
        )
        for one in found
    ]


#: Function's sequence -> point -> (calls, failures).
_Series = dict[int, dict[int, tuple[int, int]]]


def _by_minute(conn: sqlite3.Connection, now: int) -> _Series:
    first = now // MINUTE_MS - MINUTES + 1
    return _series(
        conn.execute(
            "SELECT function, minute - ?, executions, executions_failed FROM usage_minutes"
            " WHERE minute BETWEEN ? AND ?",
            (first, first, first + MINUTES - 1),
        )
    )


def _by_hour(conn: sqlite3.Connection, hours: int, now: int) -> _Series:
    first = now // HOUR_MS - hours + 1
    return _series(
        conn.execute(
            "SELECT function, hour - ?, executions, executions_failed FROM usage"
            " WHERE hour BETWEEN ? AND ?",
            (first, first, first + hours - 1),
        )
    )


def _series(rows: Iterable[tuple[int, int, int, int]]) -> _Series:
    found: _Series = defaultdict(dict)
    for function, point, calls, failures in rows:
        if calls:
            found[function][point] = (calls, failures)
    return dict(found)


def _filled(points: Mapping[int, tuple[int, int]], count: int) -> tuple[tuple[int, int], ...]:
    return tuple(points.get(point, (0, 0)) for point in range(count))


def _durations(
    conn: sqlite3.Connection, called: Sequence[int], since: int
) -> dict[int, list[float]]:
    """Return the seconds of sampled executions that ended after `since`, by function."""
    found: dict[int, list[float]] = defaultdict(list)
    newest = f"SELECT {_SAMPLED} FROM executions ORDER BY sequence DESC LIMIT ?"
    _sample(found, conn.execute(newest, (SAMPLE_ROWS,)), since)
    seldom = [one for one in called if len(found.get(one, ())) < SAMPLE_OF_FUNCTION]
    for function, rows in _newest_of(conn, seldom):
        found.pop(function, None)
        _sample(found, rows, since)
    return found


def _newest_of(
    conn: sqlite3.Connection, chosen: Sequence[int]
) -> Iterator[tuple[int, list[_Ended]]]:
    """Yield functions, each with its newest SAMPLE_OF_FUNCTION executions."""
    through = late_indexes.mark(conn, late_indexes.BY_FUNCTION)
    tail: dict[int, list[_Ended]] = {function: [] for function in chosen}
    unfilled = f"SELECT {_SAMPLED} FROM executions WHERE sequence > ? ORDER BY sequence DESC"
    for row in conn.execute(unfilled, (through,)) if chosen else ():
        if row[0] in tail and len(tail[row[0]]) < SAMPLE_OF_FUNCTION:
            tail[row[0]].append(row)
    filled = (
        f"SELECT {_SAMPLED} FROM {late_indexes.BY_FUNCTION} NATURAL CROSS JOIN executions"
        " WHERE function = ? ORDER BY sequence DESC LIMIT ?"
    )
    for function, newest in tail.items():
        older = conn.execute(filled, (function, SAMPLE_OF_FUNCTION - len(newest)))
        yield function, [*newest, *older]


def _sample(found: dict[int, list[float]], rows: Iterable[_Ended], since: int) -> None:
    for function, status, ended_at, seconds in rows:
        if status in ("completed", "failed") and ended_at > since:
            found[function].append(seconds)


def _failures(conn: sqlite3.Connection, sequences: Sequence[int]) -> dict[int, Failure]:
    """Return the last failed execution of each function that has one."""
    newest = dict(
        conn.execute(
            "SELECT function, max(sequence) FROM executions NOT INDEXED"
            " WHERE sequence > ? AND status = 'failed' GROUP BY function",
            (late_indexes.mark(conn, BY_KIND),),
        )
    )
    found = {}
    for function in sequences:
        if function not in newest:
            (newest[function],) = conn.execute(
                "SELECT max("
                f" (SELECT max(sequence) FROM {BY_KIND} AS one WHERE one.kind = failed.kind)"
                ") FROM executions_kinds AS failed WHERE function = ? AND status = 'failed'",
                (function,),
            ).fetchone()
        row = conn.execute(
            "SELECT substr(errors, 1, ?), response_status_code, updated_at FROM executions"
            " WHERE sequence = ?",
            (_ERROR_CHARS, newest[function]),
        ).fetchone()
        if row is not None:
            found[function] = Failure(*row)
    return found


def _text(failure: Failure) -> str:
    if failure.errors or not failure.at:
        return failure.errors
    return f"The function answered {failure.status_code}."


def _build_logs(conn: sqlite3.Connection, found: Sequence[Function]) -> dict[str, str]:
    failed = [one for one in found if one.latest_deployment_status == "failed"]
    return {
        one.latest_deployment_id: conn.execute(
            "SELECT coalesce((SELECT substr(build_logs, -?) FROM deployments WHERE id = ?), '')",
            (LOG_TAIL_CHARS, one.latest_deployment_id),
        ).fetchone()[0]
        for one in failed
    }
