"""The execution rows as a record and as a queue."""

import os
import sqlite3

import msgspec
import pytest

from minifn.errors import ExecutionInProgress, ExecutionNotFound, FunctionNotFound
from minifn.ids import new_id
from minifn.models import Execution, ExecutionRequest, Function
from minifn.store import executions, functions
from minifn.store.queries import Query

REQUEST = ExecutionRequest(
    method="PUT",
    path="/x?y=1",
    headers=(("content-type", "text/plain"),),
    body=b"\x00\xff",
    user_id="ann",
    depth=2,
)


def finished(function_id: str = "fn", **fields: object) -> Execution:
    return msgspec.structs.replace(
        Execution(id=new_id(), function_id=function_id, status="completed"), **fields
    )


def enqueue(conn: sqlite3.Connection, function_id: str = "fn", **fields: object) -> Execution:
    execution = finished(function_id, **{"status": "waiting", **fields})
    return msgspec.structs.replace(execution, sequence=executions.enqueue(conn, execution, REQUEST))


def claimed(conn: sqlite3.Connection, limit: int = 100, now: int = 1, after: int = 0) -> list[str]:
    return [job.execution.function_id for job in executions.claim(conn, limit, now, after=after)[0]]


def test_an_execution_is_read_as_it_was_stored(conn: sqlite3.Connection) -> None:
    execution = finished(
        created_at=1,
        updated_at=2,
        deployment_id="d",
        trigger="event",
        user_id="ann",
        request_method="GET",
        request_path="/a?b",
        request_headers=(("host", "h"),),
        response_status_code=201,
        response_headers=(("content-type", "x"),),
        logs="l\n",
        errors="e",
        duration_seconds=0.25,
        scheduled_at=7,
    )
    sequence = executions.insert(conn, execution)
    assert executions.get(conn, "fn", execution.id) == msgspec.structs.replace(
        execution, sequence=sequence
    )


def test_an_execution_of_a_deleted_function_is_refused(conn: sqlite3.Connection) -> None:
    with pytest.raises(FunctionNotFound):
        executions.insert(conn, finished("gone"))


def test_users_see_only_what_they_asked_for(conn: sqlite3.Connection) -> None:
    of_ann, of_guest = finished(user_id="ann"), finished()
    for execution in (of_ann, of_guest):
        executions.insert(conn, execution)
    assert executions.get(conn, "fn", of_ann.id, user_id="ann") is not None
    assert executions.get(conn, "fn", of_ann.id, user_id="bob") is None
    assert executions.get(conn, "fn", of_guest.id, user_id="") is None
    assert [item.id for item in executions.page(conn, "fn", Query(), user_id="ann").items] == [
        of_ann.id
    ]
    assert executions.page(conn, "fn", Query(), user_id="").total == 0
    assert executions.page(conn, "fn", Query()).total == 2


def test_a_queued_execution_is_claimed_once_with_its_request_and_finished(
    conn: sqlite3.Connection,
) -> None:
    enqueued = enqueue(conn)
    (job,), _ = executions.claim(conn, 5, 9)
    assert job.request == REQUEST
    assert job.execution == msgspec.structs.replace(enqueued, status="processing", updated_at=9)
    assert claimed(conn) == []
    done = msgspec.structs.replace(
        job.execution, status="failed", logs="l", response_status_code=500, updated_at=10
    )
    assert executions.finish(conn, done)
    assert executions.get(conn, "fn", done.id) == done
    assert not executions.finish(conn, done)
    assert conn.execute("SELECT count(*) FROM execution_requests").fetchone() == (0,)


def test_claims_take_turns_between_functions(conn: sqlite3.Connection) -> None:
    for function_id in ("b", "c"):
        functions.insert(conn, Function(id=function_id, name=function_id, runtime="r"))
    for function_id in ["fn"] * 6 + ["b"] * 2 + ["c"]:
        enqueue(conn, function_id)
    assert executions.stored(conn).waiting == 9
    assert claimed(conn, 4) == ["fn", "b", "c", "fn"]
    assert claimed(conn) == ["fn", "b", "fn", "fn", "fn"]


def test_a_claim_begins_behind_the_function_served_last(conn: sqlite3.Connection) -> None:
    for function_id in ("b", "c"):
        functions.insert(conn, Function(id=function_id, name=function_id, runtime="r"))
    for function_id in ("fn", "b", "c") * 2:
        enqueue(conn, function_id)
    served, after = [], 0
    for _ in range(6):
        jobs, after = executions.claim(conn, 1, 1, after=after)
        served += [job.execution.function_id for job in jobs]
    assert served == ["fn", "b", "c", "fn", "b", "c"]
    assert executions.claim(conn, 1, 1, after=after) == ([], after)


def test_functions_can_be_skipped(conn: sqlite3.Connection) -> None:
    enqueue(conn)
    assert executions.claim(conn, 5, 1, skip={"fn"}) == ([], 0)
    assert claimed(conn) == ["fn"]


def test_a_scheduled_execution_waits_for_its_instant(conn: sqlite3.Connection) -> None:
    later = enqueue(conn, status="scheduled", scheduled_at=2000)
    sooner = enqueue(conn, status="scheduled", scheduled_at=1000)
    assert executions.next_due(conn) == 1000
    assert executions.release_due(conn, 999) == 0
    assert claimed(conn, now=999) == []
    assert executions.release_due(conn, 1000) == 1
    (job,), _ = executions.claim(conn, 5, 1000)
    assert job.execution.id == sooner.id
    assert executions.next_due(conn) == 2000
    executions.delete(conn, "fn", later.id)
    assert executions.next_due(conn) is None
    assert executions.release_due(conn, 5000) == 0
    assert claimed(conn, now=5000) == []


