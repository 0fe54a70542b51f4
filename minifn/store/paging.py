"""Pages of a list: a checked `Query` over one table, by keyset, with a count that stops at TOTAL_MAX."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from minifn.errors import CursorNotFound
from minifn.models import Record
from minifn.store.queries import Attribute, Attributes, Filter, Order, Query
from minifn.store.table import Table

R = TypeVar("R", bound=Record)

#: Appwrite counts no further (`APP_LIMIT_COUNT`).
TOTAL_MAX = 5000
_CREATION = Attribute("sequence", None)  # type: ignore[arg-type]

_OPERATORS = {
    "notEqual": "<>",
    "lessThan": "<",
    "lessThanEqual": "<=",
    "greaterThan": ">",
    "greaterThanEqual": ">=",
}


@dataclass(frozen=True)
class Page(Generic[R]):
    """Some records of a list, and how many the list has (0 when nobody asked, never more than TOTAL_MAX)."""

    total: int
    items: tuple[R, ...]


@dataclass(frozen=True)
class Condition:
    """A piece of SQL that holds or not, with its values."""

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Scope:
    """What a list is limited to before the client's query: always the first columns of the indexes."""

    conditions: tuple[Condition, ...] = ()


def condition(item: Filter, attributes: Attributes) -> Condition:
    """Return the SQL of one filter."""
    if item.method in ("and", "or"):
        children = [condition(child, attributes) for child in item.children]
        return _join(children, f" {item.method.upper()} ")
    column = attributes[item.attribute].column
    values = item.values
    if item.method == "equal":
        if len(values) == 1:
            return Condition(f"{column} = ?", values)
        return Condition(f"{column} IN ({', '.join('?' * len(values))})", values)
    if item.method in _OPERATORS:
        return Condition(f"{column} {_OPERATORS[item.method]} ?", values)
    if item.method in ("between", "notBetween"):
        word = "BETWEEN" if item.method == "between" else "NOT BETWEEN"
        return Condition(f"{column} {word} ? AND ?", values)
    if item.method in ("isNull", "isNotNull"):
        return Condition(f"{column} IS {'NOT ' if item.method == 'isNotNull' else ''}NULL")
    return _text_condition(item.method, column, values)


def _text_condition(method: str, column: str, values: tuple[Any, ...]) -> Condition:
    """Case-sensitive tests of a text's parts: GLOB and LIKE would need escapes."""
    if method in ("startsWith", "notStartsWith"):
        test, values = f"substr({column}, 1, length(?)) = ?", (values[0], values[0])
    elif method in ("endsWith", "notEndsWith"):
        # substr(x, -0) is the whole text, hence the separate case of an empty end.
        test, values = f"(? = '' OR substr({column}, -length(?)) = ?)", (values[0],) * 3
    else:
        test = "(" + " OR ".join([f"instr({column}, ?) > 0"] * len(values)) + ")"
    return Condition(f"NOT {test}" if method.startswith("not") else test, values)


def _join(conditions: Sequence[Condition], word: str = " AND ") -> Condition:
    sql = word.join(item.sql for item in conditions)
    return Condition(f"({sql})", tuple(value for item in conditions for value in item.values))


def page(
    conn: sqlite3.Connection,
    table: Table[R],
    attributes: Attributes,
    query: Query,
    scope: Sequence[Condition] = (),
    count: bool = True,
) -> Page[R]:
    """Return the page of `query` among the rows of `table` for which every condition of `scope` holds.

    Raises CursorNotFound when the cursor's row is not among those of the scope.
    """
    conditions = [*scope, *(condition(item, attributes) for item in query.filters)]
    where = _join(conditions) if conditions else Condition("1")
    total = _count(conn, table, where) if count else 0
    orders = _orders(query, attributes)
    if query.cursor:
        orders, after = _after(conn, table, scope, query, orders)
        where = _join([where, after])
    keys = ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column, descending in orders)
    rows = conn.execute(
        f"SELECT {table.columns} FROM {table.name} WHERE sequence IN (SELECT sequence FROM {table.name}"
        f" WHERE {where.sql} ORDER BY {keys} LIMIT ? OFFSET ?) ORDER BY {keys}",
        (*where.values, query.limit, query.offset),
    )
    items = [table.record(row) for row in rows]
    if query.cursor and query.cursor_before:
        items.reverse()
    return Page(total, tuple(items))


def _count(conn: sqlite3.Connection, table: Table[R], where: Condition) -> int:
    (total,) = conn.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {table.name} WHERE {where.sql} LIMIT {TOTAL_MAX})", where.values
    ).fetchone()
    return int(total)


def _orders(query: Query, attributes: Attributes) -> list[tuple[str, bool]]:
    """Return the columns of the order, each with whether it descends; `sequence` breaks ties in the last direction."""
    orders: list[tuple[str, bool]] = []
    for order in query.orders or (Order(),):
        column = attributes[order.attribute].column if order.attribute else "sequence"
        if column not in [known for known, _ in orders]:
            orders.append((column, order.descending))
        if column == "sequence":
            return orders
    return [*orders, ("sequence", orders[-1][1])]


def _after(
    conn: sqlite3.Connection, table: Table[R], scope: Sequence[Condition], query: Query, orders: list[tuple[str, bool]]
) -> tuple[list[tuple[str, bool]], Condition]:
    """Return the order to read in (backwards for cursorBefore) and what holds for the rows beyond the cursor."""
    if query.cursor_before:
        orders = [(column, not descending) for column, descending in orders]
    columns = ", ".join(column for column, _ in orders)
    where = _join([*scope, Condition("id = ?", (query.cursor,))])
    row = conn.execute(f"SELECT {columns} FROM {table.name} WHERE {where.sql}", where.values).fetchone()
    if row is None:
        raise CursorNotFound
    beyond: list[Condition] = []
    for index, (column, descending) in enumerate(orders):
        same = [Condition(f"{known} = ?", (row[place],)) for place, (known, _) in enumerate(orders[:index])]
        beyond.append(_join([*same, Condition(f"{column} {'<' if descending else '>'} ?", (row[index],))]))
    return orders, _join(beyond, " OR ")
