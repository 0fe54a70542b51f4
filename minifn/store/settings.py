"""Small facts the server remembers between starts, by name."""

import sqlite3


def get(conn: sqlite3.Connection, name: str, default: str = "") -> str:
    """Return the value kept under `name`, else `default`."""
    row = conn.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return default if row is None else str(row[0])


def put(conn: sqlite3.Connection, name: str, value: str) -> None:
    """Keep `value` under `name`."""
    conn.execute("INSERT INTO settings VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (name, value))
