"""Functions: settings, active deployment, and the next run of the schedule."""

import sqlite3
from collections.abc import Sequence

import msgspec

from minifn.errors import FunctionAlreadyExists
from minifn.models import Function
from minifn.store.conditions import Condition, join, within
from minifn.store.paging import Page, page as list_page
from minifn.store.plans import Scope
from minifn.store.queries import Query
from minifn.store.table import Table

TABLE = Table("functions", Function)


def insert(conn: sqlite3.Connection, function: Function) -> Function:
    """Insert and return `function` with its sequence.

    Raises FunctionAlreadyExists, also for an id that differs from another only in the case of its
    letters: both would have the same domain.
    """
    known = conn.execute(
        "SELECT id FROM functions WHERE lower(id) = lower(?)", (function.id,)
    ).fetchone()
    if known == (function.id,):
        raise FunctionAlreadyExists
    if known is not None:
        raise FunctionAlreadyExists(
            f"Function {known[0]!r} has the same ID in other letter case."
            " Host names know no case, so both would have the same domain: use a different ID."
        )
    return TABLE.insert(conn, function)


def get(conn: sqlite3.Connection, function_id: str) -> Function | None:
    """Return one function."""
    return TABLE.first(conn, "id = ?", function_id)


def missing(conn: sqlite3.Connection, ids: Sequence[str]) -> list[str]:
    """Return those of these ids that no function has."""
    known = {str(own) for (own,) in conn.execute("SELECT id FROM functions")}
    return [own for own in ids if own not in known]


def page(
    conn: sqlite3.Connection, query: Query, reach: tuple[str, ...] = (), *, count: bool = True
) -> Page[Function]:
    """Return a page of the functions within `reach`."""
    scope = within("id", reach)
    if query.search:
        words = "matches_words(id || ' ' || name || ' ' || runtime, ?)"
        scope = join([scope, Condition(words, (query.search,))])
    return list_page(conn, TABLE, query, Scope(scope), count=count)


def every(conn: sqlite3.Connection) -> list[Function]:
    """Return all functions in order of creation."""
    return TABLE.all(conn, "1 ORDER BY sequence")


def update(conn: sqlite3.Connection, function: Function) -> bool:
    """Overwrite a function's row; return False if it does not exist."""
    return TABLE.update(conn, function)


def delete(conn: sqlite3.Connection, function_id: str) -> bool:
    """Delete a function with its variables, deployments and rules; return False if it is unknown.

    Its executions are unreachable at once and deleted in batches by `retention.purge`.
    """
    row = conn.execute(
        "DELETE FROM functions WHERE id = ? RETURNING sequence", (function_id,)
    ).fetchone()
    if row is None:
        return False
    conn.execute("DELETE FROM variables WHERE function_id = ?", (function_id,))
    conn.execute("DELETE FROM rules WHERE function_id = ?", (function_id,))
    conn.execute("DELETE FROM execution_requests WHERE function = ?", row)
    conn.execute("INSERT INTO deleted_functions VALUES (?)", row)
    return True


def confine(conn: sqlite3.Connection, function_id: str, reach: tuple[str, ...]) -> None:
    """Restrict a function's own key to `reach`, besides its earlier restrictions."""
    function = get(conn, function_id)
    if function is not None and not set(reach) <= set(function.reach):
        joined = tuple(dict.fromkeys((*function.reach, *reach)))
        update(conn, msgspec.structs.replace(function, reach=joined))


def mark_stale(conn: sqlite3.Connection, function_id: str) -> None:
    """Note that the active deployment is older than the settings; "" means every function."""
    conn.execute("UPDATE functions SET live = 0 WHERE ? IN ('', id)", (function_id,))


def listening(conn: sqlite3.Connection) -> list[Function]:
    """Return the functions that subscribe to events, by name."""
    return TABLE.all(conn, "events <> '[]' ORDER BY name, sequence")
