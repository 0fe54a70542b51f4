"""Pages of a list: a `Query` of one table, by keyset, with a count that stops at TOTAL_MAX."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from minifn.errors import ArgumentInvalid, CursorNotFound, QueryOrderNull
from minifn.limits import PAGE_CHARS_MAX
from minifn.models import Record
from minifn.store import kind_count, kind_order, kinds, merged, paths, plans
from minifn.store.blocks import EVERYWHERE, Range, ranges
from minifn.store.chosen import Chosen, choose
from minifn.store.conditions import Condition, join
from minifn.store.kinds import BY_KIND
from minifn.store.late_indexes import BY_FUNCTION, mark, rows
from minifn.store.parts import Part, parts_of
from minifn.store.plans import TOTAL_MAX, Orders, Plan, Scope
from minifn.store.queries import CREATION, Attribute, Comparison, Method, Order, Query
from minifn.store.table import Table

R = TypeVar("R", bound=Record)

EVERYTHING = Scope()
#: Characters that a row counts for besides its texts.
ROW_CHARS = 2048
#: The column of `created_at`, which every table has.
_TIME = "created_at"
#: The sequences of a page without rows.
_NOTHING = Condition("SELECT 1 WHERE 0")


@dataclass(frozen=True)
class Page(Generic[R]):
    """Records of a list and the list's total: TOTAL_MAX at most, 0 when it was not asked for."""

    total: int
    items: tuple[R, ...]


def page(
    conn: sqlite3.Connection,
    table: Table[R],
    query: Query,
    scope: Scope = EVERYTHING,
    *,
    count: bool = True,
) -> Page[R]:
    """Return the page of `query` among the rows of `scope`.

    Raises CursorNotFound when the cursor's row is not in the scope, QueryOrderNull when an
    attribute of the order is NULL in that row, and ArgumentInvalid for a page that is too long.
    """
    firsts: dict[str, Order] = {}
    for order in query.orders:
        firsts.setdefault(order.attribute.column, order)
    query = replace(query, orders=tuple(firsts.values()))
    if scope.index:
        through = mark(conn, kinds.ORDERED["request_path"])
        filters = tuple(
            paths.resolve(conn, table.name, item, scope.prefix, through) for item in query.filters
        )
        query = replace(query, filters=kinds.together(filters))
    found = plans.candidates(conn, table.name, query, scope)
    chosen = choose(conn, query, scope.prefix)
    total, known = _total(conn, table.name, query, scope, found, chosen, count)
    sequences = _found(conn, table.name, query, scope, found, chosen, known)
    # Rows are fetched whole only for the page: sorting would carry their logs along.
    found_rows = conn.execute(
        f"SELECT {table.columns} FROM {table.name} WHERE sequence IN ({sequences.sql})"
        f" ORDER BY {_keys(_orders(query, scope))}",
        sequences.values,
    )
    items = [table.record(row) for row in _bounded(found_rows)]
    return Page(total, tuple(reversed(items)) if query.cursor_before else tuple(items))


def _found(
    conn: sqlite3.Connection,
    table: str,
    query: Query,
    scope: Scope,
    found: list[plans.Candidate],
    chosen: Chosen,
    known: Sequence[int] | None = None,
) -> Condition:
    """Return the SELECT of the page's sequences, in order from the cursor's row on.

    Of few rows that match all are `known`.
    """
    orders = _orders(query, scope)
    matches = plans.where(query, scope)
    plan = plans.for_page(conn, table, matches, orders, found, _order_index(query, scope))
    cursor = _cursor(conn, table, scope, query, orders)
    if known is not None:
        plan = plans.known(table, known)
    if plan.walks and kind_order.serves(conn, scope, orders, chosen):
        sequences = kind_order.sequences(conn, table, query, scope, orders, cursor, chosen)
    elif plan.walks and merged.serves(scope, orders):
        within = _ranges(conn, table, query, scope, orders[0][0], chosen)
        if not within:
            return _NOTHING
        sequences = merged.sequences(conn, table, query, scope, orders, cursor, within)
    elif plan.walks and _is_split(query):
        return _by_values(conn, table, query, scope, cursor, chosen)
    else:
        within = [EVERYWHERE]
        if plan.walks:
            within = _ranges(conn, table, query, scope, orders[0][0], chosen)
        parts = parts_of(query, orders, cursor, within)
        if not parts:
            return _NOTHING
        sequences = _sequences(plan, parts, orders, query, scope)
    return Condition(sequences.sql, (*sequences.values, query.limit, query.offset))


