"""Deletion of old executions and of those of deleted functions."""

import sqlite3

import pytest

from minifn.models import Function
from minifn.store import execution_queue, executions, functions, retention
from minifn.store.queries import Query
from tests.store.filling import fill
from tests.store.queued import enqueue, finished


def test_old_executions_are_deleted_in_batches_and_unfinished_ones_kept(
    conn: sqlite3.Connection,
) -> None:
    scheduled = enqueue(conn, status="scheduled", scheduled_at=10**12, created_at=1)
    for created_at in range(10):
        executions.insert(conn, finished(created_at=created_at))
    batches: list[int] = []
    while batches[-1:] != [0]:
        batches.append(retention.delete_older(conn, 7, 3))
    assert sum(batches) == 7
    assert max(batches) <= 3
    assert {item.created_at for item in executions.page(conn, "fn", Query()).items} == {1, 7, 8, 9}
    assert executions.get(conn, "fn", scheduled.id) is not None


@pytest.mark.parametrize("filled", [0, 4, 9, 12])
def test_the_newest_of_each_function_are_kept(conn: sqlite3.Connection, filled: int) -> None:
    functions.insert(conn, Function(id="other", name="other", runtime="r"))
    functions.insert(conn, Function(id="idle", name="idle", runtime="r"))
    waiting = enqueue(conn)
    for number in range(12):
        function_id = "other" if number % 4 == 3 else "fn"
        executions.insert(conn, finished(function_id=function_id, created_at=number))
    assert filled == 0 or fill(conn, filled)
    found = retention.beyond(conn, 2)
    assert len(found) == 2
    for function, last in found:
        while retention.delete_through(conn, function, last, 2):
            pass

    def left(function_id: str) -> list[int]:
        return [item.created_at for item in executions.page(conn, function_id, Query()).items]

    assert left("fn") == [waiting.created_at, 9, 10]
    assert left("other") == [7, 11]
    assert [function for function, _ in retention.beyond(conn, 3)] == []


def test_a_function_created_again_does_not_inherit_executions(conn: sqlite3.Connection) -> None:
    old = enqueue(conn)
    for _ in range(4):
        executions.insert(conn, finished())
    (job,), _ = execution_queue.claim(conn, 1, 1)
    assert functions.delete(conn, "fn")
    functions.insert(conn, Function(id="fn", name="again", runtime="r"))
    assert executions.page(conn, "fn", Query()).total == 0
    assert executions.get(conn, "fn", old.id) is None
    assert not execution_queue.finish(conn, job.execution)
    assert [retention.purge(conn, 3), retention.purge(conn, 3), retention.purge(conn, 3)] == [
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
    assert [retention.purge(conn, 5), retention.purge(conn, 5)] == [1, 0]
    assert conn.execute("SELECT count(*) FROM deleted_functions").fetchone() == (0,)


def test_unfinished_executions_do_not_keep_old_ones_from_being_deleted(
    conn: sqlite3.Connection,
) -> None:
    for _ in range(5):
        enqueue(conn, status="scheduled", scheduled_at=10**12, created_at=1)
    for _ in range(3):
        executions.insert(conn, finished(created_at=2))
    assert [retention.delete_older(conn, 7, 2) for _ in range(3)] == [2, 1, 0]
