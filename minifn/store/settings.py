"""Values that the server keeps between starts, by name."""

import sqlite3


def get(conn: sqlite3.Connection, name: str, default: str = "") -> str:
    """Return the value of `name`, else `default`."""
    row = conn.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return default if row is None else str(row[0])


def swap(conn: sqlite3.Connection, name: str, value: str) -> str:
    """Set `name` to `value`; return the value before, "" for none."""
    before = get(conn, name)
    if before != value:
        put(conn, name, value)
    return before


def remove(conn: sqlite3.Connection, name: str) -> None:
    """Forget the value of `name`."""
    conn.execute("DELETE FROM settings WHERE name = ?", (name,))


def put(conn: sqlite3.Connection, name: str, value: str) -> None:
    """Set `name` to `value`."""
    conn.execute(
        "INSERT INTO settings VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        (name, value),
    )
