"""Executions: rows, lists and search."""

import sqlite3

import msgspec
import pytest

from minifn.errors import ExecutionInProgress, ExecutionNotFound, FunctionNotFound
from minifn.store import execution_queue, executions
from minifn.store.queries import Query
from minifn.store.writer import ITEMS_MAX
from tests.store.queued import enqueue, finished


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


def test_any_number_of_executions_is_stored_in_their_order(conn: sqlite3.Connection) -> None:
    for count in range(1, ITEMS_MAX + 1):
        new = [finished(request_path=f"/{count}/{number}") for number in range(count)]
        executions.insert_each(conn, new)
        rows = conn.execute("SELECT id FROM executions ORDER BY sequence DESC LIMIT ?", (count,))
        assert [row[0] for row in rows] == [execution.id for execution in reversed(new)]
    (stored,) = conn.execute("SELECT count(*) FROM executions").fetchone()
    assert stored == ITEMS_MAX * (ITEMS_MAX + 1) // 2


def test_no_execution_is_stored_with_one_of_a_deleted_function(conn: sqlite3.Connection) -> None:
    with pytest.raises(FunctionNotFound):
        executions.insert_each(conn, [finished(), finished("gone"), finished()])
    assert conn.execute("SELECT count(*) FROM executions").fetchone() == (0,)


def test_users_see_only_their_own_executions(conn: sqlite3.Connection) -> None:
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


def test_only_finished_and_scheduled_executions_can_be_deleted(conn: sqlite3.Connection) -> None:
    execution = enqueue(conn)
    with pytest.raises(ExecutionInProgress):
        executions.delete(conn, "fn", execution.id)
    (job,), _ = execution_queue.claim(conn, 1, 1)
    with pytest.raises(ExecutionInProgress):
        executions.delete(conn, "fn", execution.id)
    execution_queue.finish(conn, msgspec.structs.replace(job.execution, status="completed"))
    assert executions.delete(conn, "fn", execution.id).id == execution.id
    with pytest.raises(ExecutionNotFound):
        executions.delete(conn, "fn", execution.id)


def test_executions_are_searched_by_their_function_and_their_id(conn: sqlite3.Connection) -> None:
    first, second = finished(id="660aa1"), finished(id="660bb2")
    for execution in (first, second):
        executions.insert(conn, execution)

    def found(search: str) -> list[str]:
        return [item.id for item in executions.page(conn, "fn", Query(search=search)).items]

    assert found("fn") == found("x 660") == [first.id, second.id]
    assert found("660AA1 nothing") == found("660a") == [first.id]
    assert found("bb2") == found("***") == []
