"""Executions: the rows are the record and, until they have run, the queue.

A finished synchronous execution is one INSERT. A queued one has a second row in `execution_requests` with what the
function is to be called with: its `state` is `scheduled`, `waiting` or `processing`, and the row goes when it has run.
"""

import sqlite3
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from minifn.errors import ExecutionInProgress, ExecutionNotFound, FunctionNotFound
from minifn.models import Execution, ExecutionRequest, Headers
from minifn.store import execution_answers, lists, usage
from minifn.store.conditions import Condition, join
from minifn.store.paging import Page, page as list_page
from minifn.store.plans import Scope
from minifn.store.queries import INTEGER_MAX, Filter, Query
from minifn.store.search import matches_words, words
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
_REQUEST = "method, path, headers, user_id, session_id, user_ends, client_ip, event, depth, keep_answer, body"
#: Longer bodies lie in a table of their own.
SHORT_BYTES = 16 * 1024
_FUNCTION = "function = (SELECT sequence FROM functions WHERE id = ?)"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A queued execution that was claimed, with what its function is to be called with."""

    execution: Execution
    request: ExecutionRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What the queue holds."""

    waiting: int = 0
    scheduled: int = 0
    #: Of all bodies, those of executions that run included.
    size_bytes: int = 0
    scheduled_bytes: int = 0
    #: By function: how many executions, in any state, and the bytes of their bodies.
    owned: dict[str, tuple[int, int]] = field(default_factory=dict)


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
        if "NOT NULL" in str(exc):
            raise FunctionNotFound from exc
        raise
    return cursor.lastrowid or 0


def enqueue(conn: sqlite3.Connection, execution: Execution, request: ExecutionRequest) -> int:
    """Insert a `waiting` or `scheduled` execution with its request; return its sequence. Raises FunctionNotFound."""
    sequence = insert(conn, execution)
    short = len(request.body) <= SHORT_BYTES
    conn.execute(
        f"INSERT INTO execution_requests (execution, function, state, due_at, {_REQUEST})"
        " SELECT sequence, function, status, scheduled_at, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM executions"
        " WHERE sequence = ?",
        (
            request.method, request.path, _encode(request.headers).decode(), request.user_id, request.session_id,
            request.user_ends, request.client_ip, request.event, request.depth, request.keep_answer,
            request.body if short else b"", sequence,
        ),
    )  # fmt: skip
    if not short:
        conn.execute("INSERT INTO execution_bodies VALUES (?, ?)", (sequence, request.body))
    return sequence


def enqueue_each(
    conn: sqlite3.Connection, waiting: list[Execution], request: ExecutionRequest
) -> list[Execution]:
    """Insert executions of different functions with the same request; return those whose function still exists."""
    stored = []
    for execution in waiting:
        with suppress(FunctionNotFound):
            enqueue(conn, execution, request)
            stored.append(execution)
    return stored


def claim(
    conn: sqlite3.Connection, limit: int, now: int, *, after: int = 0, skip: Collection[str] = ()
) -> tuple[list[Job], int]:
    """Take up to `limit` waiting executions: they become `processing`. Return them and where the next claim begins.

    Fair: each function in turn gives one, its oldest, in rounds; the turn begins behind the function `after` (what
    the claim before returned, 0 at first). Functions in `skip` (ids) are left alone.
    """
    turns = _turns(conn, limit, after, skip)
    rounds = [
        (place, turn, sequence)
        for turn, function in enumerate(turns)
        for place, (sequence,) in enumerate(
            conn.execute(
                "SELECT execution FROM execution_requests WHERE function = ? AND state = 'waiting'"
                " ORDER BY execution LIMIT ?",
                (function, limit),
            )
        )
    ]
    taken = sorted(rounds)[:limit]
    return _start(conn, [sequence for _, _, sequence in taken], now), turns[
        taken[-1][1]
    ] if taken else after


def _turns(conn: sqlite3.Connection, limit: int, after: int, skip: Collection[str]) -> list[int]:
    """Return up to `limit` functions (sequences) with waiting executions, those behind `after` first."""
    sql = (
        "SELECT function, id FROM execution_requests JOIN functions ON functions.sequence = function"
        " WHERE state = 'waiting' AND function > ? AND function <= ? ORDER BY function LIMIT 1"
    )
    turns: list[int] = []
    for position, last in ((after, INTEGER_MAX), (0, after)):
        while (
            len(turns) < limit
            and (row := conn.execute(sql, (position, last)).fetchone()) is not None
        ):
            position, function_id = row
            if function_id not in skip:
                turns.append(position)
    return turns


