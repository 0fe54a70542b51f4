"""Indexes of executions that are filled behind the newest rows, thousands of rows at a time.

The entries of an index of, say, durations lie all over it: kept up with each row, they cost more
than the row itself. A table `executions_by_COLUMN` is such an index. Its rows are those of
`executions` up to its mark, a sequence; the few rows beyond the mark (the tail) are read from
`executions`. Triggers follow changes of rows that the mark has passed. `executions_by_function`
finds a function's rows in order of creation.

Each index has a mark of its own, and a step fills one index: other writes wait for a millisecond.
The mark is the setting with the index's name.
"""

import sqlite3

from minifn.store import blocks, settings
from minifn.store.conditions import ALWAYS, Condition, join

#: Columns with such an index.
COLUMNS = (
    *("status", "trigger", "response_status_code", "request_method", "request_path"),
    *("deployment_id", "duration_seconds", "created_at", "updated_at", "function"),
)
#: Rows of one step, which are also those of the tail that are worth a step.
ROWS = 4_000
#: The same for columns of many values: each page of their index that a step changes is written.
ROWS_OF = {"duration_seconds": 8_000, "request_path": 8_000}
#: Inserted rows between two steps. In ROWS rows there is a step for each index, and some are left
#: to count the usage.
STEP_ROWS = 300
#: Stands for the order of the table's own rows where the name of an index is asked for.
BY_SEQUENCE = "sequence"

_PREFIX = "executions_by_"
#: The index of the order of creation within a function.
BY_FUNCTION = f"{_PREFIX}function"
#: A source of rows, as it follows FROM, and the condition of those that count.
Source = tuple[str, Condition]


def index_of(column: str) -> str:
    """Return the index of a column of executions, late or not."""
    return f"{_PREFIX if column in COLUMNS else 'executions_'}{column}"


def is_late(index: str) -> bool:
    """Tell whether an index is filled late."""
    return index.startswith(_PREFIX)


def mark(conn: sqlite3.Connection, index: str) -> int:
    """Return the last sequence that a late index holds."""
    return int(settings.get(conn, index, "0"))


def sources(
    conn: sqlite3.Connection, table: str, index: str, *, keys: bool = False
) -> list[Source]:
    """Return the sources of a table's rows by way of an index; "" is none.

    With `keys`, only the function, the index's column and the sequence are read. Unqualified names
    of these columns mean the index's.
    """
    if not index:
        return [(table, ALWAYS)]
    if index == BY_SEQUENCE:
        return [(f"{table} NOT INDEXED", ALWAYS)]
    if not is_late(index):
        return [(f"{table} INDEXED BY {index}", ALWAYS)]
    tail = Condition("sequence > ?", (mark(conn, index),))
    return [
        # CROSS keeps SQLite from reading the table first.
        (index if keys else f"{index} NATURAL CROSS JOIN {table}", ALWAYS),
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


def fill(conn: sqlite3.Connection, limit: int | None = None) -> bool:
    """Fill the next rows into the index that is furthest behind; tell whether one was worth it.

    `limit` stands for the rows of a step of every index.
    """
    marks = {column: mark(conn, index_of(column)) for column in COLUMNS}
    (newest,) = conn.execute("SELECT coalesce(max(sequence), 0) FROM executions").fetchone()
    # `blocks` ask the indexes of few values about the rows up to the mark of the functions.
    ends = {"function": min(marks[column] for column in blocks.OF_FEW_VALUES)}
    due = [
        (after, column, after + rows)
        for column, after in marks.items()
        if after + (rows := limit or ROWS_OF.get(column, ROWS)) <= ends.get(column, newest)
    ]
    if not due:
        return False
    after, column, through = min(due, key=lambda one: one[0])
    _copy(conn, column, after, through)
    if column == "function":
        blocks.add(conn, after, through)
    settings.put(conn, index_of(column), str(through))
    return True


def _copy(conn: sqlite3.Connection, column: str, after: int, through: int) -> None:
    columns = ", ".join(dict.fromkeys(("function", column, "sequence")))
    # Not sorted: pages are written at the end, each once, and most values come again and again.
    conn.execute(
        f"INSERT INTO {index_of(column)} SELECT {columns} FROM executions NOT INDEXED"
        " WHERE sequence > ? AND sequence <= ?",
        (after, through),
    )
