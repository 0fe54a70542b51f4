"""Deployments of the function `fn`, and their builds."""

import sqlite3

import msgspec

from minifn.ids import new_id
from minifn.models import Deployment, Function
from minifn.store import build_queue, deployments, functions
from minifn.store.build_queue import BuildResult

READY = BuildResult(status="ready", duration_seconds=2, build_size_bytes=10)


def upload(conn: sqlite3.Connection, **fields: object) -> Deployment:
    fresh = Deployment(
        id=new_id(), function_id="fn", created_at=1, updated_at=1, entrypoint="main.py"
    )
    return deployments.insert(conn, msgspec.structs.replace(fresh, **fields))


def build(
    conn: sqlite3.Connection, deployment: Deployment, result: BuildResult = READY
) -> Deployment | None:
    claimed = build_queue.claim(conn, 5)
    assert claimed is not None
    assert claimed.id == deployment.id
    build_queue.start_building(conn, deployment.id, 6)
    return build_queue.finish(conn, deployment.id, result, 7)


def function(conn: sqlite3.Connection) -> Function:
    found = functions.get(conn, "fn")
    assert found is not None
    return found
