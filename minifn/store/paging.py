"""Pages of a list: a checked `Query` over one table, by keyset, with a count that stops at TOTAL_MAX."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from minifn.errors import ArgumentInvalid, CursorNotFound, QueryOrderNull
from minifn.models import Record
from minifn.store import plans
from minifn.store.conditions import ALWAYS, Condition, join
from minifn.store.plans import TOTAL_MAX, Orders, Plan, Scope
from minifn.store.queries import Attributes, Order, Query
from minifn.store.table import Table

R = TypeVar("R", bound=Record)

EVERYTHING = Scope()
#: Characters of all the rows of a page: what 25 executions may have with logs and errors at their longest, and more.
PAGE_CHARS_MAX = 64 * 1024 * 1024
#: What a row counts for besides its texts.
ROW_CHARS = 2048


@dataclass(frozen=True)
class Page(Generic[R]):
    """Some records of a list, and how many the list has (0 when nobody asked, never more than TOTAL_MAX)."""

    total: int
    items: tuple[R, ...]


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

    Raises CursorNotFound when the cursor's row is not in the scope, QueryOrderNull when it lacks what the list is
    ordered by, and ArgumentInvalid for a page that is too long.
    """
    found = plans.candidates(conn, table.name, attributes, query, scope)
    matches = plans.where(query, attributes, scope)
    orders = _orders(query, attributes)
    total = _count(conn, plans.for_count(table.name, matches, query.filters, found)) if count else 0
    plan = plans.for_page(
        table.name, matches, orders, found, _order_index(query, attributes, scope)
    )
    if query.cursor_before:
        orders = [(column, not descending) for column, descending in orders]
    beyond = _beyond(conn, table.name, scope, query, orders)
    sequences = _sequences(plan, beyond, orders)
    # Rows are fetched whole only for the page: sorting would carry their logs along.
    rows = conn.execute(
        f"SELECT {table.columns} FROM {table.name} WHERE sequence IN ({sequences.sql}) ORDER BY {_keys(orders)}",
        (*sequences.values, query.limit, query.offset),
    )
    items = [table.record(row) for row in _bounded(rows)]
    if query.cursor_before:
        items.reverse()
    return Page(total, tuple(items))


def _bounded(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Yield rows. Raises ArgumentInvalid once they are more than a page may have."""
    left = PAGE_CHARS_MAX
    for row in rows:
        left -= ROW_CHARS + sum(len(value) for value in row if isinstance(value, str))
        if left < 0:
            raise ArgumentInvalid.for_param(
                "queries",
                f"The page has more than {PAGE_CHARS_MAX:,} chars. Ask for fewer rows at a time with limit.",
            )
        yield row


def _count(conn: sqlite3.Connection, plan: Plan | int) -> int:
    if isinstance(plan, int):
        return plan
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {plan.source} WHERE {plan.where.sql} LIMIT {TOTAL_MAX})"
    return int(conn.execute(sql, plan.where.values).fetchone()[0])


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


def _keys(orders: Orders) -> str:
    return ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column, descending in orders)


def _beyond(
    conn: sqlite3.Connection, table: str, scope: Scope, query: Query, orders: Orders
) -> list[Condition]:
    """Return what holds beyond the cursor's row, as conditions that exclude each other, nearest rows first.

    The last key ties with no other row: for keys a, b it is `a = ? AND b > ?`, then `a > ?`.
    """
    if not query.cursor:
        return [ALWAYS]
    columns = [column for column, _ in orders]
    of_cursor = join([scope.condition, Condition("id = ?", (query.cursor,))])
    sql = f"SELECT {', '.join(columns)} FROM {table} WHERE {of_cursor.sql}"
    row = conn.execute(sql, of_cursor.values).fetchone()
    if row is None:
        raise CursorNotFound
    if None in row:
        raise QueryOrderNull
    beyond: list[Condition] = []
    for place in reversed(range(len(orders))):
        column, descending = orders[place]
        same = [
            Condition(f"{known} = ?", (row[index],)) for index, known in enumerate(columns[:place])
        ]
        beyond.append(
            join([*same, Condition(f"{column} {'<' if descending else '>'} ?", (row[place],))])
        )
    return beyond


def _sequences(plan: Plan, beyond: Sequence[Condition], orders: Orders) -> Condition:
    """Return the SELECT of the page's sequences; LIMIT and OFFSET are its last two values."""
    if not plan.in_order or len(beyond) == 1:
        where = join([plan.where, join(beyond, "OR")])
        sql = f"SELECT sequence FROM {plan.source} WHERE {where.sql} ORDER BY {_keys(orders)} LIMIT ? OFFSET ?"
        return Condition(sql, where.values)
    # Each part is a range of the index, and SQLite merges them lazily; an OR it would test row by row.
    columns = ", ".join(column for column, _ in orders)
    wheres = [join([plan.where, part]) for part in beyond]
    union = " UNION ALL ".join(
        f"SELECT {columns} FROM {plan.source} WHERE {where.sql}" for where in wheres
    )
    sql = f"SELECT sequence FROM ({union} ORDER BY {_keys(orders)} LIMIT ? OFFSET ?)"
    return Condition(sql, tuple(value for where in wheres for value in where.values))
