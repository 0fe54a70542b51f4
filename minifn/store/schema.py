"""Brings a database to the newest schema, and has its writer tell of changes."""

import secrets
import sqlite3

from minifn.store.migrations import MIGRATIONS

#: Bound of the random number after which a new database counts its functions.
FUNCTIONS_BEFORE_MAX = 1_000_000


def _touch_trigger(table: str, column: str, event: str) -> str:
    row = "OLD" if event == "DELETE" else "NEW"
    return (
        f"CREATE TEMP TRIGGER touch_{table}_{event.lower()} AFTER {event} ON {table}"
        f" BEGIN SELECT touch({row}.{column}); END"
    )


#: Temporary triggers of the writer's connection: `touch` is called with the function whose caches a
#: commit made stale.
TOUCH_TRIGGERS = tuple(
    _touch_trigger(table, column, event)
    for table, column, events in (
        ("functions", "id", ("INSERT", "UPDATE", "DELETE")),
        ("variables", "function_id", ("INSERT", "UPDATE", "DELETE")),
        ("rules", "function_id", ("INSERT", "DELETE")),
    )
    for event in events
)


class DatabaseTooNew(RuntimeError):
    """The file was written by a newer minifn than this one."""


def migrate(conn: sqlite3.Connection) -> None:
    """Bring the file to the newest schema in one transaction.

    Raises DatabaseTooNew and sqlite3.Error.
    """
    conn.execute("BEGIN IMMEDIATE")
    try:
        (version,) = conn.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise DatabaseTooNew(
                f"the database has schema {version}, this minifn knows schemas up to"
                f" {len(MIGRATIONS)}: upgrade minifn"
            )
        for migration in MIGRATIONS[version:]:
            for statement in statements(migration):
                conn.execute(statement)
        if version == 0:
            # Users of functions follow these numbers: two servers of a machine seldom share one.
            conn.execute(
                "INSERT INTO sqlite_sequence VALUES ('functions', ?)",
                (secrets.randbelow(FUNCTIONS_BEFORE_MAX),),
            )
        conn.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        conn.execute("COMMIT")
    except BaseException:
        conn.execute("ROLLBACK")
        raise


def statements(script: str) -> list[str]:
    """Split `script` into its statements, because `executescript` would commit the transaction."""
    found: list[str] = []
    current = ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            found.append(current)
            current = ""
    return found
