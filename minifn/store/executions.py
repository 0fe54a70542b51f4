"""Executions: one row each, a finished synchronous one by a single INSERT.

`execution_queue` keeps a second row for each queued execution, and `retention` deletes old ones.
"""

import functools
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from minifn.errors import ExecutionInProgress, ExecutionNotFound, FunctionNotFound
from minifn.models import Execution
from minifn.store import filling, late_indexes, usage
from minifn.store.attributes import ALL_EXECUTIONS, EXECUTIONS, FUNCTIONS
from minifn.store.conditions import Condition, condition, join, within
from minifn.store.paging import Page, page as list_page
from minifn.store.plans import Scope
from minifn.store.queries import (
    Attribute,
    Combination,
    Comparison,
    Filter,
    Kind,
    Method,
    Query,
)
from minifn.store.search import matches_words, words
from minifn.store.table import Table
from minifn.store.writer import ITEMS_MAX

TABLE = Table("executions", Execution)

_encode = msgspec.json.encode
_COLUMNS = (
    "function_id, id, created_at, updated_at, deployment_id, trigger, status, user_id,"
    " request_method, request_path, request_headers, response_status_code, response_headers,"
    " duration_seconds, scheduled_at, logs, errors"
)
#: Values of a row.
_VALUES = _COLUMNS.count(",") + 1
#: Rows of the statements that insert executions. One with more rows has rows of NULL at its end.
_ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, ITEMS_MAX)
_FUNCTION = "function = (SELECT sequence FROM functions WHERE id = ?)"
_FUNCTION_COLUMN = Attribute("function", Kind.INTEGER, late_indexes.BY_FUNCTION)


def insert(conn: sqlite3.Connection, execution: Execution) -> int:
    """Insert an execution and return its sequence. Call `fill_indexes` now and then.

    Raises FunctionNotFound when its function was deleted.
    """
    insert_each(conn, [execution])
    return int(conn.execute("SELECT last_insert_rowid()").fetchone()[0])


def insert_each(conn: sqlite3.Connection, new: Sequence[Execution]) -> None:
    """Insert up to ITEMS_MAX executions in one statement. Call `fill_indexes` now and then.

    Raises FunctionNotFound when the function of one was deleted.
    """
    rows = next(rows for rows in _ROWS if rows >= len(new))
    try:
        conn.execute(_insert(rows), _values(new) + [None] * ((rows - len(new)) * _VALUES))
    except sqlite3.IntegrityError as exc:
        if "NOT NULL" in str(exc):
            raise FunctionNotFound from exc
        raise


@functools.cache
def _insert(rows: int) -> str:
    """Return the statement that inserts a number of rows."""
    row = f"({', '.join('?' * _VALUES)})"
    given = ", ".join(f"column{number}" for number in range(1, _VALUES + 1))
    return (
        f"INSERT INTO executions (function, {_COLUMNS}) SELECT sequence, {given}"
        f" FROM (VALUES {', '.join([row] * rows)}) LEFT JOIN functions ON functions.id = column1"
        " WHERE column1 IS NOT NULL"
    )


def _values(new: Sequence[Execution]) -> list[Any]:
    values: list[Any] = []
    for e in new:
        values += (
            e.function_id, e.id, e.created_at, e.updated_at, e.deployment_id,
            e.trigger, e.status, e.user_id, e.request_method, e.request_path,
            _encode(e.request_headers).decode(), e.response_status_code,
            _encode(e.response_headers).decode(), e.duration_seconds, e.scheduled_at,
            e.logs, e.errors,
        )  # fmt: skip
    return values


def fill_indexes(conn: sqlite3.Connection) -> bool:
    """Do a step of filling the late indexes if one is due, else count usage; tell which it was."""
    if filling.fill(conn):
        return True
    # Counted along, so that a look at the usage never finds much to count.
    usage.count_next(conn)
    return False


def get(
    conn: sqlite3.Connection, function_id: str, execution_id: str, *, user_id: str | None = None
) -> Execution | None:
    """Return one execution of a function; with `user_id`, only if that user asked for it."""
    execution = TABLE.first(conn, f"id = ? AND {_FUNCTION}", execution_id, function_id)
    if execution is None or user_id is None:
        return execution
    return execution if user_id and execution.user_id == user_id else None


