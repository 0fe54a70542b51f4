"""Steps that fill the late indexes. Each is one transaction of about a millisecond.

A step gives one index its next rows. An index of many values would change a page for nearly each
row, so it gets more rows at a time, in slices: those of neighbouring values together, so that a
page is written once. Which rows a slice has is noted in a temporary table; what it fills in is read
when it is filled, and triggers follow changes from then on. If the process is killed between two
slices, the rows are filled again: those beyond the mark do not count.
"""

import sqlite3

from minifn.store import blocks, kinds, paths, settings
from minifn.store.late_indexes import COLUMNS, index_of, mark

#: Rows that an index gets at a time. A tail is worth it when it has as many.
ROWS = 4_000
#: The same for columns of many values, and for the kinds, which are noted first.
ROWS_OF = {"duration_seconds": 8_000, "request_path": 8_000, "kind": 2_000}
#: Rows whose kinds are noted at a time when an index has them already.
NOTED_ROWS = 2_000
#: Rows of a slice.
SLICE_ROWS = 500
#: Inserted rows between two looks at the tails, and most steps after one.
LOOK_ROWS, LOOK_STEPS = 300, 4
#: Rows that tell whether values are scattered: more than half of them differ.
SAMPLE_ROWS = 256
_TABLE = """
CREATE TEMP TABLE IF NOT EXISTS filling (
    position INTEGER PRIMARY KEY,
    column TEXT NOT NULL,
    through INTEGER NOT NULL,
    sequence INTEGER NOT NULL
)
"""


def fill(conn: sqlite3.Connection, limit: int | None = None) -> bool:
    """Do the next step; tell whether there was one. `limit` stands for the rows of all indexes."""
    conn.execute(_TABLE)
    return _fill_slice(conn) or _begin(conn, limit)


def _begin(conn: sqlite3.Connection, limit: int | None) -> bool:
    """Fill the index that is furthest behind, or note its slices; tell whether one is due."""
    marks = {column: mark(conn, index_of(column)) for column in COLUMNS}
    (newest,) = conn.execute("SELECT coalesce(max(sequence), 0) FROM executions").fetchone()
    # `blocks` ask the index of kinds about the rows up to the mark of the functions, and lists ask
    # the blocks about the rows of the other indexes that begin with the kind.
    ends = {"function": marks["kind"], **dict.fromkeys(kinds.ORDERED, marks["function"])}
    due = [
        (after, column, after + rows)
        for column, after in marks.items()
        if after + (rows := limit or ROWS_OF.get(column, ROWS)) <= ends.get(column, newest)
    ]
    if not due:
        return False
    after, column, through = min(due, key=lambda one: one[0])
    if column == "kind":
        # In the step that adds them: triggers follow the changes of rows that the index has.
        kinds.note(conn, after, through, through - after)
    elif column in kinds.ORDERED and kinds.note(conn, after, through, NOTED_ROWS):
        # The process has begun since the index of kinds got them.
        return True
    if column in kinds.ORDERED and _is_scattered(conn, column, after):
        conn.execute(
            f"INSERT INTO filling (column, through, sequence) SELECT ?, ?, sequence"
            f" FROM {kinds.NOTED_ROWS} WHERE sequence > ? AND sequence <= ?"
            f" ORDER BY kind, {column}",
            (column, through, after, through),
        )
        return True
    # Not sorted: pages are written when the step ends, and most rows lie next to the one before.
    _add(conn, column, "sequence > ? AND sequence <= ?", after, through)
    if column == "function":
        blocks.add(conn, after, through)
    _end(conn, column, through)
    return True


def _end(conn: sqlite3.Connection, column: str, through: int) -> None:
    """Note that an index has its rows."""
    settings.put(conn, index_of(column), str(through))
    if column in kinds.ORDERED:
        kinds.forget(conn, min(mark(conn, index) for index in kinds.ORDERED.values()))


def _is_scattered(conn: sqlite3.Connection, column: str, after: int) -> bool:
    """Tell whether the values after a sequence lie all over their index."""
    rows, values = conn.execute(
        f"SELECT count(*), count(DISTINCT function || ' ' || {column}) FROM (SELECT function,"
        f" {column} FROM executions NOT INDEXED WHERE sequence > ? ORDER BY sequence LIMIT ?)",
        (after, SAMPLE_ROWS),
    ).fetchone()
    return bool(values * 2 > rows)


def _fill_slice(conn: sqlite3.Connection) -> bool:
    """Fill the next slice that is noted; tell whether there was one."""
    noted = conn.execute("SELECT position, column, through FROM filling LIMIT 1").fetchone()
    if noted is None:
        return False
    first, column, through = noted
    last = first + SLICE_ROWS - 1
    _add(conn, column, "sequence IN (SELECT sequence FROM filling WHERE position <= ?)", last)
    conn.execute("DELETE FROM filling WHERE position <= ?", (last,))
    if conn.execute("SELECT 1 FROM filling LIMIT 1").fetchone() is None:
        _end(conn, column, through)
    return True


def _add(conn: sqlite3.Connection, column: str, where: str, *values: int) -> None:
    if index_of(column) in kinds.INDEXES:
        if column == paths.COLUMN:
            paths.add(conn, where, values)
        kinds.add(conn, "" if column == "kind" else column, where, values)
        return
    columns = ", ".join(dict.fromkeys(("function", column, "sequence")))
    conn.execute(
        f"INSERT OR IGNORE INTO {index_of(column)} SELECT {columns} FROM executions NOT INDEXED"
        f" WHERE {where}",
        values,
    )