def _start(conn: sqlite3.Connection, sequences: list[int], now: int) -> list[Job]:
    if not sequences:
        return []
    marks = ", ".join("?" * len(sequences))
    requests = conn.execute(
        f"UPDATE execution_requests SET state = 'processing' WHERE execution IN ({marks})"
        f" RETURNING execution, {_REQUEST}",
        sequences,
    )
    by_sequence = {row[0]: _request(row) for row in requests}
    for sequence, body in conn.execute(
        f"SELECT * FROM execution_bodies WHERE execution IN ({marks})", sequences
    ):
        by_sequence[sequence] = msgspec.structs.replace(by_sequence[sequence], body=body)
    rows = conn.execute(
        f"UPDATE executions SET status = 'processing', updated_at = ? WHERE sequence IN ({marks})"
        f" RETURNING {TABLE.columns}",
        (now, *sequences),
    )
    started = {execution.sequence: execution for execution in map(TABLE.record, rows)}
    return [
        Job(execution=started[sequence], request=by_sequence[sequence]) for sequence in sequences
    ]


def _request(row: tuple[Any, ...]) -> ExecutionRequest:
    (
        _,
        method,
        path,
        headers,
        user_id,
        session_id,
        user_ends,
        client_ip,
        event,
        depth,
        keep_answer,
        body,
    ) = row
    return ExecutionRequest(
        method=method,
        path=path,
        headers=_decode_headers(headers),
        body=body,
        user_id=user_id,
        session_id=session_id,
        user_ends=user_ends,
        client_ip=client_ip,
        event=event,
        depth=depth,
        keep_answer=bool(keep_answer),
    )


def finish(conn: sqlite3.Connection, execution: Execution, answer: bytes = b"") -> bool:
    """Record how a claimed execution ended and drop its request; False when its function was deleted meanwhile.

    The end of `answer` is kept when the request asked for that.
    """
    e = execution
    sql = "DELETE FROM execution_requests WHERE execution = ? RETURNING keep_answer"
    row = conn.execute(sql, (e.sequence,)).fetchone()
    if row is None:
        return False
    conn.execute(
        "UPDATE executions SET updated_at = ?, deployment_id = ?, status = ?, response_status_code = ?,"
        " response_headers = ?, logs = ?, errors = ?, duration_seconds = ? WHERE sequence = ?",
        (
            e.updated_at, e.deployment_id, e.status, e.response_status_code, _encode(e.response_headers).decode(),
            e.logs, e.errors, e.duration_seconds, e.sequence,
        ),
    )  # fmt: skip
    if row[0] and answer:
        execution_answers.keep(conn, e.sequence, answer)
    usage.count_late(conn, e.sequence)
    return True


def recover(conn: sqlite3.Connection, reason: str, now: int) -> int:
    """Fail the executions that a stop interrupted, with `reason` in their errors; return how many."""
    conn.execute(
        "UPDATE executions SET status = 'failed', response_status_code = 500, errors = ?, updated_at = ?"
        " WHERE sequence IN (SELECT execution FROM execution_requests WHERE state = 'processing')",
        (reason, now),
    )
    rows = conn.execute(
        "DELETE FROM execution_requests WHERE state = 'processing' RETURNING execution"
    ).fetchall()
    for (sequence,) in rows:
        usage.count_late(conn, sequence)
    return len(rows)


def abandon(conn: sqlite3.Connection, reason: str, now: int) -> int:
    """Fail everything that runs, waits or is due, with `reason` in its errors; return how many."""
    conn.execute(
        "UPDATE execution_requests SET state = 'processing' WHERE state = 'waiting'"
        " OR (state = 'scheduled' AND due_at <= ?)",
        (now,),
    )
    return recover(conn, reason, now)


def requeue(conn: sqlite3.Connection, now: int) -> None:
    """Put the claimed executions that have not ended back among the waiting ones: the server stops."""
    conn.execute(
        "UPDATE executions SET status = 'waiting', updated_at = ?"
        " WHERE sequence IN (SELECT execution FROM execution_requests WHERE state = 'processing')",
        (now,),
    )
    conn.execute("UPDATE execution_requests SET state = 'waiting' WHERE state = 'processing'")


def release_due(conn: sqlite3.Connection, now: int) -> int:
    """Make the scheduled executions that are due `waiting`; return how many."""
    rows = conn.execute(
        "UPDATE execution_requests SET state = 'waiting' WHERE state = 'scheduled' AND due_at <= ? RETURNING execution",
        (now,),
    ).fetchall()
    conn.executemany(
        "UPDATE executions SET status = 'waiting', updated_at = ? WHERE sequence = ?",
        [(now, row[0]) for row in rows],
    )
    return len(rows)


def next_due(conn: sqlite3.Connection) -> int | None:
    """Return when the next scheduled execution is due."""
    (due_at,) = conn.execute(
        "SELECT min(due_at) FROM execution_requests WHERE state = 'scheduled'"
    ).fetchone()
    return None if due_at is None else int(due_at)


def stored(conn: sqlite3.Connection) -> Stored:
    """Return what the queue holds; the bodies themselves are not read."""
    rows = conn.execute(
        "SELECT state, id, count(*), sum(coalesce(length(long.body), length(own.body))) FROM execution_requests AS own"
        " JOIN functions ON functions.sequence = function LEFT JOIN execution_bodies AS long USING (execution)"
        " GROUP BY state, id"
    ).fetchall()
    owned: dict[str, tuple[int, int]] = {}
    for _, function_id, count, size_bytes in rows:
        others = owned.get(function_id, (0, 0))
        owned[function_id] = (others[0] + count, others[1] + size_bytes)
    return Stored(
        waiting=sum(count for state, _, count, _ in rows if state == "waiting"),
        scheduled=sum(count for state, _, count, _ in rows if state == "scheduled"),
        size_bytes=sum(size_bytes for *_, size_bytes in rows),
        scheduled_bytes=sum(size_bytes for state, *_, size_bytes in rows if state == "scheduled"),
        owned=owned,
    )


