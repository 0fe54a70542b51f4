"""Plans of a page of a long table.

SQLite has no statistics and would guess, so each filter that an index can serve is counted. A
filter that leaves few rows (FEW) drives the query, and its rows are sorted. Without such a filter
matches are frequent, and a page is found soon by reading in the list's order.

In such a walk, `blocks` leave out rows that a filter excludes, and `kind_order` reads only rows for
which all filters of columns of few values hold. A page of a million rows then takes milliseconds.
These take longer, up to three microseconds for each row of the function: parts of `id` (CONTAINS,
ENDS_WITH), which no index finds, and those of `request_path` that too many `paths` have; and all
functions in order of a time with filters whose rows lie together.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from minifn.store import kinds
from minifn.store.conditions import ALWAYS, Condition, condition, exists, join, range_parts
from minifn.store.kinds import BY_KIND
from minifn.store.late_indexes import Source, rows, sources
from minifn.store.queries import Combination, Comparison, Filter, Method, Query

#: Rows that are fetched and sorted in a few milliseconds.
FEW = 3000
#: Largest total of a list: Appwrite counts no further (`APP_LIMIT_COUNT`).
TOTAL_MAX = 5000
#: Comparisons that hold for one range of values.
_RANGES = frozenset(
    {
        Method.LESS_THAN,
        Method.LESS_THAN_EQUAL,
        Method.GREATER_THAN,
        Method.GREATER_THAN_EQUAL,
        Method.BETWEEN,
        Method.STARTS_WITH,
    }
)

#: (column, whether it descends), most important first.
Orders = list[tuple[str, bool]]


@dataclass(frozen=True)
class Scope:
    """The rows of a list before the client's query.

    In a long table `prefix` fixes the first columns of every index, and `index` serves the whole
    `condition` in order of creation. Without an `index` the table is short and SQLite plans alone.
    When `prefix` allows `several` values, the indexes still find rows, but in no order.
    """

    condition: Condition = ALWAYS
    prefix: Condition = ALWAYS
    index: str = ""
    several: bool = False


@dataclass(frozen=True)
class Candidate:
    """A SELECT of sequences that could drive a query, and its rows, counted up to TOTAL_MAX."""

    select: Condition
    rows: int
    #: The index it uses, "" when it uses several.
    index: str
    #: It finds rows in order of creation: one value of the index's column.
    ordered: bool = False
    #: It finds exactly the rows of the list, each once.
    exact: bool = False
    #: It finds one range of the index.
    contiguous: bool = False


@dataclass(frozen=True)
class Plan:
    """A way to read: rows of all sources are tested by `where`.

    With `in_order`, the rows of each source come in the order of the list.
    """

    sources: list[Source]
    where: Condition
    in_order: bool = False
    #: Rows match so often that a page is found soon by reading in the list's order.
    walks: bool = False


def candidates(conn: sqlite3.Connection, table: str, query: Query, scope: Scope) -> list[Candidate]:
    """Return the candidates to drive the query, fewest rows first; none for a short table."""
    if not scope.index:
        return []
    found = [
        candidate
        for item in query.filters
        if (candidate := _of_filter(conn, table, item, query.filters, scope)) is not None
    ]
    select = _select(conn, table, [(scope.index, scope.condition)])
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


def _of_filter(
    conn: sqlite3.Connection,
    table: str,
    item: Filter,
    filters: Sequence[Filter],
    scope: Scope,
) -> Candidate | None:
    """Return the candidate of one filter, None when no index serves it."""
    is_told = kinds.tells(item)
    parts = [(BY_KIND, condition(item))] if is_told else range_parts(item)
    if not parts:
        return None
    indexes = {index for index, _ in parts}
    # An index that begins with the kind answers filters of kinds along, and those of its column.
    known = [] if isinstance(item, Combination) and not is_told else [item]
    if indexes <= kinds.INDEXES:
        known += [
            one for one in filters if one is not item and (kinds.tells(one) or _is_of(one, indexes))
        ]
    along = [condition(one) for one in known if one is not item]
    in_scope = [(index, join([scope.prefix, part, *along])) for index, part in parts]
    select = _select(conn, table, in_scope)
    single = isinstance(item, Comparison) and item.method is Method.EQUAL and len(item.values) == 1
    in_range = isinstance(item, Comparison) and item.method in _RANGES and len(parts) == 1
    # An index in which rows of one value are in order of creation.
    of_values = not scope.several and not indexes & kinds.INDEXES
    return Candidate(
        select=select,
        rows=_count(conn, select),
        index=indexes.pop() if len(indexes) == 1 else "",
        ordered=single and of_values,
        exact=len(known) == len(filters) and scope.condition == scope.prefix,
        contiguous=(single or in_range) and of_values,
    )


def _is_of(item: Filter, indexes: Collection[str]) -> bool:
    """Tell whether a filter compares the column of an index, the only one."""
    return isinstance(item, Comparison) and {item.attribute.index} == indexes


def _select(
    conn: sqlite3.Connection, table: str, parts: Sequence[tuple[str, Condition]]
) -> Condition:
    selects = [
        rows("sequence", sources(conn, table, index, keys=True), part) for index, part in parts
    ]
    return Condition(
        " UNION ALL ".join(select.sql for select in selects),
        tuple(value for select in selects for value in select.values),
    )


def _count(conn: sqlite3.Connection, select: Condition) -> int:
    sql = f"SELECT count(*) FROM (SELECT 1 FROM ({select.sql}) LIMIT {TOTAL_MAX})"
    return int(conn.execute(sql, select.values).fetchone()[0])


def tested(table: str, sequence: str, matches: Condition) -> Condition:
    """Return the condition that the row of a sequence matches."""
    rows = f"{table} WHERE {table}.sequence = {sequence} AND ({matches.sql})"
    return Condition(exists(rows), matches.values)


def where(query: Query, scope: Scope, unsought: Collection[str] = ()) -> Condition:
    """Return the condition of the whole list, without the cursor of a page.

    SQLite does not seek by filters of the columns that are `unsought`.
    """
    return join([scope.condition, *(condition(item, unsought) for item in query.filters)])


def for_page(
    conn: sqlite3.Connection,
    table: str,
    matches: Condition,
    orders: Orders,
    found: list[Candidate],
    order_index: str,
) -> Plan:
    """Plan a page of the rows that match. `order_index` finds rows in order; "" when none does."""
    if not found:
        return Plan([(table, ALWAYS)], matches)
    best = found[0]
    if best.contiguous and best.index == order_index:
        found_in_order = sources(conn, table, order_index)
        return Plan(found_in_order, matches, in_order=True, walks=not best.exact)
    scattered = is_scattered(orders)
    may_miss = len(found) > 2 or scattered
    if best.rows <= FEW or (may_miss and not (best.exact and scattered) and best.rows < TOTAL_MAX):
        # With several filters more rows may drive, because few may match all of them. So they may
        # when the order could have all of them at its end.
        return driven(table, matches, best.select)
    if len(orders) == 1:
        order_index = next(candidate.index for candidate in found if candidate.ordered)
    return Plan(sources(conn, table, order_index), matches, in_order=bool(order_index), walks=True)


def is_scattered(orders: Orders) -> bool:
    """Tell whether an order begins with a column that has nothing to do with creation."""
    return orders[0][0] in kinds.ORDERED


def for_count(
    conn: sqlite3.Connection,
    table: str,
    matches: Condition,
    found: list[Candidate],
) -> Plan | int:
    """Plan the count of the rows that match, or return the count if a candidate has it."""
    if not found:
        return Plan([(table, ALWAYS)], matches)
    best = found[0]
    for candidate in found:
        if candidate.exact:
            return candidate.rows
    if best.rows <= FEW:
        return driven(table, matches, best.select)
    return Plan(sources(conn, table, best.index), matches, walks=True)


def driven(table: str, matches: Condition, sequences: Condition) -> Plan:
    """Return the plan to fetch the rows of a SELECT of sequences."""
    # NOT INDEXED leaves the look-up by sequence: SQLite may read a whole index and test each row.
    select = Condition(f"sequence IN ({sequences.sql})", sequences.values)
    return Plan([(f"{table} NOT INDEXED", ALWAYS)], join([select, matches]))


def known(table: str, sequences: Sequence[int]) -> Plan:
    """Return the plan to fetch the rows of sequences, all of which match."""
    given = Condition("sequence IN (SELECT value FROM json_each(?))", (json.dumps(sequences),))
    return Plan([(f"{table} NOT INDEXED", ALWAYS)], given)
