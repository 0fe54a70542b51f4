"""The queue of executions: `execution_requests` has a row for each execution that has not ended.

The row keeps the request to call the function with. Its `state` is `scheduled`, `waiting` or
`processing`, and it is deleted when the execution ends.
"""

import sqlite3
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from minifn.errors import FunctionNotFound
from minifn.models import Execution, ExecutionRequest, Headers
from minifn.store import execution_answers, executions, usage
from minifn.store.queries import INTEGER_MAX

_encode = msgspec.json.encode
_decode_headers = msgspec.json.Decoder(Headers).decode
#: Fields of a request that are columns of the same name, in front of the body.
_FIELDS = (
    "method", "path", "headers", "user_id", "session_id", "user_ends", "client_ip", "event",
    "depth", "keep_answer",
)  # fmt: skip
_COLUMNS = f"{', '.join(_FIELDS)}, body"
_INSERT = (
    f"INSERT INTO execution_requests (execution, function, state, due_at, {_COLUMNS})"
    f" SELECT sequence, function, status, scheduled_at, {', '.join('?' * (len(_FIELDS) + 1))}"
    " FROM executions WHERE sequence = ?"
)
#: Bytes of the longest body in the request's row; longer ones lie in `execution_bodies`.
INLINE_BYTES = 16 * 1024


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed execution and the request to call its function with."""

    execution: Execution
    request: ExecutionRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """The content of the queue in numbers."""

    waiting: int = 0
    scheduled: int = 0
    #: Bytes of all bodies, also of running executions.
    size_bytes: int = 0
    scheduled_bytes: int = 0
    #: Function id -> its executions in any state, bytes of their bodies.
    owned: dict[str, tuple[int, int]] = field(default_factory=dict)


def enqueue(conn: sqlite3.Connection, execution: Execution, request: ExecutionRequest) -> int:
    """Insert a `waiting` or `scheduled` execution with its request; return its sequence.

    Raises FunctionNotFound when its function was deleted.
    """
    sequence = executions.insert(conn, execution)
    inline = len(request.body) <= INLINE_BYTES
    r = request
    conn.execute(
        _INSERT,
        (
            r.method, r.path, _encode(r.headers).decode(), r.user_id, r.session_id, r.user_ends,
            r.client_ip, r.event, r.depth, r.keep_answer, r.body if inline else b"", sequence,
        ),
    )  # fmt: skip
    if not inline:
        conn.execute("INSERT INTO execution_bodies VALUES (?, ?)", (sequence, request.body))
    return sequence


def enqueue_each(
    conn: sqlite3.Connection, waiting: list[Execution], request: ExecutionRequest
) -> list[Execution]:
    """Enqueue executions of different functions with one request.

    Return those whose function still exists.
    """
    stored = []
    for execution in waiting:
        with suppress(FunctionNotFound):
            enqueue(conn, execution, request)
            stored.append(execution)
    return stored


def claim(
    conn: sqlite3.Connection, limit: int, now: int, *, after: int = 0, skip: Collection[str] = ()
) -> tuple[list[Job], int]:
    """Claim up to `limit` waiting executions, which become `processing`.

    Return them and the `after` of the next claim. Functions take turns: each gives its oldest
    execution, in rounds, beginning behind the function `after` (a sequence, 0 at first). Functions
    in `skip` (ids) are left out.
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
    if not taken:
        return [], after
    return _start(conn, [sequence for _, _, sequence in taken], now), turns[taken[-1][1]]


def _turns(conn: sqlite3.Connection, limit: int, after: int, skip: Collection[str]) -> list[int]:
    """Return up to `limit` functions (sequences) with waiting executions.

    Functions behind `after` come first.
    """
    sql = (
        "SELECT function, id FROM execution_requests"
        " JOIN functions ON functions.sequence = function"
        " WHERE state = 'waiting' AND function > ? AND function <= ? ORDER BY function LIMIT 1"
    )
    turns: list[int] = []
    for position, last in ((after, INTEGER_MAX), (0, after)):
        while len(turns) < limit:
            row = conn.execute(sql, (position, last)).fetchone()
            if row is None:
                break
            position, function_id = row
            if function_id not in skip:
                turns.append(position)
    return turns


