"""Connections to the SQLite file, and the care of the file itself."""

import sqlite3
from pathlib import Path

from minifn.store.cipher import VariableCipher, equip
from minifn.store.search import matches_words

#: SQLite's errors for a disk that is full, broken or read-only, and for a locked file.
PASSING_ERRORS = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
    }
)

#: Seconds that a connection waits for a file that another process holds.
BUSY_SECONDS = 10


def may_pass(error: BaseException) -> bool:
    """Tell whether a write failed because of the machine, so that it may succeed later."""
    # The lower byte is the kind of error, the others are its details.
    return (
        isinstance(error, sqlite3.Error)
        and getattr(error, "sqlite_errorcode", 0) & 0xFF in PASSING_ERRORS
    )


def trace_of(error: BaseException) -> BaseException | None:
    """Return what the log shows of an error besides its message: nothing for one that may pass."""
    return None if may_pass(error) else error


def is_held(error: BaseException) -> bool:
    """Tell whether another process held the file."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def connect(
    path: Path, *, readonly: bool = False, cipher: VariableCipher | None = None
) -> sqlite3.Connection:
    """Return a connection with minifn's settings; transactions are explicit.

    Without a `cipher` it can neither read nor write variables. Raises sqlite3.Error.
    """
    conn = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
        timeout=BUSY_SECONDS,
    )
    conn.execute("PRAGMA foreign_keys = ON")
    # Committed writes survive a loss of power. Under load one flush of the disk serves many writes.
    conn.execute("PRAGMA synchronous = FULL")
    conn.execute("PRAGMA wal_autocheckpoint = 0")
    conn.execute("PRAGMA cache_size = -4096")
    conn.execute("PRAGMA temp_store = MEMORY")
    if readonly:
        conn.execute("PRAGMA query_only = ON")
    conn.create_function("matches_words", 2, matches_words, deterministic=True)
    if cipher is not None:
        equip(conn, cipher)
    return conn


def checkpoint(conn: sqlite3.Connection) -> int:
    """Move the log into the file without making a connection wait; return the log's pages."""
    _, pages, _ = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)


def give_back(conn: sqlite3.Connection, pages: int) -> int:
    """Return up to `pages` free pages of the file to the file system; return the count."""
    (free,) = conn.execute("PRAGMA freelist_count").fetchone()
    for _ in range(min(pages, free)):
        # The statement has no columns, so the sqlite3 module takes one step of it: one page.
        conn.execute("PRAGMA incremental_vacuum(1)")
    return int(min(pages, free))
