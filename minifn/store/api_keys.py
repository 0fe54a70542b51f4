"""API keys; only the hash of a secret is stored."""

import sqlite3

from minifn.models import ApiKey
from minifn.store.table import Table

TABLE = Table("api_keys", ApiKey)


def insert(conn: sqlite3.Connection, key: ApiKey) -> ApiKey:
    """Insert and return `key` with its sequence."""
    return TABLE.insert(conn, key)


def by_hash(conn: sqlite3.Connection, secret_hash: str) -> ApiKey | None:
    """Return the key whose secret has this SHA-256 (hex)."""
    return TABLE.first(conn, "secret_hash = ?", secret_hash)


def every(conn: sqlite3.Connection) -> list[ApiKey]:
    """Return all keys in order of creation."""
    return TABLE.all(conn, "1 ORDER BY sequence")


def delete(conn: sqlite3.Connection, key_id: str) -> bool:
    """Delete one key; tell whether it was there."""
    return conn.execute("DELETE FROM api_keys WHERE id = ?", (key_id,)).rowcount > 0