def _start(conn: sqlite3.Connection, sequences: list[int], now: int) -> list[Job]:
    marks = ", ".join("?" * len(sequences))
    rows = conn.execute(
        f"UPDATE execution_requests SET state = 'processing' WHERE execution IN ({marks})"
        f" RETURNING execution, {_COLUMNS}",
        sequences,
    )
    requests = {row[0]: _request(row[1:]) for row in rows}
    for sequence, body in conn.execute(
        f"SELECT * FROM execution_bodies WHERE execution IN ({marks})", sequences
    ):
        requests[sequence] = msgspec.structs.replace(requests[sequence], body=body)
    rows = conn.execute(
        f"UPDATE executions SET status = 'processing', updated_at = ? WHERE sequence IN ({marks})"
        f" RETURNING {executions.TABLE.columns}",
        (now, *sequences),
    )
    started = {execution.sequence: execution for execution in map(executions.TABLE.record, rows)}
    return [Job(execution=started[sequence], request=requests[sequence]) for sequence in sequences]


def _request(row: tuple[Any, ...]) -> ExecutionRequest:
    values = dict(zip((*_FIELDS, "body"), row, strict=True))
    values["headers"] = _decode_headers(values["headers"])
    values["keep_answer"] = bool(values["keep_answer"])
    return ExecutionRequest(**values)


def finish(conn: sqlite3.Connection, execution: Execution, answer: bytes = b"") -> bool:
    """Record the end of a claimed execution and delete its request.

    Return False when its function was deleted meanwhile. The end of `answer` is kept if the request
    asked for it.
    """
    e = execution
    sql = "DELETE FROM execution_requests WHERE execution = ? RETURNING keep_answer"
    row = conn.execute(sql, (e.sequence,)).fetchone()
    if row is None:
        return False
    conn.execute(
        "UPDATE executions SET updated_at = ?, deployment_id = ?, status = ?,"
        " response_status_code = ?, response_headers = ?, logs = ?, errors = ?,"
        " duration_seconds = ? WHERE sequence = ?",
        (
            e.updated_at, e.deployment_id, e.status, e.response_status_code,
            _encode(e.response_headers).decode(), e.logs, e.errors, e.duration_seconds, e.sequence,
        ),
    )  # fmt: skip
    if row[0] and answer:
        execution_answers.keep(conn, e.sequence, answer)
    usage.count_late(conn, e.sequence)
    return True


def recover(conn: sqlite3.Connection, reason: str, now: int) -> int:
    """Fail the executions that a stop interrupted, with `reason` as their errors.

    Return the count.
    """
    conn.execute(
        "UPDATE executions SET status = 'failed', response_status_code = 500, errors = ?,"
        " updated_at = ?"
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
    """Fail the executions that run, wait or are due, with `reason` as their errors.

    Return the count.
    """
    conn.execute(
        "UPDATE execution_requests SET state = 'processing' WHERE state = 'waiting'"
        " OR (state = 'scheduled' AND due_at <= ?)",
        (now,),
    )
    return recover(conn, reason, now)


def requeue(conn: sqlite3.Connection, now: int) -> None:
    """Make claimed executions that have not ended `waiting` again, because the server stops."""
    conn.execute(
        "UPDATE executions SET status = 'waiting', updated_at = ?"
        " WHERE sequence IN (SELECT execution FROM execution_requests WHERE state = 'processing')",
        (now,),
    )
    conn.execute("UPDATE execution_requests SET state = 'waiting' WHERE state = 'processing'")


def release_due(conn: sqlite3.Connection, now: int) -> int:
    """Make the scheduled executions that are due `waiting`; return the count."""
    rows = conn.execute(
        "UPDATE execution_requests SET state = 'waiting' WHERE state = 'scheduled' AND due_at <= ?"
        " RETURNING execution",
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
    """Count the content of the queue, without reading the bodies."""
    rows = conn.execute(
        "SELECT state, id, count(*), sum(coalesce(length(long.body), length(inline.body)))"
        " FROM execution_requests AS inline JOIN functions ON functions.sequence = function"
        " LEFT JOIN execution_bodies AS long USING (execution) GROUP BY state, id"
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
