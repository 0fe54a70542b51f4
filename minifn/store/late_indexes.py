"""Indexes of executions that hold all but the newest rows; `filling` fills them.

The entries of an index of, say, durations lie all over it: kept up with each row, they cost more
than the row itself. A table `executions_by_COLUMN` is such an index. Its rows are those of
`executions` up to its mark, a sequence; the few rows beyond the mark (the tail) are read from
`executions`. Triggers follow changes of rows that the mark has passed. `executions_by_function`
finds a function's rows in order of creation. Others find those of a kind (`kinds`).

Each index has a mark of its own, the setting with the index's name. While rows beyond the mark are
filled in, an index may hold some of them: they do not count.
"""

import sqlite3

from minifn.store import kinds, settings
from minifn.store.conditions import ALWAYS, Condition, join
from minifn.store.kinds import BY_KIND

#: Columns with such an index.
COLUMNS = ("kind", "function", "created_at", "updated_at", *kinds.ORDERED)
#: Stands for the order of the table's own rows where the name of an index is asked for.
BY_SEQUENCE = "sequence"

_PREFIX = "executions_by_"
#: The index of the order of creation within a function.
BY_FUNCTION = f"{_PREFIX}function"
#: A source of rows, as it follows FROM, and the condition of those that count.
Source = tuple[str, Condition]


def index_of(column: str) -> str:
    """Return the index of a column of executions, late or not."""
    if column in kinds.COLUMNS:
        return BY_KIND
    return f"{_PREFIX if column in COLUMNS else 'executions_'}{column}"


def is_late(index: str) -> bool:
    """Tell whether an index is filled late."""
    return index.startswith(_PREFIX)


def mark(conn: sqlite3.Connection, index: str) -> int:
    """Return the last sequence that a late index holds."""
    return int(settings.get(conn, index, "0"))


def held(conn: sqlite3.Connection, index: str) -> Condition:
    """Return the condition of the rows of a late index that count."""
    # SQLite does not seek by it: a cursor's bound is nearer.
    return Condition("+sequence <= ?", (mark(conn, index),))


def sources(
    conn: sqlite3.Connection, table: str, index: str, *, keys: bool = False
) -> list[Source]:
    """Return the sources of a table's rows by way of an index; "" is none.

    With `keys`, only the function, the index's columns and the sequence are read. Unqualified names
    of these columns mean the index's.
    """
    if not index:
        return [(table, ALWAYS)]
    if index == BY_SEQUENCE:
        return [(f"{table} NOT INDEXED", ALWAYS)]
    if not is_late(index):
        return [(f"{table} INDEXED BY {index}", ALWAYS)]
    tail = Condition("sequence > ?", (mark(conn, index),))
    filled = kinds.rows(index) if index in kinds.INDEXES else index
    return [
        # CROSS keeps SQLite from reading the table first.
        (filled if keys else f"{filled} NATURAL CROSS JOIN {table}", held(conn, index)),
        (f"{table} NOT INDEXED", tail),
    ]


def rows(columns: str, found: list[Source], where: Condition) -> Condition:
    """Return the SELECT of rows of all sources that match."""
    # The first bound of a sequence is the one that SQLite seeks to: that of the tail.
    parts = [(source, join([of_source, where])) for source, of_source in found]
    return Condition(
        " UNION ALL ".join(
            f"SELECT {columns} FROM {source} WHERE {all.sql}" for source, all in parts
        ),
        tuple(value for _, all in parts for value in all.values),
    )
