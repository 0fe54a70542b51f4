"""Pages of a list: a checked `Query` over one table, by keyset, with a count that stops at TOTAL_MAX.

A long table (executions) names its indexes, and then the page is planned here, because SQLite without statistics
guesses wrong: each filter that an index can serve is counted up to FEW rows. A filter that leaves few rows drives the
query, and those are sorted; if none does, matches are frequent, and reading in the list's order finds a page soon.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from minifn.errors import CursorNotFound
from minifn.models import Record
from minifn.store.conditions import ALWAYS, Condition, condition, join, ranges
from minifn.store.queries import Attributes, Order, Query
from minifn.store.table import Table

R = TypeVar("R", bound=Record)

#: Appwrite counts no further (`APP_LIMIT_COUNT`).
TOTAL_MAX = 5000
#: So many rows are fetched and sorted in a few milliseconds.
FEW = 5000

#: (column, whether it descends) by importance.
Orders = list[tuple[str, bool]]


@dataclass(frozen=True)
class Page(Generic[R]):
    """Some records of a list, and how many the list has (0 when nobody asked, never more than TOTAL_MAX)."""

    total: int
    items: tuple[R, ...]


@dataclass(frozen=True)
class Scope:
    """What a list is limited to before the client's query.

    In a long table `prefix` fixes the first columns of every index, and `index` serves the whole `condition` in order
    of creation. Without an `index` the table is short and SQLite may read it as it likes.
    """

    condition: Condition = ALWAYS
    prefix: Condition = ALWAYS
    index: str = ""


EVERYTHING = Scope()


@dataclass(frozen=True)
class _Candidate:
    """An index that could drive a query, the SELECT of what it finds, and how much that is (counted up to FEW + 1)."""

    index: str
    select: Condition
    rows: int
    #: Whether it finds rows in order of creation: one value of its column.
    ordered: bool
    #: Whether what it finds lies together: a range of its column.
    contiguous: bool


@dataclass(frozen=True)
class _Plan:
    """Where to read from (`source` follows FROM) and what to test."""

    source: str
    where: Condition
    #: The number of rows, when planning has already found it.
    rows: int | None = None


def page(
    conn: sqlite3.Connection,
    table: Table[R],
    attributes: Attributes,
    query: Query,
    scope: Scope = EVERYTHING,
    *,
    count: bool = True,
) -> Page[R]:
    """Return the page of `query` among the rows of `scope`.

    Raises CursorNotFound when the cursor's row is not in the scope.
    """
    where = join([scope.condition, *(condition(item, attributes) for item in query.filters)])
    orders = _orders(query, attributes)
    candidates = _candidates(conn, table, attributes, query, scope)
    total = _count(conn, table, _plan_count(table, where, scope, candidates, query)) if count else 0
    orders, beyond = _after(conn, table, scope, query, orders)
    plan = _plan(table, join([where, beyond]), orders, candidates, _order_index(query, attributes, scope))
    keys = ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column, descending in orders)
    # Rows are fetched whole only for the page: sorting would carry their logs along.
    rows = conn.execute(
        f"SELECT {table.columns} FROM {table.name} WHERE sequence IN (SELECT sequence FROM {plan.source}"
        f" WHERE {plan.where.sql} ORDER BY {keys} LIMIT ? OFFSET ?) ORDER BY {keys}",
        (*plan.where.values, query.limit, query.offset),
    )
    items = [table.record(row) for row in rows]
    if query.cursor_before:
        items.reverse()
    return Page(total, tuple(items))


def _orders(query: Query, attributes: Attributes) -> Orders:
    """Return the columns of the order; `sequence` comes last, in the direction of what is before it.

    Within a range of $createdAt, creation is ordered by time first: an index then finds the range in order.
    """
    orders: Orders = []
    for order in query.orders or (Order(),):
        column = attributes[order.attribute].column if order.attribute else "sequence"
        if column == "sequence":
            if not orders and _by_time(query):
                orders.append(("created_at", order.descending))
            return [*orders, ("sequence", order.descending)]
        if column not in [known for known, _ in orders]:
            orders.append((column, order.descending))
    return [*orders, ("sequence", orders[-1][1])]


def _by_time(query: Query) -> bool:
    return any(item.attribute == "$createdAt" for item in query.filters)


def _order_index(query: Query, attributes: Attributes, scope: Scope) -> str:
    """Return the index that finds rows in the query's order, "" for none."""
    if not query.orders or query.orders[0].attribute in ("", "$sequence"):
        return attributes["$createdAt"].index if _by_time(query) else scope.index
    return attributes[query.orders[0].attribute].index if len(query.orders) == 1 else ""