def _is_split(query: Query) -> bool:
    """Tell whether a page is put together from those of each value of the first order."""
    return len(query.orders) > 1 and query.orders[0].attribute.index == BY_KIND


def _by_values(
    conn: sqlite3.Connection,
    table: str,
    query: Query,
    scope: Scope,
    cursor: Sequence[Any],
    chosen: Chosen,
) -> Condition:
    """Return the page's sequences, found for one value of the first order after another.

    Kinds tell which values there are. Rows of one value are found in the order of the others.
    """
    first, *others = query.orders
    column, down = first.attribute.column, first.descending is not query.cursor_before
    told = chosen.kinds
    tail = join([Condition("sequence > ?", (chosen.through,)), plans.where(query, scope)])
    values = conn.execute(
        f"SELECT {column} FROM executions_kinds WHERE {told.sql} UNION"
        f" SELECT {column} FROM {table} NOT INDEXED WHERE {tail.sql}"
        f" ORDER BY {column} {'DESC' if down else 'ASC'}",
        (*told.values, *tail.values),
    ).fetchall()
    wanted = query.limit + query.offset
    found: list[int] = []
    for (value,) in values:
        if cursor and (value > cursor[0] if down else value < cursor[0]):
            continue
        same = Comparison(Method.EQUAL, first.attribute, (value,))
        part = replace(
            query,
            filters=kinds.together((*query.filters, same)),
            orders=tuple(others),
            limit=wanted - len(found),
            offset=0,
            cursor=query.cursor if cursor and value == cursor[0] else "",
        )
        candidates = plans.candidates(conn, table, part, scope)
        chosen = choose(conn, part, scope.prefix)
        sequences = _found(conn, table, part, scope, candidates, chosen)
        found += [row[0] for row in conn.execute(sequences.sql, sequences.values)]
        if len(found) >= wanted:
            break
    return Condition("SELECT value FROM json_each(?)", (json.dumps(found[query.offset :]),))


def _cursor(
    conn: sqlite3.Connection, table: str, scope: Scope, query: Query, orders: Orders
) -> tuple[Any, ...]:
    """Return the values of the orders' columns in the cursor's row, () without a cursor.

    Raises CursorNotFound and QueryOrderNull.
    """
    if not query.cursor:
        return ()
    of_cursor = join([scope.condition, Condition("id = ?", (query.cursor,))])
    columns = ", ".join(column for column, _ in orders)
    sql = f"SELECT {columns} FROM {table} WHERE {of_cursor.sql}"
    row: tuple[Any, ...] | None = conn.execute(sql, of_cursor.values).fetchone()
    if row is None:
        raise CursorNotFound
    if None in row:
        raise QueryOrderNull
    return row


def _ranges(
    conn: sqlite3.Connection,
    table: str,
    query: Query,
    scope: Scope,
    column: str,
    chosen: Chosen,
) -> list[Range]:
    """Return the ranges of the list's first column in which the rows that match lie."""
    through = Condition("sequence > ?", (mark(conn, BY_FUNCTION),))
    tail = join([through, plans.where(query, scope)])
    return ranges(
        *(conn, column, query.filters),
        chosen=chosen,
        tail=Condition(f"SELECT {column} FROM {table} NOT INDEXED WHERE {tail.sql}", tail.values),
    )


