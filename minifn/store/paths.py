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
from minifn.store.kinds import BY_KIND, NOTED_ROWS
from minifn.store.plans import Scope
from minifn.store.queries import (
    PARTS_OF_TEXTS,
    Attribute,
    Combination,
    Comparison,
    Filter,
    Kind,
    Method,
)

#: Most paths that are tested. Of a function that has more, one more is known.
PATHS_MAX = 10_000
#: Most paths that a filter is replaced with, and most of all functions together.
VALUES_MAX, FOUND_MAX = 128, 1_000
COLUMN = "request_path"
#: The function, which the executions of a kind have in common.
_FUNCTION = Attribute("function", Kind.INTEGER, BY_KIND)


def add(conn: sqlite3.Connection, where: str, values: Sequence[int]) -> None:
    """Add the paths of executions whose kinds were noted."""
    unknown = conn.execute(
        # Rows of a deleted function stay until they are purged.
        f"SELECT DISTINCT function, {COLUMN} FROM {NOTED_ROWS} WHERE {where}"
        " AND function IN (SELECT sequence FROM functions) AND NOT EXISTS ("
        "  SELECT 1 FROM executions_paths AS known WHERE known.function = executions.function"
        f" AND known.{COLUMN} = executions.{COLUMN}) ORDER BY function",
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
    conn: sqlite3.Connection, table: str, filters: Sequence[Filter], scope: Scope, through: int
) -> tuple[Filter, ...]:
    """Return filters with each comparison of a part of the path as one of the paths that match.

    One that too many paths match, or of functions that have too many, stays. The paths are those
    of the rows in the scope's prefix: the known ones `through` a sequence, and those of the rows
    beyond. Of several functions, those that have such paths are a filter as well.
    """
    resolved: list[Filter] = []
    for item in filters:
        if isinstance(item, Combination):
            inner = resolve(conn, table, item.filters, replace(scope, several=False), through)
            resolved.append(replace(item, filters=inner))
        elif (found := _found(conn, table, item, scope.prefix, through)) is None:
            resolved.append(item)
        else:
            functions, paths = ({row[place]: None for row in found} for place in (0, 1))
            resolved.append(replace(item, method=Method.EQUAL, values=tuple(paths)))
            if scope.several:
                resolved.append(Comparison(Method.EQUAL, _FUNCTION, tuple(functions)))
    return tuple(resolved)


def _found(
    conn: sqlite3.Connection, table: str, item: Comparison, prefix: Condition, through: int
) -> list[tuple[int, str]] | None:
    """Return the functions and paths for which a comparison of a part of the path holds.

    None for another comparison, and where there are too many.
    """
    if item.attribute.column != COLUMN or item.method not in PARTS_OF_TEXTS:
        return None
    known = f"executions_paths WHERE {prefix.sql}"
    (count,) = conn.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {known} LIMIT ?)", (*prefix.values, PATHS_MAX + 1)
    ).fetchone()
    if count > PATHS_MAX:
        return None
    matches = condition(item)
    tail = join([Condition("sequence > ?", (through,)), prefix, matches])
    found = conn.execute(
        f"SELECT function, {COLUMN} FROM {known} AND ({matches.sql}) UNION"
        f" SELECT function, {COLUMN} FROM {table} NOT INDEXED WHERE {tail.sql} LIMIT ?",
        (*prefix.values, *matches.values, *tail.values, FOUND_MAX + 1),
    ).fetchall()
    if len(found) > FOUND_MAX or len({path for _, path in found}) > VALUES_MAX:
        return None
    return found
