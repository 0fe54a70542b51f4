"""The distinct paths of each function's executions, by which a part of a path is found.

A function of a million executions mostly has some thousands of paths. A filter by a part of a path
is tested for each of them instead of each row, and becomes a comparison with the few that match,
which the index of paths finds. Paths come into `executions_paths` with the rows of that index and
stay until their function goes: one without rows finds none.
"""

import itertools
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

from minifn.store.conditions import Condition, condition, join
from minifn.store.queries import PARTS_OF_TEXTS, Combination, Filter, Method

#: Most paths that are tested. Of a function that has more, one more is known.
PATHS_MAX = 10_000
#: Most paths that a filter is replaced with.
VALUES_MAX = 32
_COLUMN = "request_path"


def add(conn: sqlite3.Connection, rows: str, where: str, values: Sequence[int]) -> None:
    """Add the paths of executions, as they follow FROM."""
    unknown = conn.execute(
        # Rows of a deleted function stay until they are purged.
        f"SELECT DISTINCT function, {_COLUMN} FROM {rows} WHERE {where}"
        " AND function IN (SELECT sequence FROM functions) AND NOT EXISTS ("
        "  SELECT 1 FROM executions_paths AS known WHERE known.function = executions.function"
        f" AND known.{_COLUMN} = executions.{_COLUMN}) ORDER BY function",
        values,
    ).fetchall()
    for function, found in itertools.groupby(unknown, itemgetter(0)):
        (known,) = conn.execute(
            "SELECT count(*) FROM executions_paths WHERE function = ?", (function,)
        ).fetchone()
        conn.executemany(
            "INSERT INTO executions_paths VALUES (?, ?)",
            itertools.islice(found, max(PATHS_MAX + 1 - known, 0)),
        )


def resolve(
    conn: sqlite3.Connection, table: str, item: Filter, prefix: Condition, through: int
) -> Filter:
    """Return a filter with each comparison of a part of the path as one of the paths that match.

    One that too many paths match, or of functions that have too many, stays. The paths are those
    of the rows of `prefix`: the known ones `through` a sequence, and those of the rows beyond.
    """
    if isinstance(item, Combination):
        inner = tuple(resolve(conn, table, one, prefix, through) for one in item.filters)
        return replace(item, filters=inner)
    if item.attribute.column != _COLUMN or item.method not in PARTS_OF_TEXTS:
        return item
    known = f"executions_paths WHERE {prefix.sql}"
    (count,) = conn.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {known} LIMIT ?)", (*prefix.values, PATHS_MAX + 1)
    ).fetchone()
    if count > PATHS_MAX:
        return item
    matches = condition(item)
    tail = join([Condition("sequence > ?", (through,)), prefix, matches])
    found = conn.execute(
        f"SELECT {_COLUMN} FROM {known} AND ({matches.sql}) UNION"
        f" SELECT {_COLUMN} FROM {table} NOT INDEXED WHERE {tail.sql} LIMIT ?",
        (*prefix.values, *matches.values, *tail.values, VALUES_MAX + 1),
    ).fetchall()
    if len(found) > VALUES_MAX:
        return item
    return replace(item, method=Method.EQUAL, values=tuple(row[0] for row in found))
