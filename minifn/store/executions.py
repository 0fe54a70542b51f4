"""Executions: the rows are the record and, until they have run, the queue.

A finished synchronous execution is one INSERT. A queued one has a second row in `execution_requests` with what the
function is to be called with: its `state` is `scheduled`, `waiting` or `processing`, and the row goes when it has run.
"""

import sqlite3
from collections.abc import Collection
from typing import Any

import msgspec

from minifn.errors import ExecutionInProgress, ExecutionNotFound, FunctionNotFound
from minifn.models import Execution, ExecutionRequest, Headers
from minifn.store import lists
from minifn.store.conditions import Condition, join
from minifn.store.paging import Page, page as list_page
from minifn.store.plans import Scope
from minifn.store.queries import Query
from minifn.store.table import Table

TABLE = Table("executions", Execution)

_encode = msgspec.json.encode
_decode_headers = msgspec.json.Decoder(Headers).decode
_INSERT = (
    "INSERT INTO executions (id, created_at, updated_at, function, function_id, deployment_id, trigger, status,"
    " user_id, request_method, request_path, request_headers, response_status_code, response_headers,"
    " duration_seconds, scheduled_at, logs, errors)"
    " VALUES (?, ?, ?, (SELECT sequence FROM functions WHERE id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_FUNCTION = "function = (SELECT sequence FROM functions WHERE id = ?)"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A queued execution that was claimed, with what its function is to be called with."""

    execution: Execution
    request: ExecutionRequest


def insert(conn: sqlite3.Connection, execution: Execution) -> int:
    """Insert an execution and return its sequence. Raises FunctionNotFound when its function was deleted."""
    e = execution
    try:
        cursor = conn.execute(
            _INSERT,
            (
                e.id, e.created_at, e.updated_at, e.function_id, e.function_id, e.deployment_id, e.trigger, e.status,
                e.user_id, e.request_method, e.request_path, _encode(e.request_headers).decode(),
                e.response_status_code, _encode(e.response_headers).decode(),
                e.duration_seconds, e.scheduled_at, e.logs, e.errors,
            ),
        )  # fmt: skip
    except sqlite3.IntegrityError as exc:
        if "executions.function" in str(exc):
            raise FunctionNotFound from exc
        raise
    return cursor.lastrowid or 0


def enqueue(conn: sqlite3.Connection, execution: Execution, request: ExecutionRequest) -> int:
    """Insert a `waiting` or `scheduled` execution with its request; return its sequence. Raises FunctionNotFound."""
    sequence = insert(conn, execution)
    conn.execute(
        "INSERT INTO execution_requests (execution, function, state, due_at, method, path, headers, user_id,"
        " session_id, client_ip, event, depth, body)"
        " SELECT sequence, function, status, scheduled_at, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM executions"
        " WHERE sequence = ?",
        (
            request.method, request.path, _encode(request.headers).decode(), request.user_id, request.session_id,
            request.client_ip, request.event, request.depth, request.body, sequence,
        ),
    )  # fmt: skip
    return sequence


def claim(
    conn: sqlite3.Connection, limit: int, now: int, *, after: int = 0, skip: Collection[str] = ()
) -> tuple[list[Job], int]:
    """Take up to `limit` waiting executions: they become `processing`. Return them and where the next claim begins.

    Fair: each function in turn gives one, its oldest, in rounds; the turn begins behind the function `after` (what
    the claim before returned, 0 at first). Functions in `skip` (ids) are left alone.
    """
    functions = _waiting_functions(conn, skip)
    functions = [f for f in functions if f > after] + [f for f in functions if f <= after]
    taken: list[int] = []
    last = after
    queues = {
        function: [
            row[0]
            for row in conn.execute(
                "SELECT execution FROM execution_requests WHERE function = ? AND state = 'waiting'"
                " ORDER BY execution LIMIT ?",
                (function, limit),
            )
        ]
        for function in functions[:limit]
    }
    for place in range(limit):
        for function, queue in queues.items():
            if place < len(queue) and len(taken) < limit:
                taken.append(queue[place])
                last = function
    return _start(conn, taken, now), last


def _waiting_functions(conn: sqlite3.Connection, skip: Collection[str]) -> list[int]:
    """Return the sequences of the functions that have waiting executions: one index seek each."""
    rows = conn.execute(
        "WITH RECURSIVE waiting (function) AS ("
        " SELECT min(function) FROM execution_requests WHERE state = 'waiting'"
        " UNION ALL SELECT (SELECT min(function) FROM execution_requests"
        "  WHERE state = 'waiting' AND function > waiting.function) FROM waiting WHERE function IS NOT NULL)"
        " SELECT waiting.function, functions.id FROM waiting JOIN functions ON functions.sequence = waiting.function"
    )
    return [sequence for sequence, function_id in rows if function_id not in skip]


def _start(conn: sqlite3.Connection, sequences: list[int], now: int) -> list[Job]:
    if not sequences:
        return []
    marks = ", ".join("?" * len(sequences))
    conn.execute(f"UPDATE execution_requests SET state = 'processing' WHERE execution IN ({marks})", sequences)
    conn.execute(
        f"UPDATE executions SET status = 'processing', updated_at = ? WHERE sequence IN ({marks})", (now, *sequences)
    )
    rows = conn.execute(
        f"SELECT method, path, headers, body, execution_requests.user_id, session_id, client_ip, event, depth,"
        f" {TABLE.columns} FROM execution_requests JOIN executions ON sequence = execution"
        f" WHERE execution IN ({marks})",
        sequences,
    )
    jobs = {job.execution.sequence: job for job in map(_job, rows)}
    return [jobs[sequence] for sequence in sequences]


def _job(row: tuple[Any, ...]) -> Job:
    method, path, headers, body, user_id, session_id, client_ip, event, depth, *execution = row
    request = ExecutionRequest(
        method=method,
        path=path,
        headers=_decode_headers(headers),
        body=body,
        user_id=user_id,
        session_id=session_id,
        client_ip=client_ip,
        event=event,
        depth=depth,
    )
    return Job(execution=TABLE.record(tuple(execution)), request=request)


def finish(conn: sqlite3.Connection, execution: Execution) -> bool:
    """Record how a claimed execution ended and drop its request; False when it was deleted meanwhile."""
    e = execution
    row = conn.execute(
        "UPDATE executions SET updated_at = ?, deployment_id = ?, status = ?, response_status_code = ?,"
        " response_headers = ?, logs = ?, errors = ?, duration_seconds = ?"
        " WHERE id = ? AND status = 'processing' RETURNING sequence",
        (
            e.updated_at, e.deployment_id, e.status, e.response_status_code, _encode(e.response_headers).decode(),
            e.logs, e.errors, e.duration_seconds, e.id,
        ),
    ).fetchone()  # fmt: skip
    if row is None:
        return False
    conn.execute("DELETE FROM execution_requests WHERE execution = ?", row)
    return True


def recover(conn: sqlite3.Connection, reason: str, now: int) -> int:
    """Fail the executions that a stop interrupted, with `reason` in their errors; return how many."""
    conn.execute(
        "UPDATE executions SET status = 'failed', response_status_code = 500, errors = ?, updated_at = ?"
        " WHERE sequence IN (SELECT execution FROM execution_requests WHERE state = 'processing')",
        (reason, now),
    )
    return conn.execute("DELETE FROM execution_requests WHERE state = 'processing'").rowcount


def requeue(conn: sqlite3.Connection, sequence: int, now: int) -> None:
    """Put a claimed execution back among the waiting ones: the server stops before it has run."""
    conn.execute(
        "UPDATE executions SET status = 'waiting', updated_at = ? WHERE sequence = ? AND status = 'processing'",
        (now, sequence),
    )
    conn.execute("UPDATE execution_requests SET state = 'waiting' WHERE execution = ?", (sequence,))


def release_due(conn: sqlite3.Connection, now: int) -> int:
    """Make the scheduled executions that are due `waiting`; return how many."""
    rows = conn.execute(
        "UPDATE execution_requests SET state = 'waiting' WHERE state = 'scheduled' AND due_at <= ? RETURNING execution",
        (now,),
    ).fetchall()
    conn.executemany(
        "UPDATE executions SET status = 'waiting', updated_at = ? WHERE sequence = ?", [(now, row[0]) for row in rows]
    )
    return len(rows)


def next_due(conn: sqlite3.Connection) -> int | None:
    """Return when the next scheduled execution is due."""
    (due_at,) = conn.execute("SELECT min(due_at) FROM execution_requests WHERE state = 'scheduled'").fetchone()
    return None if due_at is None else int(due_at)


def waiting(conn: sqlite3.Connection) -> int:
    """Return how many executions wait for a slot."""
    (total,) = conn.execute("SELECT count(*) FROM execution_requests WHERE state = 'waiting'").fetchone()
    return int(total)


def get(
    conn: sqlite3.Connection, function_id: str, execution_id: str, *, user_id: str | None = None
) -> Execution | None:
    """Return one execution of a function; with `user_id`, only if that user asked for it."""
    execution = TABLE.first(conn, f"id = ? AND {_FUNCTION}", execution_id, function_id)
    if execution is not None and user_id is not None and (not user_id or execution.user_id != user_id):
        return None
    return execution


def page(
    conn: sqlite3.Connection, function_id: str, query: Query, *, user_id: str | None = None, count: bool = True
) -> Page[Execution]:
    """Return a page of a function's executions; with `user_id`, only those that user asked for."""
    row = conn.execute("SELECT sequence FROM functions WHERE id = ?", (function_id,)).fetchone()
    if row is None:
        return Page(0, ())
    prefix = Condition("function = ?", row)
    scope = Scope(prefix, prefix, "executions_function")
    if user_id is not None:
        user = Condition("user_id = ? AND user_id <> ''", (user_id,))
        scope = Scope(join([prefix, user]), prefix, "executions_user_id")
    return list_page(conn, TABLE, lists.EXECUTIONS, query, scope, count=count)


def delete(conn: sqlite3.Connection, function_id: str, execution_id: str) -> Execution:
    """Delete and return an execution. Raises ExecutionNotFound, and ExecutionInProgress until it has finished.

    A scheduled execution can be deleted: it never runs.
    """
    execution = get(conn, function_id, execution_id)
    if execution is None:
        raise ExecutionNotFound
    if execution.status in ("waiting", "processing"):
        raise ExecutionInProgress
    conn.execute("DELETE FROM executions WHERE sequence = ?", (execution.sequence,))
    return execution


def delete_older(conn: sqlite3.Connection, before: int, limit: int) -> int:
    """Delete up to `limit` finished executions created before the instant `before`; return how many.

    Looks at the oldest rows only: rows are inserted in order of creation, so no index of the time is needed.
    """
    rows = conn.execute(
        "DELETE FROM executions WHERE sequence IN (SELECT sequence FROM executions ORDER BY sequence LIMIT ?)"
        " AND created_at < ? AND status IN ('completed', 'failed')",
        (limit, before),
    )
    return rows.rowcount


def purge(conn: sqlite3.Connection, limit: int) -> int:
    """Delete up to `limit` executions of deleted functions; return how many."""
    row = conn.execute("SELECT sequence FROM deleted_functions LIMIT 1").fetchone()
    if row is None:
        return 0
    deleted = conn.execute(
        "DELETE FROM executions WHERE sequence IN (SELECT sequence FROM executions WHERE function = ? LIMIT ?)",
        (row[0], limit),
    ).rowcount
    if deleted < limit:
        conn.execute("DELETE FROM deleted_functions WHERE sequence = ?", row)
    return deleted
