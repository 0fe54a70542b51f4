"""Executions for the tests of the store, finished or queued."""

import sqlite3

import msgspec

from minifn.ids import new_id
from minifn.models import Execution, ExecutionRequest
from minifn.store import execution_queue

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
    return msgspec.structs.replace(
        execution, sequence=execution_queue.enqueue(conn, execution, REQUEST)
    )


def claimed(conn: sqlite3.Connection, limit: int = 100, now: int = 1, after: int = 0) -> list[str]:
    return [
        job.execution.function_id for job in execution_queue.claim(conn, limit, now, after=after)[0]
    ]
