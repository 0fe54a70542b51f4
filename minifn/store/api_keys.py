"""API keys; only the hash of a secret is stored."""

import sqlite3

from minifn.errors import KeyAlreadyExists
from minifn.models import ApiKey
from minifn.store.paging import Page, page as list_page
from minifn.store.queries import Query
from minifn.store.table import Table

TABLE = Table("api_keys", ApiKey)


def insert(conn: sqlite3.Connection, key: ApiKey) -> ApiKey:
    """Insert and return `key` with its sequence. Raises KeyAlreadyExists."""
    if get(conn, key.id) is not None:
        raise KeyAlreadyExists
    return TABLE.insert(conn, key)


def get(conn: sqlite3.Connection, key_id: str) -> ApiKey | None:
    """Return one key."""
    return TABLE.first(conn, "id = ?", key_id)


def update(conn: sqlite3.Connection, key: ApiKey) -> bool:
    """Overwrite a key's row; return False if it does not exist."""
    return TABLE.update(conn, key)


def page(conn: sqlite3.Connection, query: Query, *, count: bool = True) -> Page[ApiKey]:
    """Return a page of the keys."""
    return list_page(conn, TABLE, query, count=count)


def by_hash(conn: sqlite3.Connection, secret_hash: str) -> ApiKey | None:
    """Return the key whose secret has this SHA-256 (hex)."""
    return TABLE.first(conn, "secret_hash = ?", secret_hash)


def every(conn: sqlite3.Connection) -> list[ApiKey]:
    """Return all keys in order of creation."""
    return TABLE.all(conn, "1 ORDER BY sequence")


def touch(conn: sqlite3.Connection, key_id: str, now: int) -> None:
    """Note that a key was used."""
    conn.execute("UPDATE api_keys SET accessed_at = ? WHERE id = ?", (now, key_id))


def delete(conn: sqlite3.Connection, key_id: str) -> bool:
    """Delete one key; return False if it does not exist."""
    return conn.execute("DELETE FROM api_keys WHERE id = ?", (key_id,)).rowcount > 0
