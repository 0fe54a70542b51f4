"""Small facts the server remembers between starts, by name."""

import sqlite3


def get(conn: sqlite3.Connection, name: str, default: str = "") -> str:
    """Return the value kept under `name`, else `default`."""
    row = conn.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return default if row is None else str(row[0])


def swap(conn: sqlite3.Connection, name: str, value: str) -> str:
    """Keep `value` under `name` and return what was kept there before, "" for nothing."""
    before = get(conn, name)
    if before != value:
        put(conn, name, value)
    return before


def put(conn: sqlite3.Connection, name: str, value: str) -> None:
    """Keep `value` under `name`."""
    conn.execute(
        "INSERT INTO settings VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        (name, value),
    )