def _after(
    conn: sqlite3.Connection, table: Table[R], scope: Scope, query: Query, orders: Orders
) -> tuple[Orders, Condition]:
    """Return the order to read in (backwards for cursorBefore) and what holds for the rows beyond the cursor."""
    if query.cursor_before:
        orders = [(column, not descending) for column, descending in orders]
    if not query.cursor:
        return orders, ALWAYS
    columns = [column for column, _ in orders]
    where = join([scope.condition, Condition("id = ?", (query.cursor,))])
    row = conn.execute(f"SELECT {', '.join(columns)} FROM {table.name} WHERE {where.sql}", where.values).fetchone()
    if row is None:
        raise CursorNotFound
    if len({descending for _, descending in orders}) == 1:
        sign, marks = "<" if orders[0][1] else ">", ", ".join("?" * len(row))
        return orders, Condition(f"({', '.join(columns)}) {sign} ({marks})", row)
    beyond: list[Condition] = []
    for place, (column, descending) in enumerate(orders):
        same = [Condition(f"{known} = ?", (row[index],)) for index, known in enumerate(columns[:place])]
        beyond.append(join([*same, Condition(f"{column} {'<' if descending else '>'} ?", (row[place],))]))
    return orders, join(beyond, "OR")


def _candidates(
    conn: sqlite3.Connection, table: Table[R], attributes: Attributes, query: Query, scope: Scope
) -> list[_Candidate]:
    """Return the indexes that could drive the query, the one that leaves fewest rows first."""
    if not scope.index:
        return []
    found: list[_Candidate] = []
    for item in query.filters:
        index = attributes[item.attribute].index if item.attribute else ""
        parts = [join([scope.prefix, part]) for part in ranges(item, attributes)] if index else []
        if parts:
            select = _select(table, index, parts)
            rows = _count_candidate(conn, select)
            one_value = item.method == "equal" and len(item.values) == 1
            contiguous = one_value or (item.method != "equal" and len(parts) == 1)
            found.append(_Candidate(index, select, rows, one_value, contiguous))
    select = _select(table, scope.index, [scope.condition])
    found.append(_Candidate(scope.index, select, _count_candidate(conn, select), ordered=True, contiguous=True))
    return sorted(found, key=lambda candidate: candidate.rows)


def _select(table: Table[R], index: str, parts: Sequence[Condition]) -> Condition:
    sql = " UNION ALL ".join(f"SELECT sequence FROM {table.name} INDEXED BY {index} WHERE {part.sql}" for part in parts)
    return Condition(sql, tuple(value for part in parts for value in part.values))


def _count_candidate(conn: sqlite3.Connection, select: Condition) -> int:
    sql = f"SELECT count(*) FROM (SELECT 1 FROM ({select.sql}) LIMIT {FEW + 1})"
    return int(conn.execute(sql, select.values).fetchone()[0])


def _plan(table: Table[R], where: Condition, orders: Orders, candidates: list[_Candidate], order_index: str) -> _Plan:
    if not candidates:
        return _Plan(table.name, where)
    best = candidates[0]
    if best.contiguous and best.index == order_index:
        return _Plan(f"{table.name} INDEXED BY {order_index}", where)
    if best.rows <= FEW:
        return _driven(table, where, best)
    if len(orders) == 1:
        index = next(candidate.index for candidate in candidates if candidate.ordered)
        return _Plan(f"{table.name} INDEXED BY {index}", where)
    return _Plan(f"{table.name} INDEXED BY {order_index}" if order_index else table.name, where)


def _driven(table: Table[R], where: Condition, candidate: _Candidate) -> _Plan:
    select = Condition(f"sequence IN ({candidate.select.sql})", candidate.select.values)
    return _Plan(table.name, join([select, where]))


def _plan_count(table: Table[R], where: Condition, scope: Scope, candidates: list[_Candidate], query: Query) -> _Plan:
    """Plan the count: with one filter the candidates have counted already."""
    if not candidates:
        return _Plan(table.name, where)
    if not query.filters:
        return _Plan(table.name, where, candidates[0].rows)
    if len(query.filters) == 1 and len(candidates) == 2 and scope.condition == scope.prefix:
        return _Plan(table.name, where, min(candidate.rows for candidate in candidates))
    if candidates[0].rows <= FEW:
        return _driven(table, where, candidates[0])
    return _Plan(f"{table.name} INDEXED BY {candidates[0].index}", where)


def _count(conn: sqlite3.Connection, table: Table[R], plan: _Plan) -> int:
    rows = plan.rows
    if rows is None:
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {plan.source} WHERE {plan.where.sql} LIMIT {TOTAL_MAX})"
        (rows,) = conn.execute(sql, plan.where.values).fetchone()
    return min(int(rows), TOTAL_MAX)