def test_what_was_running_when_the_server_was_killed_has_failed(conn: sqlite3.Connection) -> None:
    running, waiting = enqueue(conn), enqueue(conn)
    executions.claim(conn, 1, 1)
    assert executions.recover(conn, "the server stopped", 50) == 1
    failed = executions.get(conn, "fn", running.id)
    assert failed is not None
    assert (failed.status, failed.errors, failed.response_status_code) == (
        "failed",
        "the server stopped",
        500,
    )
    (job,), _ = executions.claim(conn, 5, 60)
    assert job.execution.id == waiting.id


def test_an_interrupted_execution_can_go_back_into_the_queue(conn: sqlite3.Connection) -> None:
    enqueued = enqueue(conn)
    executions.claim(conn, 1, 1)
    executions.requeue(conn, 2)
    (job,), _ = executions.claim(conn, 1, 3)
    assert (job.execution.id, job.request) == (enqueued.id, REQUEST)


def test_only_finished_and_scheduled_executions_can_be_deleted(conn: sqlite3.Connection) -> None:
    execution = enqueue(conn)
    with pytest.raises(ExecutionInProgress):
        executions.delete(conn, "fn", execution.id)
    (job,), _ = executions.claim(conn, 1, 1)
    with pytest.raises(ExecutionInProgress):
        executions.delete(conn, "fn", execution.id)
    executions.finish(conn, msgspec.structs.replace(job.execution, status="completed"))
    assert executions.delete(conn, "fn", execution.id).id == execution.id
    with pytest.raises(ExecutionNotFound):
        executions.delete(conn, "fn", execution.id)


def test_old_executions_are_deleted_in_batches_and_unfinished_ones_kept(
    conn: sqlite3.Connection,
) -> None:
    scheduled = enqueue(conn, status="scheduled", scheduled_at=10**12, created_at=1)
    for created_at in range(10):
        executions.insert(conn, finished(created_at=created_at))
    batches: list[int] = []
    while batches[-1:] != [0]:
        batches.append(executions.delete_older(conn, 7, 3))
    assert sum(batches) == 7
    assert max(batches) <= 3
    assert {item.created_at for item in executions.page(conn, "fn", Query()).items} == {1, 7, 8, 9}
    assert executions.get(conn, "fn", scheduled.id) is not None


def test_a_function_created_again_does_not_inherit_executions(conn: sqlite3.Connection) -> None:
    old = enqueue(conn)
    for _ in range(4):
        executions.insert(conn, finished())
    (job,), _ = executions.claim(conn, 1, 1)
    assert functions.delete(conn, "fn")
    functions.insert(conn, Function(id="fn", name="again", runtime="r"))
    assert executions.page(conn, "fn", Query()).total == 0
    assert executions.get(conn, "fn", old.id) is None
    assert not executions.finish(conn, job.execution)
    assert [executions.purge(conn, 3), executions.purge(conn, 3), executions.purge(conn, 3)] == [
        3,
        2,
        0,
    ]
    assert conn.execute("SELECT count(*) FROM executions").fetchone() == (0,)


def test_purging_does_not_stop_at_a_function_that_never_ran(conn: sqlite3.Connection) -> None:
    functions.insert(conn, Function(id="idle", name="idle", runtime="r"))
    functions.delete(conn, "idle")
    executions.insert(conn, finished())
    functions.delete(conn, "fn")
    assert [executions.purge(conn, 5), executions.purge(conn, 5)] == [1, 0]
    assert conn.execute("SELECT count(*) FROM deleted_functions").fetchone() == (0,)


def test_unfinished_executions_do_not_keep_old_ones_from_being_deleted(
    conn: sqlite3.Connection,
) -> None:
    for _ in range(5):
        enqueue(conn, status="scheduled", scheduled_at=10**12, created_at=1)
    for _ in range(3):
        executions.insert(conn, finished(created_at=2))
    assert [executions.delete_older(conn, 7, 2) for _ in range(3)] == [2, 1, 0]


def test_executions_are_searched_by_their_function_and_their_id(conn: sqlite3.Connection) -> None:
    first, second = finished(id="660aa1"), finished(id="660bb2")
    for execution in (first, second):
        executions.insert(conn, execution)

    def found(search: str) -> list[str]:
        return [item.id for item in executions.page(conn, "fn", Query(search=search)).items]

    assert found("fn") == found("x 660") == [first.id, second.id]
    assert found("660AA1 nothing") == found("660a") == [first.id]
    assert found("bb2") == found("***") == []


def test_a_long_body_is_written_once_and_goes_with_its_execution(conn: sqlite3.Connection) -> None:
    conn.execute("PRAGMA journal_mode = WAL")
    body = os.urandom(1_000_000)
    execution = Execution(id=new_id(), function_id="fn", trigger="http", status="waiting")
    conn.execute("BEGIN")
    executions.enqueue(conn, execution, msgspec.structs.replace(REQUEST, body=body))
    conn.execute("COMMIT")
    assert executions.stored(conn).size_bytes == len(body)
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    conn.execute("BEGIN")
    (job,), _ = executions.claim(conn, 5, 9)
    conn.execute("COMMIT")
    assert job.request.body == body
    # A few pages, where the body has hundreds.
    assert conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1] - pages < 20
    executions.requeue(conn, 10)
    (job,), _ = executions.claim(conn, 5, 11)
    assert job.request.body == body
    assert executions.finish(conn, job.execution)
    assert conn.execute("SELECT count(*) FROM execution_bodies").fetchone() == (0,)
    assert executions.stored(conn).size_bytes == 0
