"""Kinds of executions: those of one function that are alike in every column of few values.

There are some hundreds of kinds in a million executions. A condition on such columns is tested for
each kind instead of each row, so that any conditions together find exactly their rows. The late
indexes that begin with the kind find rows of a kind in order of creation, of path or of duration.
"""

import sqlite3
from collections.abc import Iterator, Sequence

from minifn.store.queries import Combination, Comparison, Filter

#: Columns of few values, in which the executions of a kind are alike.
COLUMNS = ("status", "trigger", "request_method", "response_status_code", "deployment_id")
#: The index of the executions of each kind in order of creation.
BY_KIND = "executions_by_kind"
#: Columns by which the executions of each kind are ordered as well, and the indexes.
ORDERED = {column: f"executions_by_{column}" for column in ("request_path", "duration_seconds")}
#: All indexes that begin with the kind.
INDEXES = frozenset({BY_KIND, *ORDERED.values()})

_COLUMNS = ", ".join(("function", *COLUMNS))
#: Executions with their kinds, as they follow FROM.
_TOLD_ROWS = f"executions NOT INDEXED CROSS JOIN executions_kinds USING ({_COLUMNS})"


def index_of(column: str) -> str:
    """Return the index of the executions of each kind in order of a column, "" is creation."""
    return ORDERED[column] if column else BY_KIND


def rows(index: str) -> str:
    """Return the rows of an index with the columns of their kind, as they follow FROM."""
    return f"executions_kinds CROSS JOIN {index} USING (kind)"


def add(conn: sqlite3.Connection, after: int, through: int) -> None:
    """Add the executions between two sequences, the second one included."""
    within = "sequence > ? AND sequence <= ?"
    conn.execute(
        f"INSERT OR IGNORE INTO executions_kinds ({_COLUMNS})"
        f" SELECT DISTINCT {_COLUMNS} FROM executions NOT INDEXED WHERE {within}",
        (after, through),
    )
    conn.execute(
        f"INSERT INTO {BY_KIND} SELECT kind, sequence FROM {_TOLD_ROWS} WHERE {within}"
        " ORDER BY kind, sequence",
        (after, through),
    )


def add_ordered(conn: sqlite3.Connection, column: str, where: str, values: Sequence[int]) -> None:
    """Add executions to the index of a column. Their kinds are known."""
    conn.execute(
        f"INSERT OR IGNORE INTO {ORDERED[column]} SELECT kind, {column}, sequence"
        f" FROM {_TOLD_ROWS} WHERE {where}",
        values,
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
