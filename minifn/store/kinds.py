"""Kinds of executions: those of one function that are alike in every column of few values.

There are some dozens of kinds in a million executions. A condition on such columns is tested for
each kind instead of each row, so that any conditions together find exactly their rows.
`executions_by_kind` is a late index: `filling` fills it, and triggers follow changes.
"""

import sqlite3
from collections.abc import Iterator, Sequence

from minifn.store.conditions import Condition, condition, join
from minifn.store.queries import Combination, Comparison, Filter

#: Columns of few values, in which the executions of a kind are alike.
COLUMNS = ("status", "trigger", "request_method", "response_status_code", "deployment_id")
#: The index of the executions of each kind in order of creation.
BY_KIND = "executions_by_kind"
#: The rows of the index with the columns of their kind, as they follow FROM.
ROWS = f"executions_kinds CROSS JOIN {BY_KIND} USING (kind)"

_COLUMNS = ", ".join(("function", *COLUMNS))


def add(conn: sqlite3.Connection, after: int, through: int) -> None:
    """Add the executions between two sequences, the second one included."""
    within = "WHERE sequence > ? AND sequence <= ?"
    conn.execute(
        f"INSERT OR IGNORE INTO executions_kinds ({_COLUMNS})"
        f" SELECT DISTINCT {_COLUMNS} FROM executions NOT INDEXED {within}",
        (after, through),
    )
    conn.execute(
        f"INSERT INTO {BY_KIND} SELECT kind, sequence FROM executions NOT INDEXED"
        f" CROSS JOIN executions_kinds USING ({_COLUMNS}) {within} ORDER BY kind, sequence",
        (after, through),
    )


def tells(item: Filter) -> bool:
    """Tell whether a filter holds for all executions of a kind or for none."""
    return all(one.attribute.index == BY_KIND for one in _comparisons(item))


def _comparisons(item: Filter) -> Iterator[Comparison]:
    if isinstance(item, Comparison):
        yield item
    else:
        for inner in item.filters:
            yield from _comparisons(inner)


def together(filters: tuple[Filter, ...]) -> tuple[Filter, ...]:
    """Return the filters with those that kinds tell as one."""
    told = tuple(item for item in filters if tells(item))
    if len(told) < 2:
        return filters
    return (*(item for item in filters if item not in told), Combination("and", told))


def told(prefix: Condition, filters: Sequence[Filter]) -> Condition:
    """Return the condition of the kinds for which a scope's prefix and the filters hold."""
    return join([prefix, *(condition(item) for item in filters if tells(item))])
