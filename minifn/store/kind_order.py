"""A page of executions in the order of columns that kinds share, then of creation.

The rows of all kinds that match are merged: a queue takes the next row of the kind whose turn it
is. Only rows of such kinds are read, however far apart they lie.
"""

import itertools
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minifn.store import blocks, kinds, late_indexes
from minifn.store.conditions import ALWAYS, Condition, join
from minifn.store.kinds import BY_KIND
from minifn.store.plans import Orders, Scope, where
from minifn.store.queries import INTEGER_MAX, Query

#: Most kinds that are merged where rows could be read in order of creation as well.
KINDS_MAX = 1_000


def serves(conn: sqlite3.Connection, query: Query, scope: Scope, orders: Orders) -> bool:
    """Tell whether a page can be read so, and whether that is worth it."""
    if scope.condition != scope.prefix or any(
        column not in kinds.COLUMNS for column, _ in orders[:-1]
    ):
        return False
    if len(orders) > 1:
        return True
    if not any(map(kinds.tells, query.filters)):
        return False
    told = kinds.told(scope.prefix, query.filters)
    sql = f"SELECT count(*) FROM (SELECT 1 FROM executions_kinds WHERE {told.sql} LIMIT ?)"
    (found,) = conn.execute(sql, (*told.values, KINDS_MAX + 1)).fetchone()
    return int(found) <= KINDS_MAX


def sequences(
    conn: sqlite3.Connection,
    table: str,
    query: Query,
    scope: Scope,
    orders: Orders,
    cursor: Sequence[Any],
    spans: Sequence[Condition] = (),
) -> Condition:
    """Return the SELECT of the page's sequences; LIMIT and OFFSET are its last two values.

    `cursor` has the values of the orders' columns in the cursor's row, () without a cursor. Rows
    that match lie in blocks for which the `spans` hold.
    """
    matches = where(query, scope)
    parts = _parts(orders, cursor)
    within = blocks.ranges(conn, "sequence", query.filters, spans=spans)
    if within != [blocks.EVERYWHERE]:
        # The index holds rows that no block holds yet.
        within.append((late_indexes.mark(conn, late_indexes.BY_FUNCTION) + 1, None))
    walk = _walk(orders, kinds.told(scope.prefix, query.filters), parts, within)
    columns = ", ".join(column for column, _ in orders)
    tested = ALWAYS
    if not all(map(kinds.tells, query.filters)):
        tested = _tested(table, "walk", matches)
    beyond = join([_of_row(part, "<" if orders[-1][1] else ">") for part in parts], "OR")
    tail = join([Condition("sequence > ?", (late_indexes.mark(conn, BY_KIND),)), beyond, matches])
    return Condition(
        f"{walk.sql} SELECT sequence FROM (SELECT * FROM (SELECT {columns} FROM walk"
        f" WHERE sequence IS NOT NULL AND {tested.sql} LIMIT ?)"
        f" UNION ALL SELECT {columns} FROM {table} NOT INDEXED WHERE {tail.sql}"
        f" ORDER BY {_sorting(orders)} LIMIT ? OFFSET ?)",
        (*walk.values, *tested.values, query.limit + query.offset, *tail.values),
    )


def count(
    conn: sqlite3.Connection,
    table: str,
    query: Query,
    scope: Scope,
    spans: Sequence[Condition],
    most: int,
) -> int:
    """Return the number of rows of a plain scope that match, up to `most`.

    Where all rows of blocks match the filters of which kinds do not tell, no row is read.
    """
    others = [item for item in query.filters if not kinds.tells(item)]
    sure, unsure = blocks.sequences(conn, others, spans)
    through = late_indexes.mark(conn, late_indexes.BY_FUNCTION)
    matches, told = where(query, scope), kinds.told(scope.prefix, query.filters)
    tested = _tested(table, BY_KIND, matches)
    parts = [(one, ALWAYS) for one in sure] + [(one, tested) for one in unsure]
    found = 0
    for (least, largest), test in (*parts, ((through + 1, INTEGER_MAX), tested)):
        if found < most:
            rows = join([told, Condition("sequence BETWEEN ? AND ?", (least, largest)), test])
            found += _count(conn, kinds.ROWS, rows, most - found)
    tail = join([Condition("sequence > ?", (late_indexes.mark(conn, BY_KIND),)), matches])
    return found + _count(conn, f"{table} NOT INDEXED", tail, most - found)


