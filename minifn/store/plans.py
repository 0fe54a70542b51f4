"""How a page of a long table is read. SQLite, which has no statistics, would guess; here it is counted.

Each filter that an index can serve is counted. A filter that leaves few rows (FEW) drives the query, and what is
left is sorted. If none does, matches are frequent, and reading in the list's order finds a page soon.

Of a million rows a page then takes milliseconds. What takes longer, up to some tenths of a second: parts of a text
(`contains`, `endsWith`), which no index finds; a long range of $updatedAt in order of creation; and the count of rows
that two frequent conditions seldom meet in.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from minifn.store.conditions import ALWAYS, Condition, condition, join, range_parts
from minifn.store.queries import Attributes, Filter, Query

#: So many rows are fetched and sorted in a few milliseconds.
FEW = 3000
#: Appwrite counts no further (`APP_LIMIT_COUNT`).
TOTAL_MAX = 5000
#: Filters that are one range of values.
RANGES = frozenset(
    {"lessThan", "lessThanEqual", "greaterThan", "greaterThanEqual", "between", "startsWith"}
)

#: (column, whether it descends) by importance.
Orders = list[tuple[str, bool]]


@dataclass(frozen=True)
class Scope:
    """What a list is limited to before the client's query.

    In a long table `prefix` fixes the first columns of every index, and `index` serves the whole `condition` in order
    of creation. Without an `index` the table is short and SQLite may read it as it likes.
    """

    condition: Condition = ALWAYS
    prefix: Condition = ALWAYS
    index: str = ""


@dataclass(frozen=True)
class Candidate:
    """A SELECT of sequences that could drive a query, and how many it finds, counted up to TOTAL_MAX."""

    select: Condition
    rows: int
    #: The one index it uses, "" when they are several.
    index: str
    #: Whether it finds rows in order of creation: one value of the index's column.
    ordered: bool = False
    #: Whether what it finds is what the scope and its filter (or no filter) say, no more and nothing twice.
    exact: bool = False
    #: Whether what it finds lies together: one range of the index.
    contiguous: bool = False


@dataclass(frozen=True)
class Plan:
    """Where to read (`source` follows FROM) and what to test. `in_order`: rows come in the order asked for."""

    source: str
    where: Condition
    in_order: bool = False


def candidates(
    conn: sqlite3.Connection, table: str, attributes: Attributes, query: Query, scope: Scope
) -> list[Candidate]:
    """Return what could drive the query, fewest rows first; nothing for a short table."""
    if not scope.index:
        return []
    found: list[Candidate] = []
    for item in query.filters:
        parts = range_parts(item, attributes)
        if not parts:
            continue
        select = _select(table, [(index, join([scope.prefix, part])) for index, part in parts])
        indexes = {index for index, _ in parts}
        ordered = item.method == "equal" and len(item.values) == 1
        found.append(
            Candidate(
                select=select,
                rows=_count(conn, select),
                index=indexes.pop() if len(indexes) == 1 else "",
                ordered=ordered,
                exact=item.method not in ("and", "or") and scope.condition == scope.prefix,
                contiguous=ordered or (len(parts) == 1 and item.method in RANGES),
            )
        )
    select = _select(table, [(scope.index, scope.condition)])
    found.append(
        Candidate(
            select,
            _count(conn, select),
            scope.index,
            ordered=True,
            exact=not query.filters,
            contiguous=True,
        )
    )
    return sorted(found, key=lambda candidate: candidate.rows)


def _select(table: str, parts: Sequence[tuple[str, Condition]]) -> Condition:
    selects = [Condition(f"SELECT sequence FROM {table} INDEXED BY {index} WHERE {part.sql}", part.values)
               for index, part in parts]  # fmt: skip
    return Condition(
        " UNION ALL ".join(part.sql for part in selects),
        tuple(v for part in selects for v in part.values),
    )


def _count(conn: sqlite3.Connection, select: Condition) -> int:
    sql = f"SELECT count(*) FROM (SELECT 1 FROM ({select.sql}) LIMIT {TOTAL_MAX})"
    return int(conn.execute(sql, select.values).fetchone()[0])


def where(query: Query, attributes: Attributes, scope: Scope) -> Condition:
    """Return what holds for the rows of the list, whatever the page."""
    return join([scope.condition, *(condition(item, attributes) for item in query.filters)])


def for_page(
    table: str, matches: Condition, orders: Orders, found: list[Candidate], order_index: str
) -> Plan:
    """Plan a page of the rows that match. `order_index` finds rows in order, "" when none does."""
    if not found:
        return Plan(table, matches)
    best = found[0]
    if best.contiguous and best.index == order_index:
        return Plan(f"{table} INDEXED BY {order_index}", matches, in_order=True)
    if best.rows <= FEW or (len(found) > 2 and best.rows < TOTAL_MAX):
        # With several filters even more: what they leave together may be very little.
        return _driven(table, matches, best)
    if len(orders) == 1:
        index = next(candidate.index for candidate in found if candidate.ordered)
        return Plan(f"{table} INDEXED BY {index}", matches, in_order=True)
    return Plan(
        f"{table} INDEXED BY {order_index}" if order_index else table,
        matches,
        in_order=bool(order_index),
    )


def for_count(
    table: str, matches: Condition, filters: Sequence[Filter], found: list[Candidate]
) -> Plan | int:
    """Plan the count of the rows that match, or return it when a candidate has counted it already."""
    if not found:
        return Plan(table, matches)
    best = found[0]
    if best.exact and len(filters) == len(found) - 1 <= 1:
        return best.rows
    if best.rows <= FEW:
        return _driven(table, matches, best)
    return Plan(f"{table} INDEXED BY {best.index}" if best.index else table, matches)


def _driven(table: str, matches: Condition, candidate: Candidate) -> Plan:
    # NOT INDEXED leaves the look-up by sequence: with an index SQLite may read all of it and test each row.
    select = Condition(f"sequence IN ({candidate.select.sql})", candidate.select.values)
    return Plan(f"{table} NOT INDEXED", join([select, matches]))
