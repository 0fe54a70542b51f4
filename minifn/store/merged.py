"""A page of the executions of several functions, in the order of an index of each function.

The indexes begin with the function. A queue takes the next row of all functions again and again, so
that a page reads its own rows and one row of each function.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minifn.store import late_indexes
from minifn.store.blocks import Range
from minifn.store.chosen import of_column
from minifn.store.conditions import ALWAYS, Condition, join
from minifn.store.plans import Orders, Scope, where
from minifn.store.queries import Query

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
    least, largest = within[0][0], within[-1][1]
    way = "DESC" if descending else "ASC"
    name = late_indexes.index_of(column)
    first, last = (largest, least) if descending else (least, largest)
    beyond, before = ("<", ">") if descending else (">", "<")
    begin = ALWAYS if first is None else Condition(f"{column} {beyond}= ?", (first,))
    end = ALWAYS if last is None else Condition(f"{column} {before}= ?", (last,))
    held = late_indexes.held(conn, name)
    wanted = join([end, held, of_column(query.filters, column)])
    index = Index(name, column, descending, wanted)
    head = (
        index.after("chosen.of_function", "?", "?", cursor)
        if cursor and not _is_before(cursor[0], first, descending)
        else index.first("chosen.of_function", begin)
    )
    following = index.after("walk.of_function", "walk.key", "walk.at")
    matches = where(query, scope)
    further = _beyond(column, descending, cursor)
    tail = join([Condition("sequence > ?", (late_indexes.mark(conn, name),)), further, matches])
    # SQLite from 3.41 on would else read all functions to their ends before the first row.
    sql = (
        "WITH RECURSIVE chosen(of_function) AS MATERIALIZED ("
        "SELECT function FROM (SELECT sequence AS function FROM functions)"
        f" WHERE {scope.condition.sql}"
        "), walk(key, at, of_function) AS NOT MATERIALIZED ("
        f"SELECT head.{column}, head.sequence, of_function FROM chosen CROSS JOIN {table} AS head"
        f" ON head.sequence = {head.sql}"
        f" UNION ALL SELECT next.{column}, next.sequence, of_function"
        f" FROM walk CROSS JOIN {table} AS next ON next.sequence = {following.sql}"
        f" ORDER BY 1 {way}, 2 {way}"
        f") SELECT sequence FROM (SELECT * FROM (SELECT key AS {column}, at AS sequence FROM walk"
        f" WHERE EXISTS (SELECT 1 FROM {table} WHERE sequence = at AND ({matches.sql})) LIMIT ?)"
        f" UNION ALL SELECT {column}, sequence FROM {table} NOT INDEXED WHERE {tail.sql}"
        f" ORDER BY {column} {way}, sequence {way} LIMIT ? OFFSET ?)"
    )
    values = (
        *(*scope.condition.values, *head.values, *following.values),
        *(*matches.values, query.limit + query.offset, *tail.values),
    )
    return Condition(sql, values)


@dataclass(frozen=True)
class Index:
    """The late index of a column, read in one direction, where `wanted` holds."""

    name: str
    column: str
    descending: bool
    wanted: Condition

    def first(self, function: str, begin: Condition) -> Condition:
        """Return the sequence of a function's first row that is not before a bound."""
        return self._sought(function, begin)

    def after(self, function: str, key: str, at: str, cursor: Row = ()) -> Condition:
        """Return the sequence of the row after that with a key and a sequence.

        They are SQL; `cursor` has their values if these are marks.
        """
        beyond = "<" if self.descending else ">"
        same = Condition(f"{self.column} = {key} AND sequence {beyond} {at}", cursor)
        further = Condition(f"{self.column} {beyond} {key}", cursor[:1])
        # SQLite would not seek by a comparison of both columns at once.
        parts = [self._sought(function, one) for one in (same, further)]
        sql = f"coalesce({parts[0].sql}, {parts[1].sql})"
        return Condition(sql, (*parts[0].values, *parts[1].values))

    def _sought(self, function: str, further: Condition) -> Condition:
        way = "DESC" if self.descending else "ASC"
        found = join([Condition(f"function = {function}"), further, self.wanted])
        return Condition(
            f"(SELECT sequence FROM {self.name} WHERE {found.sql}"
            f" ORDER BY {self.column} {way}, sequence {way} LIMIT 1)",
            found.values,
        )


def _is_before(value: Any, end: Any, descending: bool) -> bool:
    """Tell whether a value comes before the first one of a range."""
    return end is not None and bool(value > end if descending else value < end)


def _beyond(column: str, descending: bool, cursor: Row) -> Condition:
    if not cursor:
        return ALWAYS
    return Condition(f"({column}, sequence) {'<' if descending else '>'} (?, ?)", cursor)
