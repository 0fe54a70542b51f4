"""A page of executions that is merged from the rows of each kind that matches.

Each kind has its rows in order of creation, of path and of duration. A queue takes the next row of
the kind whose turn it is, so that only rows of such kinds are read, however far apart they lie.
Before that column, the order may have columns that the rows of a kind have in common.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from minifn.store import blocks, kinds
from minifn.store.chosen import Chosen, compares
from minifn.store.conditions import ALWAYS, Condition, condition, exists, join
from minifn.store.late_indexes import BY_FUNCTION, mark
from minifn.store.parts import further
from minifn.store.plans import Orders, Scope, tested, where
from minifn.store.queries import INTEGER_MAX, Query

#: Most kinds that are merged where rows could be read in order of creation as well.
KINDS_MAX = 1_000


def serves(conn: sqlite3.Connection, scope: Scope, orders: Orders, chosen: Chosen) -> bool:
    """Tell whether a page can be read so, and whether that is worth it."""
    keys, column = _split(orders)
    if any(name not in kinds.COLUMNS for name, _ in keys):
        return False
    if len(orders) > 1:
        return not column or orders[-2][1] is orders[-1][1]
    if not chosen.is_told or scope.condition != scope.prefix:
        return False
    sql = f"SELECT count(*) FROM (SELECT 1 FROM executions_kinds WHERE {chosen.kinds.sql} LIMIT ?)"
    (found,) = conn.execute(sql, (*chosen.kinds.values, KINDS_MAX + 1)).fetchone()
    return int(found) <= KINDS_MAX


def _split(orders: Orders) -> tuple[Orders, str]:
    """Return the orders of columns that kinds share, and the column after them with an index."""
    keys = orders[:-1]
    if keys and keys[-1][0] in kinds.ORDERED:
        return keys[:-1], keys[-1][0]
    return keys, ""


def sequences(
    conn: sqlite3.Connection,
    table: str,
    query: Query,
    scope: Scope,
    orders: Orders,
    cursor: Sequence[Any],
    chosen: Chosen,
) -> Condition:
    """Return the SELECT of the page's sequences; LIMIT and OFFSET are its last two values.

    `cursor` has the values of the orders' columns in the cursor's row, () without a cursor.
    """
    keys, column = _split(orders)
    matches = where(query, scope)
    created = _created(conn, query, chosen)
    names = tuple(name for name, _ in keys)
    merge = _Merge(table, query, names, column, orders[-1][1], chosen, created)
    parts = list(_parts(conn, query, orders, cursor, chosen, created))
    walk = merge.walk(_ways(orders), parts)
    shared = [f"k{place} AS {name}" for place, name in enumerate(names)]
    columns = ", ".join([*shared, *([f"key AS {column}"] if column else []), "at AS sequence"])
    test = ALWAYS
    if scope.condition != scope.prefix or not all(map(merge.tells, query.filters)):
        test = tested(table, "walk.at", matches)
    beyond = _beyond(orders, cursor)
    tail = join([Condition("sequence > ?", (chosen.through,)), beyond, matches])
    of_tail = ", ".join(name for name, _ in orders)
    return Condition(
        f"{walk.sql} SELECT sequence FROM (SELECT * FROM (SELECT {columns} FROM walk"
        f" WHERE at IS NOT NULL AND {test.sql} LIMIT ?)"
        f" UNION ALL SELECT {of_tail} FROM {table} NOT INDEXED WHERE {tail.sql}"
        f" ORDER BY {_ways(orders)} LIMIT ? OFFSET ?)",
        (*walk.values, *test.values, query.limit + query.offset, *tail.values),
    )


def _ways(orders: Orders) -> str:
    return ", ".join(
        f"{place} {'DESC' if descending else 'ASC'}"
        for place, (_, descending) in enumerate(orders, 1)
    )


def _beyond(orders: Orders, cursor: Sequence[Any]) -> Condition:
    """Return the condition of the rows beyond the cursor's."""
    if not cursor:
        return ALWAYS
    same, apart = _compared(orders, cursor)
    return join([join([*same[:place], one]) for place, one in enumerate(apart)], "OR")


def _compared(orders: Orders, cursor: Sequence[Any]) -> tuple[list[Condition], list[Condition]]:
    """Return the conditions that a column is equal to the cursor's, and that it lies beyond."""
    pairs = list(zip(orders, cursor, strict=False))
    return (
        [Condition(f"{name} = ?", (value,)) for (name, _), value in pairs],
        [Condition(f"{name} {'<' if down else '>'} ?", (value,)) for (name, down), value in pairs],
    )


