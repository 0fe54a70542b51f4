"""Deletion of old executions and of those of deleted functions, in batches."""

import sqlite3

from minifn.store import late_indexes, usage
from minifn.store.conditions import Condition


def delete_older(conn: sqlite3.Connection, before: int, limit: int) -> int:
    """Delete up to `limit` finished executions created before the instant `before`.

    Return the count. Rows lie in order of creation, so the oldest are read without an index. One
    more is read for each unfinished execution, because those can stay among the oldest for long.
    """
    rows = conn.execute(
        "SELECT sequence FROM (SELECT sequence, created_at, status FROM executions"
        "  ORDER BY sequence LIMIT ? + (SELECT count(*) FROM execution_requests))"
        " WHERE created_at < ? AND status IN ('completed', 'failed') LIMIT ?",
        (limit, before, limit),
    )
    return _delete_counted(conn, [row[0] for row in rows])


def beyond(conn: sqlite3.Connection, keep: int) -> list[tuple[int, int]]:
    """Return the functions with more than `keep` executions, each with its newest surplus one.

    Both are sequences, of `functions` and of `executions`.
    """
    mark = late_indexes.mark(conn, late_indexes.BY_FUNCTION)
    # Rows that the index lacks are counted once for all functions.
    tail = dict(
        conn.execute(
            "SELECT function, count(*) FROM executions NOT INDEXED WHERE sequence > ?"
            " GROUP BY function",
            (mark,),
        )
    )
    newer = (
        "SELECT sequence FROM executions NOT INDEXED WHERE function = ? AND sequence > ?"
        " ORDER BY sequence DESC LIMIT 1 OFFSET ?"
    )
    older = (
        f"SELECT sequence FROM {late_indexes.BY_FUNCTION} WHERE function = ? AND sequence <= ?"
        " ORDER BY sequence DESC LIMIT 1 OFFSET ?"
    )
    found = []
    for (function,) in conn.execute("SELECT sequence FROM functions").fetchall():
        count = tail.get(function, 0)
        sql, skip = (newer, keep) if count > keep else (older, keep - count)
        if row := conn.execute(sql, (function, mark, skip)).fetchone():
            found.append((function, row[0]))
    return found


def delete_through(conn: sqlite3.Connection, function: int, last: int, limit: int) -> int:
    """Delete up to `limit` finished executions of a function up to the sequence `last`.

    Return the count.
    """
    ended = Condition(
        "function = ? AND sequence <= ? AND status IN ('completed', 'failed')", (function, last)
    )
    sources = late_indexes.sources(conn, "executions", late_indexes.BY_FUNCTION)
    found = late_indexes.rows("sequence", sources, ended)
    rows = conn.execute(f"{found.sql} ORDER BY sequence LIMIT ?", (*found.values, limit))
    return _delete_counted(conn, [row[0] for row in rows])


def _delete_counted(conn: sqlite3.Connection, sequences: list[int]) -> int:
    """Delete executions after counting their usage; return the count."""
    if sequences:
        usage.count_through(conn, max(sequences))
        conn.executemany(
            "DELETE FROM executions WHERE sequence = ?", [(sequence,) for sequence in sequences]
        )
    return len(sequences)


def purge(conn: sqlite3.Connection, limit: int) -> int:
    """Delete up to `limit` executions of deleted functions; return the count."""
    deleted = 0
    while deleted < limit and (
        row := conn.execute("SELECT sequence FROM deleted_functions LIMIT 1").fetchone()
    ):
        deleted += conn.execute(
            "DELETE FROM executions WHERE sequence IN"
            " (SELECT sequence FROM executions WHERE function = ? LIMIT ?)",
            (row[0], limit - deleted),
        ).rowcount
        if deleted < limit:
            conn.execute("DELETE FROM deleted_functions WHERE sequence = ?", row)
    return deleted