def get(
    conn: sqlite3.Connection, function_id: str, execution_id: str, *, user_id: str | None = None
) -> Execution | None:
    """Return one execution of a function; with `user_id`, only if that user asked for it."""
    execution = TABLE.first(conn, f"id = ? AND {_FUNCTION}", execution_id, function_id)
    if (
        execution is not None
        and user_id is not None
        and (not user_id or execution.user_id != user_id)
    ):
        return None
    return execution


def page(
    conn: sqlite3.Connection,
    function_id: str,
    query: Query,
    *,
    user_id: str | None = None,
    count: bool = True,
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
    if query.search and not matches_words(function_id, query.search):
        query = replace(query, filters=(*query.filters, _id_search(query.search)))
    return list_page(conn, TABLE, lists.EXECUTIONS, query, scope, count=count)


def _id_search(search: str) -> Filter:
    """Return the filter of a search: executions are found by their function's id, else by their own."""
    found = words(search) or [""]
    ids = Filter("equal", "$id", tuple(found))
    return (
        Filter("or", children=(ids, Filter("startsWith", "$id", (found[-1],))))
        if found != [""]
        else ids
    )


def delete(conn: sqlite3.Connection, function_id: str, execution_id: str) -> Execution:
    """Delete and return an execution. Raises ExecutionNotFound, and ExecutionInProgress until it has finished.

    A scheduled execution can be deleted: it never runs.
    """
    execution = get(conn, function_id, execution_id)
    if execution is None:
        raise ExecutionNotFound
    if execution.status in ("waiting", "processing"):
        raise ExecutionInProgress
    usage.count_early(conn, execution.sequence)
    conn.execute("DELETE FROM executions WHERE sequence = ?", (execution.sequence,))
    return execution


def delete_older(conn: sqlite3.Connection, before: int, limit: int) -> int:
    """Delete up to `limit` finished executions created before the instant `before`; return how many.

    Rows are stored in order of creation, so the oldest are looked at and no index of the time is needed: as many as
    may be deleted, and as many more as there are unfinished ones, which can be in the way for long.
    """
    sequences = [
        row[0]
        for row in conn.execute(
            "SELECT sequence FROM (SELECT sequence, created_at, status FROM executions ORDER BY sequence"
            "  LIMIT ? + (SELECT count(*) FROM execution_requests))"
            " WHERE created_at < ? AND status IN ('completed', 'failed') LIMIT ?",
            (limit, before, limit),
        )
    ]
    return _delete_counted(conn, sequences)


def beyond(conn: sqlite3.Connection, keep: int) -> list[tuple[int, int]]:
    """Return the functions that have more than `keep` executions, each with the newest one that is too many.

    Both are sequences, of `functions` and of `executions`.
    """
    found: list[tuple[int, int]] = conn.execute(
        "SELECT sequence, ("
        "  SELECT executions.sequence FROM executions WHERE function = functions.sequence"
        "  ORDER BY executions.sequence DESC LIMIT 1 OFFSET ?"
        ") AS last FROM functions WHERE last IS NOT NULL",
        (keep,),
    ).fetchall()
    return found


def delete_through(conn: sqlite3.Connection, function: int, last: int, limit: int) -> int:
    """Delete up to `limit` finished executions of a function, none newer than `last`; return how many."""
    sequences = [
        row[0]
        # The plus keeps SQLite from sorting all of them by way of the index of the status.
        for row in conn.execute(
            "SELECT sequence FROM executions WHERE function = ? AND sequence <= ?"
            " AND +status IN ('completed', 'failed') ORDER BY sequence LIMIT ?",
            (function, last, limit),
        )
    ]
    return _delete_counted(conn, sequences)


def _delete_counted(conn: sqlite3.Connection, sequences: list[int]) -> int:
    """Delete executions, whose use stays counted; return how many."""
    if sequences:
        usage.count_through(conn, max(sequences))
        conn.executemany(
            "DELETE FROM executions WHERE sequence = ?", [(sequence,) for sequence in sequences]
        )
    return len(sequences)


def purge(conn: sqlite3.Connection, limit: int) -> int:
    """Delete up to `limit` executions of deleted functions; return how many."""
    deleted = 0
    while deleted < limit and (
        row := conn.execute("SELECT sequence FROM deleted_functions LIMIT 1").fetchone()
    ):
        deleted += conn.execute(
            "DELETE FROM executions WHERE sequence IN (SELECT sequence FROM executions WHERE function = ? LIMIT ?)",
            (row[0], limit - deleted),
        ).rowcount
        if deleted < limit:
            conn.execute("DELETE FROM deleted_functions WHERE sequence = ?", row)
    return deleted
