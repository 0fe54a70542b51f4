"""A page of the executions of several functions, in the order of an index of each function.

The indexes begin with the function. A queue takes the next row of all functions again and again, so
that a page reads its own rows and one row of each function.
"""

import itertools
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minifn.store import late_indexes
from minifn.store.blocks import Range
from minifn.store.chosen import of_column
from minifn.store.conditions import ALWAYS, Condition, exists, join
from minifn.store.parts import tightest
from minifn.store.plans import Orders, Scope, where
from minifn.store.queries import INTEGER_MAX, Query

Row = tuple[Any, ...]

#: Columns with an index that begins with the function.
_COLUMNS = ("created_at", "updated_at")


def serves(scope: Scope, orders: Orders) -> bool:
    """Tell whether a page is read from an index of each function, in its order."""
    if not scope.several or len(orders) != 2:
        return False
    (column, descending), (_, also) = orders
    return column in _COLUMNS and descending == also


def sequences(
    conn: sqlite3.Connection,
    table: str,
    query: Query,
    scope: Scope,
    orders: Orders,
    cursor: Row,
    within: Sequence[Range],
) -> Condition:
    """Return the SELECT of the page's sequences; LIMIT and OFFSET are its last two values.

    `orders` are a column with a late index and the sequence, in one direction. `cursor` has their
    values in the cursor's row, () without a cursor. Rows that match have the column `within` these
    ranges, of which there is one at least.
    """
    (column, descending), _ = orders
    way = "DESC" if descending else "ASC"
    name = late_indexes.index_of(column)
    held = late_indexes.held(conn, name)
    index = _Index(
        name, column, descending, join([held, of_column(query.filters, column, (column,))])
    )
    parts = _parts(query, column, within, descending, cursor)
    given = ", ".join(["(?, ?, ?)"] * len(parts)) or "(NULL, NULL, NULL)"
    head = index.after("chosen.of_function", "given.first", "given.at", "given.until")
    following = index.after("walk.of_function", "walk.key", "walk.at", "walk.until")
    matches = where(query, scope)
    further = _beyond(column, descending, cursor)
    tail = join([Condition("sequence > ?", (late_indexes.mark(conn, name),)), further, matches])
    # SQLite from 3.41 on would else read all functions to their ends before the first row.
    sql = (
        "WITH RECURSIVE chosen(of_function) AS MATERIALIZED ("
        "SELECT function FROM (SELECT sequence AS function FROM functions)"
        f" WHERE {scope.condition.sql}"
        f"), given(first, at, until) AS MATERIALIZED (VALUES {given}"
        "), walk(key, at, until, of_function) AS NOT MATERIALIZED ("
        f"SELECT head.{column}, head.sequence, until, of_function FROM chosen CROSS JOIN given"
        f" CROSS JOIN {table} AS head ON head.sequence = {head.sql}"
        f" UNION ALL SELECT next.{column}, next.sequence, until, of_function"
        f" FROM walk CROSS JOIN {table} AS next ON next.sequence = {following.sql}"
        f" ORDER BY 1 {way}, 2 {way}"
        f") SELECT sequence FROM (SELECT * FROM (SELECT key AS {column}, at AS sequence FROM walk"
        f" WHERE {exists(f'{table} WHERE sequence = at AND ({matches.sql})')} LIMIT ?)"
        f" UNION ALL SELECT {column}, sequence FROM {table} NOT INDEXED WHERE {tail.sql}"
        f" ORDER BY {column} {way}, sequence {way} LIMIT ? OFFSET ?)"
    )
    values = (
        *(*scope.condition.values, *itertools.chain(*parts), *head.values, *following.values),
        *(*matches.values, query.limit + query.offset, *tail.values),
    )
    return Condition(sql, values)


def _parts(
    query: Query, column: str, within: Sequence[Range], descending: bool, cursor: Row
) -> list[tuple[int, int, int]]:
    """Return the ranges beyond the cursor's row: each begins after a row of a value and a sequence,
    and ends with a value.
    """
    found = []
    for one in within:
        least, largest = tightest(query, column, one)
        ends = least.value if least else -INTEGER_MAX, largest.value if largest else INTEGER_MAX
        first, until = ends[::-1] if descending else ends
        start = first, INTEGER_MAX if descending else -1
        if cursor:
            start = (min if descending else max)(start, cursor)
        if (start[0] >= until) if descending else (start[0] <= until):
            found.append((*start, until))
    return found


@dataclass(frozen=True)
class _Index:
    """The late index of a column, read in one direction, where `wanted` holds."""

    name: str
    column: str
    descending: bool
    wanted: Condition

    def after(self, function: str, key: str, at: str, until: str) -> Condition:
        """Return the sequence of the row after that with a key and a sequence, `until` a key."""
        beyond, before = ("<", ">") if self.descending else (">", "<")
        end = f"{self.column} {before}= {until}"
        # SQLite would not seek by a comparison of both columns at once.
        same = self._sought(function, f"{self.column} = {key} AND sequence {beyond} {at}")
        further = self._sought(function, f"{self.column} {beyond} {key} AND {end}")
        return Condition(f"coalesce({same.sql}, {further.sql})", (*same.values, *further.values))

    def _sought(self, function: str, further: str) -> Condition:
        way = "DESC" if self.descending else "ASC"
        found = join([Condition(f"function = {function}"), Condition(further), self.wanted])
        return Condition(
            f"(SELECT sequence FROM {self.name} WHERE {found.sql}"
            f" ORDER BY {self.column} {way}, sequence {way} LIMIT 1)",
            found.values,
        )


def _beyond(column: str, descending: bool, cursor: Row) -> Condition:
    if not cursor:
        return ALWAYS
    return Condition(f"({column}, sequence) {'<' if descending else '>'} (?, ?)", cursor)