def _count(conn: sqlite3.Connection, source: str, rows: Condition, most: int) -> int:
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {rows.sql} LIMIT ?)"
    return int(conn.execute(sql, (*rows.values, most)).fetchone()[0])


def _tested(table: str, source: str, matches: Condition) -> Condition:
    """Return the condition that the row of a source's sequence matches."""
    sql = f"EXISTS (SELECT 1 FROM {table} WHERE {table}.sequence = {source}.sequence AND ({{}}))"
    return Condition(sql.format(matches.sql), matches.values)


@dataclass(frozen=True)
class _Part:
    """A part of a page: the condition of its kinds, and the sequence beyond which its rows lie."""

    of_kind: Condition
    beyond: int | None = None


def _parts(orders: Orders, cursor: Sequence[Any]) -> list[_Part]:
    """Return the parts of the page beyond the cursor's row."""
    if not cursor:
        return [_Part(ALWAYS)]
    *keys, _ = zip(orders, cursor, strict=True)
    same = [Condition(f"{column} = ?", (value,)) for (column, _), value in keys]
    further = [
        Condition(f"{column} {'<' if descending else '>'} ?", (value,))
        for (column, descending), value in keys
    ]
    return [
        _Part(join(same), cursor[-1]),
        *(_Part(join([*same[:place], one])) for place, one in enumerate(further)),
    ]


def _of_row(part: _Part, beyond: str) -> Condition:
    """Return the condition of a part's rows."""
    if part.beyond is None:
        return part.of_kind
    return join([part.of_kind, Condition(f"sequence {beyond} ?", (part.beyond,))])


def _walk(
    orders: Orders, told: Condition, parts: Sequence[_Part], within: Sequence[blocks.Range]
) -> Condition:
    """Return the WITH clause of `walk`, which reads rows of kinds in order.

    A kind without further rows has a last one without a sequence. `until` ends a range.
    """
    keys = "".join(f"{column}, " for column, _ in orders[:-1])
    descending = orders[-1][1]
    row = (
        f"(SELECT {BY_KIND}.sequence FROM {BY_KIND} WHERE {BY_KIND}.kind = {{}}"
        f" ORDER BY {BY_KIND}.sequence {'DESC' if descending else 'ASC'} LIMIT 1)"
    )
    first = row.format("executions_kinds.kind AND sequence BETWEEN ? AND ?")
    heads = []
    for part, (least, largest) in itertools.product(parts, within):
        ends = [0 if least is None else least, INTEGER_MAX if largest is None else largest]
        until = ends[0] if descending else ends[1]
        if part.beyond is not None and descending:
            ends[1] = min(ends[1], part.beyond - 1)
        elif part.beyond is not None:
            ends[0] = max(ends[0], part.beyond + 1)
        chosen = join([told, part.of_kind])
        sql = f"SELECT {keys}{first}, kind, ? FROM executions_kinds WHERE {chosen.sql}"
        heads.append(Condition(sql, (*ends, until, *chosen.values)))
    further = "walk.sequence + 1 AND walk.until"
    if descending:
        further = "walk.until AND walk.sequence - 1"
    following = row.format(f"walk.kind AND {BY_KIND}.sequence BETWEEN {further}")
    ways = ", ".join(
        f"{place} {'DESC' if down else 'ASC'}" for place, (_, down) in enumerate(orders, 1)
    )
    return Condition(
        f"WITH RECURSIVE walk({keys}sequence, kind, until) AS ("
        + " UNION ALL ".join(head.sql for head in heads)
        + f" UNION ALL SELECT {keys}{following}, kind, until FROM walk"
        f" WHERE sequence IS NOT NULL ORDER BY {ways})",
        tuple(value for head in heads for value in head.values),
    )


def _sorting(orders: Orders) -> str:
    return ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column, descending in orders)