def _bounded(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Yield rows. Raises ArgumentInvalid when they have more than PAGE_CHARS_MAX characters."""
    left = PAGE_CHARS_MAX
    for row in rows:
        left -= ROW_CHARS + sum(len(value) for value in row if isinstance(value, str))
        if left < 0:
            raise ArgumentInvalid.for_param(
                "queries",
                f"The page has more than {PAGE_CHARS_MAX:,} chars."
                " Ask for fewer rows at a time with limit.",
            )
        yield row


def _total(
    conn: sqlite3.Connection,
    table: str,
    query: Query,
    scope: Scope,
    found: list[plans.Candidate],
    chosen: Chosen,
    count: bool,
) -> tuple[int, list[int] | None]:
    """Return the total, 0 unless it is asked for, and all rows that match if these are few."""
    plan = plans.for_count(conn, table, plans.where(query, scope), found)
    if isinstance(plan, int):
        return (plan if count else 0), None
    if plan.walks and scope.condition == scope.prefix:
        most = TOTAL_MAX if count else plans.FEW + 1
        known = kind_count.sequences(conn, table, query, scope, chosen, found, most)
        total = len(known) if count else 0
    elif count:
        matching = rows("sequence", plan.sources, plan.where)
        sql = f"{matching.sql} LIMIT {TOTAL_MAX}"
        known = [row[0] for row in conn.execute(sql, matching.values)]
        total = len(known)
    else:
        return 0, None
    return total, (known if found and len(known) <= plans.FEW else None)


def _orders(query: Query, scope: Scope) -> Orders:
    """Return the columns of the order; `sequence` comes last, in the direction of the last order.

    Within a range of times, creation is ordered by time first: an index then finds the range in
    order. A page before a cursor is read backwards.
    """
    orders: Orders = []
    for order in query.orders or (Order(),):
        column, descending = order.attribute.column, order.descending is not query.cursor_before
        if column == CREATION.column:
            if not orders and _time_range(query, scope):
                orders.append((_TIME, descending))
            return [*orders, (column, descending)]
        orders.append((column, descending))
    return [*orders, (CREATION.column, orders[-1][1])]


def _time_range(query: Query, scope: Scope) -> Attribute | None:
    """Return the attribute of the creation's time if a filter compares it, in one index's order."""
    if scope.several or any(map(kinds.tells, query.filters)):
        return None
    attributes = (item.attribute for item in query.filters if isinstance(item, Comparison))
    return next((attribute for attribute in attributes if attribute.column == _TIME), None)


def _order_index(query: Query, scope: Scope) -> str:
    """Return the index that finds rows in the query's order, "" for none."""
    first = query.orders[0].attribute if query.orders else CREATION
    if first.column == CREATION.column:
        time = _time_range(query, scope)
        return time.index if time else scope.index
    if len(query.orders) > 1 or scope.several or first.index in kinds.INDEXES:
        return ""
    return first.index


def _keys(orders: Orders) -> str:
    return ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column, descending in orders)


def _sequences(
    plan: Plan, parts: Sequence[Part], orders: Orders, query: Query, scope: Scope
) -> Condition:
    """Return the SELECT of the page's sequences; LIMIT and OFFSET are its last two values."""
    if not plan.in_order:
        beyond = join([part.condition for part in parts], "OR")
        found = rows("sequence", plan.sources, join([beyond, plan.where]))
        return Condition(f"{found.sql} ORDER BY {_keys(orders)} LIMIT ? OFFSET ?", found.values)
    # Each part is a range of an index, and SQLite merges them lazily; it would test an OR row by
    # row. Of two bounds of one column, SQLite seeks to the first: the cursor's is the nearer one.
    # By a filter of a column that has one value in the part it would seek as well.
    columns = ", ".join(column for column, _ in orders)
    wheres = [join([part.condition, plans.where(query, scope, part.fixed)]) for part in parts]
    if len(parts) == len(plan.sources) == 1:
        found = rows("sequence", plan.sources, wheres[0])
        return Condition(f"{found.sql} ORDER BY {_keys(orders)} LIMIT ? OFFSET ?", found.values)
    selects = [rows(columns, plan.sources, where) for where in wheres]
    union = " UNION ALL ".join(select.sql for select in selects)
    sql = f"SELECT sequence FROM ({union} ORDER BY {_keys(orders)} LIMIT ? OFFSET ?)"
    return Condition(sql, tuple(value for select in selects for value in select.values))
