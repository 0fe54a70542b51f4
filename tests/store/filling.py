"""Late indexes that hold the rows that a test wants them to hold."""

import sqlite3

from minifn.store import filling, late_indexes


def marks(conn: sqlite3.Connection) -> list[int]:
    """Return the mark of each late index."""
    return [late_indexes.mark(conn, late_indexes.index_of(one)) for one in late_indexes.COLUMNS]


def fill(conn: sqlite3.Connection, rows: int) -> int:
    """Fill every late index while its tail has `rows` rows; return the number of steps."""
    steps = 0
    while filling.fill(conn, rows):
        steps += 1
    return steps


def fill_unevenly(conn: sqlite3.Connection, rows: int) -> None:
    """Fill each late index to a mark of its own: `rows` and more, that of functions to a half, and
    those that lists read by blocks of functions to less.
    """
    half, less = rows // 2, rows // 4
    for limit in (rows, rows + 1, rows + 2, half, less, less + 1):
        before = marks(conn)
        while marks(conn) == before:
            assert filling.fill(conn, limit)
    assert sorted(marks(conn)) == [less, less + 1, half, rows, rows + 1, rows + 2]