@dataclass(frozen=True)
class _Part:
    """A part of a page: the condition of its kinds, and where the rows of each of them lie.

    They lie in a range of the column that orders them; without a `range` all of them have one
    `value` (None without a column) and come in order of creation.
    """

    of_kind: Condition
    range: Condition | None = None
    value: Any = None
    least: int = 0
    largest: int = INTEGER_MAX


def _parts(
    conn: sqlite3.Connection,
    query: Query,
    orders: Orders,
    cursor: Sequence[Any],
    chosen: Chosen,
    created: list[tuple[int, int]],
) -> Iterator[_Part]:
    """Yield the parts of the page beyond the cursor's row, in the ranges of sequences `created`."""
    keys, column = _split(orders)
    down = orders[-1][1]
    same, apart = _compared(keys, cursor)
    further_kinds = [join([*same[:place], one]) for place, one in enumerate(apart)]
    first: list[tuple[int, int]] = created
    if cursor and down:
        first = [(least, min(largest, cursor[-1] - 1)) for least, largest in created]
    elif cursor:
        first = [(max(least, cursor[-1] + 1), largest) for least, largest in created]
    beyond = cursor[-2] if cursor and column else None
    if column in ("", chosen.column):
        for value in chosen.values or (None,):
            if beyond in (None, value):
                yield from (_Part(join(same), None, value, *ends) for ends in first)
            elif (value < beyond) is down:
                yield from (_Part(join(same), None, value, *ends) for ends in created)
            for of_kind in further_kinds:
                yield from (_Part(of_kind, None, value, *ends) for ends in created)
        return
    if cursor:
        yield from (_Part(join(same), None, beyond, *ends) for ends in first)
    for within in blocks.ranges(conn, column, query.filters):
        yield from (_Part(join(same), one) for one in further(query, column, down, beyond, within))
        whole = further(query, column, down, None, within)
        yield from (_Part(of_kind, one) for of_kind in further_kinds for one in whole)


def _created(conn: sqlite3.Connection, query: Query, chosen: Chosen) -> list[tuple[int, int]]:
    """Return the ranges of sequences in which rows of the indexes match."""
    ranges = blocks.ranges(conn, "sequence", query.filters)
    if ranges == [blocks.EVERYWHERE]:
        return [(0, chosen.through)]
    # An index may hold rows that no block holds yet.
    ranges.append((mark(conn, BY_FUNCTION) + 1, INTEGER_MAX))
    cut = [(least, min(largest, chosen.through)) for least, largest in ranges]
    return [one for one in cut if one[0] <= one[1]]


