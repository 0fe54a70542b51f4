"""Late indexes that hold the rows that a test wants them to hold."""

import sqlite3

from minifn.store import late_indexes


def fill(conn: sqlite3.Connection, rows: int) -> int:
    """Fill every late index while its tail has `rows` rows; return the number of steps."""
    steps = 0
    while late_indexes.fill(conn, rows):
        steps += 1
    return steps


def fill_unevenly(conn: sqlite3.Connection, rows: int) -> None:
    """Fill each late index to a mark of its own: `rows` and more, that of functions to a half."""
    for more in range(len(late_indexes.COLUMNS) - 1):
        assert late_indexes.fill(conn, rows + more)
    assert late_indexes.fill(conn, rows // 2)
    marks = {late_indexes.mark(conn, late_indexes.index_of(one)) for one in late_indexes.COLUMNS}
    assert len(marks) == len(late_indexes.COLUMNS)