def page(
    conn: sqlite3.Connection,
    function_id: str,
    query: Query,
    *,
    user_id: str | None = None,
    count: bool = True,
) -> Page[Execution]:
    """Return a page of a function's executions; with `user_id`, only those of that user."""
    row = conn.execute("SELECT sequence FROM functions WHERE id = ?", (function_id,)).fetchone()
    if row is None:
        return Page(0, ())
    prefix = Condition("function = ?", row)
    scope = Scope(prefix, prefix, late_indexes.BY_FUNCTION)
    if user_id is not None:
        user = Condition("user_id = ? AND user_id <> ''", (user_id,))
        scope = Scope(join([prefix, user]), prefix, "executions_user_id")
    if query.search and not matches_words(function_id, query.search):
        query = replace(query, filters=(*query.filters, _id_search(query.search)))
    return list_page(conn, TABLE, query, scope, count=count)


def find(
    conn: sqlite3.Connection, execution_id: str, reach: Sequence[str] = ()
) -> Execution | None:
    """Return one execution of any function within `reach` (`ids.reaches`)."""
    where = join([_of(within("id", reach)), Condition("id = ?", (execution_id,))])
    return TABLE.first(conn, where.sql, *where.values)


def page_of_all(
    conn: sqlite3.Connection, query: Query, reach: Sequence[str] = (), *, count: bool = True
) -> Page[Execution]:
    """Return a page of the executions of all functions within `reach` (`ids.reaches`).

    A search finds executions by their ids, and by the ids and names of their functions.
    """
    named = [item for item in query.filters if _names_functions(item)]
    chosen = join([within("id", reach), *(_on_functions(item) for item in named)])
    rows = conn.execute(
        f"SELECT sequence, id, name FROM functions WHERE {chosen.sql}", chosen.values
    ).fetchall()
    query = replace(query, filters=tuple(item for item in query.filters if item not in named))
    if query.search:
        found = tuple(row[0] for row in rows if matches_words(f"{row[1]} {row[2]}", query.search))
        query = replace(query, filters=(*query.filters, _search(query.search, found)), search="")
    if len(rows) == 1:
        return page(conn, rows[0][1], query, count=count)
    prefix = _of(chosen)
    scope = Scope(prefix, prefix, late_indexes.BY_SEQUENCE, several=True)
    return list_page(conn, TABLE, query, scope, count=count)


def _of(chosen: Condition) -> Condition:
    """Return the condition that an execution belongs to one of the functions that are chosen."""
    sql = f"function IN (SELECT sequence FROM functions WHERE {chosen.sql})"
    return Condition(sql, chosen.values)


def _names_functions(item: Filter) -> bool:
    return (
        isinstance(item, Comparison)
        and item.method is Method.EQUAL
        and item.attribute == ALL_EXECUTIONS["function_id"]
    )


def _on_functions(item: Filter) -> Condition:
    """Return a filter of executions by functions as a condition on the functions."""
    assert isinstance(item, Comparison)
    return condition(replace(item, attribute=FUNCTIONS["id"]))


def _search(search: str, functions: tuple[int, ...]) -> Filter:
    """Return the filter of a search that matches `functions`, by their sequences."""
    by_id = _id_search(search)
    if not functions:
        return by_id
    return Combination("or", (Comparison(Method.EQUAL, _FUNCTION_COLUMN, functions), by_id))


def _id_search(search: str) -> Filter:
    """Return the filter of a search for executions by their own ids."""
    attribute = EXECUTIONS["id"]
    found = words(search)
    if not found:
        return Comparison(Method.EQUAL, attribute, ("",))
    return Combination(
        "or",
        (
            Comparison(Method.EQUAL, attribute, tuple(found)),
            Comparison(Method.STARTS_WITH, attribute, (found[-1],)),
        ),
    )


def delete(conn: sqlite3.Connection, function_id: str, execution_id: str) -> Execution:
    """Delete and return an execution. A scheduled one then never runs.

    Raises ExecutionNotFound, and ExecutionInProgress while it waits or runs.
    """
    execution = get(conn, function_id, execution_id)
    if execution is None:
        raise ExecutionNotFound
    if execution.status in ("waiting", "processing"):
        raise ExecutionInProgress
    usage.count_early(conn, execution.sequence)
    conn.execute("DELETE FROM executions WHERE sequence = ?", (execution.sequence,))
    return execution
