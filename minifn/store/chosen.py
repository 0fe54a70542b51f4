"""The kinds of executions whose rows may match a list, as the late indexes tell.

A kind is left out when a filter of the kinds' own columns does not hold for it, and when the index
of another column has no row of it for which the filters of that column hold.
"""

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from minifn.store import kinds
from minifn.store.conditions import Condition, condition, exists, join, range_parts
from minifn.store.kinds import BY_KIND
from minifn.store.late_indexes import mark
from minifn.store.queries import PARTS_OF_TEXTS, Comparison, Filter, Method, Query, Value

#: Most values of a column that are each looked for in each kind.
VALUES_MAX = 8
#: Comparisons that an index answers by reading each entry.
_EACH_ENTRY = PARTS_OF_TEXTS | {Method.IS_NULL, Method.IS_NOT_NULL}


@dataclass(frozen=True)
class Chosen:
    """A condition of the kinds of all rows that match, up to a sequence.

    Each of these rows has one of the `values` in `column`, "" without such a column.
    """

    kinds: Condition
    through: int
    #: A filter chooses among the kinds of the scope.
    is_told: bool = False
    column: str = ""
    values: tuple[Value, ...] = ()

    @property
    def index(self) -> str:
        """The index of rows in order of creation within a kind, and within a value."""
        return kinds.index_of(self.column)


def choose(conn: sqlite3.Connection, query: Query, prefix: Condition) -> Chosen:
    """Return the kinds whose rows may match, within a scope's prefix."""
    compared = {
        column: found
        for column in kinds.ORDERED
        if (found := [item for item in query.filters if _is_sought(item, column)])
    }
    ordered = [order.attribute.column for order in query.orders]
    marks = [
        mark(conn, index)
        for column, index in kinds.ORDERED.items()
        if column in ordered or any(compares(item, column) for item in query.filters)
    ]
    told = [item for item in query.filters if kinds.tells(item)]
    return Chosen(
        join(
            [
                prefix,
                *map(condition, told),
                *(_has_rows(column, items) for column, items in compared.items()),
            ]
        ),
        min([mark(conn, BY_KIND), *marks]),
        bool(told or compared),
        *_values(compared),
    )


def of_column(filters: Sequence[Filter], column: str, unsought: Collection[str] = ()) -> Condition:
    """Return the condition of the filters that compare a column."""
    return join([condition(item, unsought) for item in filters if compares(item, column)])


def compares(item: Filter, column: str) -> bool:
    """Tell whether a filter is a comparison of a column."""
    return isinstance(item, Comparison) and item.attribute.column == column


def _is_sought(item: Filter, column: str) -> bool:
    """Tell whether a filter compares a column in a way that its index answers by ranges."""
    return (
        isinstance(item, Comparison)
        and item.attribute.column == column
        and item.method not in _EACH_ENTRY
    )


def _has_rows(column: str, items: Sequence[Filter]) -> Condition:
    """Return the condition that a kind has rows for which comparisons of a column hold."""
    first, *others = items
    tests = [
        Condition(
            exists(f"{index} WHERE {index}.kind = executions_kinds.kind AND {found.sql}"),
            found.values,
        )
        for index, part in range_parts(first)
        for found in [join([part, *map(condition, others)])]
    ]
    return join(tests, "OR")


def _values(compared: dict[str, list[Filter]]) -> tuple[str, tuple[Value, ...]]:
    """Return the column that a filter compares with a few values, and these."""
    for column, items in compared.items():
        for item in items:
            assert isinstance(item, Comparison)
            values = tuple(dict.fromkeys(item.values))
            if item.method is Method.EQUAL and 0 < len(values) <= VALUES_MAX:
                return column, values
    return "", ()