@dataclass(frozen=True)
class _Merge:
    """Reads rows of kinds in order, by an index that begins with the kind.

    The order has the column of the index, if there is one, after the `keys`.
    """

    table: str
    query: Query
    keys: tuple[str, ...]
    column: str
    descending: bool
    chosen: Chosen
    #: The ranges of sequences of rows that may match, in order.
    created: list[tuple[int, int]]

    def tells(self, item: Any) -> bool:
        """Tell whether a filter holds for all rows that are read."""
        return kinds.tells(item) or compares(item, self.column or self.chosen.column)

    def walk(self, ways: str, parts: Sequence[_Part]) -> Condition:
        """Return the WITH clause of `walk`: keys k0, k1 and so on, the column's `key`, the sequence
        `at`; the kind, and the part from which it comes.

        Of rows in order of creation, `value` is the column's, and `until` ends the range. After
        their last one there is one without a sequence.
        """
        heads, following = [], [self._next_created()]
        for number, part in enumerate(parts, 1):
            if part.range is None:
                heads.append(self._first_created(part))
            else:
                heads.append(self._first(number, part))
                following.append(self._next(number, part.range))
        keys = "".join(f"k{place}, " for place in range(len(self.keys)))
        key = "key, " if self.column else ""
        # Without a part no row is read, but a recursion must begin somewhere.
        nothing = ", ".join(["NULL"] * (len(self.keys) + bool(key) + 5))
        selects = [*(heads or [Condition(f"SELECT {nothing} WHERE 0")]), *following]
        # SQLite from 3.41 on would else read all kinds to their ends before the first row.
        return Condition(
            f"WITH RECURSIVE walk({keys}{key}at, kind, value, until, part) AS NOT MATERIALIZED ("
            + " UNION ALL ".join(one.sql for one in selects)
            + f" ORDER BY {ways})",
            tuple(value for one in selects for value in one.values),
        )

    def _first_created(self, part: _Part) -> Condition:
        largest = part.largest
        first = self._created(
            "executions_kinds.kind",
            "?",
            Condition("sequence BETWEEN ? AND ?", (part.least, largest)),
        )
        value = (part.value,) if self._index_column() else ()
        chosen = join([self.chosen.kinds, part.of_kind])
        key = "?, " if self.column else ""
        return Condition(
            f"SELECT {self._kind_keys()}{key}{first.sql}, kind, ?, ?, 0 FROM executions_kinds"
            f" WHERE {chosen.sql}",
            (
                *((part.value,) if self.column else ()),
                *(*value, *first.values),
                *(part.value, part.least if self.descending else largest, *chosen.values),
            ),
        )

    def _next_created(self) -> Condition:
        beyond = "walk.until AND walk.at - 1" if self.descending else "walk.at + 1 AND walk.until"
        following = self._created(
            "walk.kind", "walk.value", Condition(f"sequence BETWEEN {beyond}")
        )
        key = "key, " if self.column else ""
        return Condition(
            f"SELECT {self._keys()}{key}{following.sql}, kind, value, until, 0 FROM walk"
            " WHERE part = 0 AND at IS NOT NULL",
            following.values,
        )

    def _created(self, kind: str, value: str, within: Condition) -> Condition:
        """Return the sequence of the first row in order of creation."""
        column = self._index_column()
        index = kinds.index_of(column)
        same = f" AND {column} = {value}" if column else ""
        wanted = join([within, *self._wanted()])
        return Condition(
            f"(SELECT sequence FROM {index} WHERE {index}.kind = {kind}{same} AND {wanted.sql}"
            f" ORDER BY sequence {self._way()} LIMIT 1)",
            wanted.values,
        )

    def _first(self, number: int, part: _Part) -> Condition:
        assert part.range is not None
        first = self._sought("executions_kinds.kind", part.range)
        chosen = join([self.chosen.kinds, part.of_kind, self._is_near()])
        keys = self._kind_keys()
        return Condition(
            f"SELECT {keys}head.{self.column}, head.sequence, executions_kinds.kind,"
            f" NULL, NULL, {number} FROM (SELECT * FROM executions_kinds WHERE {chosen.sql})"
            f" AS executions_kinds CROSS JOIN {self.table} AS head ON head.sequence = {first.sql}",
            (*chosen.values, *first.values),
        )

    def _next(self, number: int, of_part: Condition) -> Condition:
        least, largest = (self.created[0][0], self.created[-1][1]) if self.created else (1, 0)
        # After a first row of a value, the following ones that may match are sought.
        within = f"max(walk.at + 1, {least}) AND {largest}"
        beyond = ">"
        if self.descending:
            within, beyond = f"{least} AND min(walk.at - 1, {largest})", "<"
        same = Condition(f"{self.column} = walk.key AND sequence BETWEEN {within}")
        apart = join([Condition(f"{self.column} {beyond} walk.key"), of_part])
        # SQLite would not seek by a comparison of both columns at once.
        parts = [self._sought("walk.kind", one) for one in (same, apart)]
        return Condition(
            f"SELECT {self._keys()}next.{self.column}, next.sequence, walk.kind, NULL, NULL,"
            f" {number} FROM walk CROSS JOIN {self.table} AS next"
            f" ON next.sequence = coalesce({parts[0].sql}, {parts[1].sql}) WHERE part = {number}",
            (*parts[0].values, *parts[1].values),
        )

    def _sought(self, kind: str, within: Condition) -> Condition:
        """Return the sequence of the first row in order of the column, then of creation."""
        index = kinds.index_of(self.column)
        held = Condition("+sequence <= ?", (self.chosen.through,))
        wanted = join([within, held, *self._wanted()])
        way = self._way()
        return Condition(
            f"(SELECT sequence FROM {index} WHERE {index}.kind = {kind} AND {wanted.sql}"
            f" ORDER BY {self.column} {way}, sequence {way} LIMIT 1)",
            wanted.values,
        )

    def _is_near(self) -> Condition:
        """Return the condition that a kind has rows where rows may match."""
        if self.created == [(0, self.chosen.through)]:
            return ALWAYS
        sql = exists(
            f"{kinds.BY_KIND} WHERE {kinds.BY_KIND}.kind = executions_kinds.kind"
            " AND sequence BETWEEN ? AND ?"
        )
        return join([Condition(sql, ends) for ends in self.created], "OR")

    def _wanted(self) -> list[Condition]:
        """Return the filters of the index's column. SQLite does not seek by them."""
        column = self._index_column()
        return [condition(item, (column,)) for item in self.query.filters if compares(item, column)]

    def _index_column(self) -> str:
        return self.column or self.chosen.column

    def _kind_keys(self) -> str:
        return "".join(f"executions_kinds.{name}, " for name in self.keys)

    def _keys(self) -> str:
        return "".join(f"walk.k{place}, " for place in range(len(self.keys)))

    def _way(self) -> str:
        return "DESC" if self.descending else "ASC"
