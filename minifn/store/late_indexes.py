"""Indexes of executions that are filled behind the newest rows, thousands of rows at a time.

The entries of an index of, say, durations lie all over it: kept up with each row, they cost more
than the row itself. A table `executions_by_COLUMN` is such an index. Its rows are those of
`executions` up to the mark, a sequence; the few rows beyond the mark (the tail) are read from
`executions`. Triggers follow changes of rows that the mark has passed. `executions_by_function`
finds a function's rows in order of creation, and `executions_by_kind` those of a kind (`kinds`).
"""

import sqlite3

from minifn.store import blocks, kinds, settings
from minifn.store.conditions import ALWAYS, Condition, join
from minifn.store.kinds import BY_KIND

#: Columns with such an index of their own.
COLUMNS = ("function", "request_path", "duration_seconds", "created_at", "updated_at")
#: Rows of the tail that are worth filling in: reading that many takes a few milliseconds.
ROWS = 8_000
#: Rows of an older database that an index which it lacked gets in one step.
BEHIND_ROWS = 50_000
#: Inserted rows between two looks at the length of the tail.
LOOK_ROWS = 1_000
#: Stands for the order of the table's own rows where the name of an index is asked for.
BY_SEQUENCE = "sequence"
#: Name of the setting that holds the mark. That of an index which an older database lacked has its
#: name until it has caught up.
MARK = "executions_indexed"

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


def mark(conn: sqlite3.Connection, index: str = "") -> int:
    """Return the last sequence that an index holds."""
    behind = settings.get(conn, index) if index in _CATCH_UP else ""
    return int(behind or settings.get(conn, MARK, "0"))


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
    filled = kinds.ROWS if index == BY_KIND else index
    return [
        # CROSS keeps SQLite from reading the table first.
        (filled if keys else f"{filled} NATURAL CROSS JOIN {table}", ALWAYS),
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


def fill(conn: sqlite3.Connection, limit: int = ROWS) -> bool:
    """Fill in the next `limit` rows if the tail has that many; tell whether it had."""
    through = mark(conn)
    for index in _CATCH_UP:
        if mark(conn, index) < through:
            _catch_up(conn, index, through)
            return True
    found = conn.execute(
        "SELECT sequence FROM executions WHERE sequence > ? ORDER BY sequence LIMIT 1 OFFSET ?",
        (through, limit - 1),
    ).fetchone()
    if found is None:
        return False
    for column in COLUMNS:
        _copy(conn, column, through, found[0])
    blocks.add(conn, through, found[0])
    kinds.add(conn, through, found[0])
    settings.put(conn, MARK, str(found[0]))
    return True


def _catch_up(conn: sqlite3.Connection, index: str, through: int) -> None:
    """Give an index that an older database lacked the next rows, up to the others' mark."""
    behind = mark(conn, index)
    last = min(behind + BEHIND_ROWS, through)
    _CATCH_UP[index](conn, behind, last)
    if last < through:
        settings.put(conn, index, str(last))
    else:
        settings.remove(conn, index)


def _add_to_function(conn: sqlite3.Connection, after: int, through: int) -> None:
    _copy(conn, "function", after, through)
    blocks.add(conn, after, through)


def _copy(conn: sqlite3.Connection, column: str, after: int, through: int) -> None:
    columns = ", ".join(dict.fromkeys(("function", column, "sequence")))
    # In the order of the index, neighbours share pages.
    conn.execute(
        f"INSERT INTO {index_of(column)} SELECT {columns} FROM executions NOT INDEXED"
        f" WHERE sequence > ? AND sequence <= ? ORDER BY {columns}",
        (after, through),
    )


#: Indexes that older databases lack, and what gives them rows.
_CATCH_UP = {BY_FUNCTION: _add_to_function, BY_KIND: kinds.add}
