"""The queue: claims, delays, interruptions and bodies."""

import os
import sqlite3

import msgspec

from minifn.ids import new_id
from minifn.models import Execution, Function
from minifn.store import execution_queue, executions, functions
from tests.store.queued import REQUEST, claimed, enqueue


def test_a_queued_execution_is_claimed_once_with_its_request_and_finished(
    conn: sqlite3.Connection,
) -> None:
    enqueued = enqueue(conn)
    (job,), _ = execution_queue.claim(conn, 5, 9)
    assert job.request == REQUEST
    assert job.execution == msgspec.structs.replace(enqueued, status="processing", updated_at=9)
    assert claimed(conn) == []
    done = msgspec.structs.replace(
        job.execution, status="failed", logs="l", response_status_code=500, updated_at=10
    )
    assert execution_queue.finish(conn, done)
    assert executions.get(conn, "fn", done.id) == done
    assert not execution_queue.finish(conn, done)
    assert conn.execute("SELECT count(*) FROM execution_requests").fetchone() == (0,)


def test_claims_take_turns_between_functions(conn: sqlite3.Connection) -> None:
    for function_id in ("b", "c"):
        functions.insert(conn, Function(id=function_id, name=function_id, runtime="r"))
    for function_id in ["fn"] * 6 + ["b"] * 2 + ["c"]:
        enqueue(conn, function_id)
    assert execution_queue.stored(conn).waiting == 9
    assert claimed(conn, 4) == ["fn", "b", "c", "fn"]
    assert claimed(conn) == ["fn", "b", "fn", "fn", "fn"]


def test_a_claim_begins_behind_the_function_served_last(conn: sqlite3.Connection) -> None:
    for function_id in ("b", "c"):
        functions.insert(conn, Function(id=function_id, name=function_id, runtime="r"))
    for function_id in ("fn", "b", "c") * 2:
        enqueue(conn, function_id)
    served, after = [], 0
    for _ in range(6):
        jobs, after = execution_queue.claim(conn, 1, 1, after=after)
        served += [job.execution.function_id for job in jobs]
    assert served == ["fn", "b", "c", "fn", "b", "c"]
    assert execution_queue.claim(conn, 1, 1, after=after) == ([], after)


def test_functions_can_be_skipped(conn: sqlite3.Connection) -> None:
    enqueue(conn)
    assert execution_queue.claim(conn, 5, 1, skip={"fn"}) == ([], 0)
    assert claimed(conn) == ["fn"]


def test_a_scheduled_execution_waits_for_its_instant(conn: sqlite3.Connection) -> None:
    later = enqueue(conn, status="scheduled", scheduled_at=2000)
    sooner = enqueue(conn, status="scheduled", scheduled_at=1000)
    assert execution_queue.next_due(conn) == 1000
    assert execution_queue.release_due(conn, 999) == 0
    assert claimed(conn, now=999) == []
    assert execution_queue.release_due(conn, 1000) == 1
    (job,), _ = execution_queue.claim(conn, 5, 1000)
    assert job.execution.id == sooner.id
    assert execution_queue.next_due(conn) == 2000
    executions.delete(conn, "fn", later.id)
    assert execution_queue.next_due(conn) is None
    assert execution_queue.release_due(conn, 5000) == 0
    assert claimed(conn, now=5000) == []


def test_executions_that_a_kill_interrupted_have_failed(conn: sqlite3.Connection) -> None:
    running, waiting = enqueue(conn), enqueue(conn)
    execution_queue.claim(conn, 1, 1)
    assert execution_queue.recover(conn, "the server stopped", 50) == 1
    failed = executions.get(conn, "fn", running.id)
    assert failed is not None
    assert (failed.status, failed.errors, failed.response_status_code) == (
        "failed",
        "the server stopped",
        500,
    )
    (job,), _ = execution_queue.claim(conn, 5, 60)
    assert job.execution.id == waiting.id


def test_an_interrupted_execution_can_go_back_into_the_queue(conn: sqlite3.Connection) -> None:
    enqueued = enqueue(conn)
    execution_queue.claim(conn, 1, 1)
    execution_queue.requeue(conn, 2)
    (job,), _ = execution_queue.claim(conn, 1, 3)
    assert (job.execution.id, job.request) == (enqueued.id, REQUEST)


def test_a_long_body_is_written_once_and_deleted_with_its_execution(
    conn: sqlite3.Connection,
) -> None:
    conn.execute("PRAGMA journal_mode = WAL")
    body = os.urandom(1_000_000)
    execution = Execution(id=new_id(), function_id="fn", trigger="http", status="waiting")
    conn.execute("BEGIN")
    execution_queue.enqueue(conn, execution, msgspec.structs.replace(REQUEST, body=body))
    conn.execute("COMMIT")
    assert execution_queue.stored(conn).size_bytes == len(body)
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    conn.execute("BEGIN")
    (job,), _ = execution_queue.claim(conn, 5, 9)
    conn.execute("COMMIT")
    assert job.request.body == body
    # The log grows by a few pages; the body has hundreds.
    assert conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1] - pages < 20
    execution_queue.requeue(conn, 10)
    (job,), _ = execution_queue.claim(conn, 5, 11)
    assert job.request.body == body
    assert execution_queue.finish(conn, job.execution)
    assert conn.execute("SELECT count(*) FROM execution_bodies").fetchone() == (0,)
    assert execution_queue.stored(conn).size_bytes == 0
