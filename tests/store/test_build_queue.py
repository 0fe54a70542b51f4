"""Claims, statuses of builds, their logs, and the end that makes a deployment active."""

import sqlite3

import msgspec
import pytest

from minifn.errors import BuildAlreadyCompleted
from minifn.limits import LOG_LIMIT_CHARS
from minifn.store import build_queue, deployments, functions
from tests.store.deploying import READY, build, function, upload


def test_only_whole_uploads_are_built_the_oldest_first(conn: sqlite3.Connection) -> None:
    partial = upload(conn, chunks_total=2, chunks_uploaded=1)
    first, second = upload(conn), upload(conn)
    claims = [build_queue.claim(conn, 5) for _ in range(3)]
    assert [claim and claim.id for claim in claims] == [first.id, second.id, None]
    assert partial.id not in [claim and claim.id for claim in claims]


def test_a_build_goes_from_waiting_to_ready_and_becomes_active(conn: sqlite3.Connection) -> None:
    functions.mark_stale(conn, "fn")
    deployment = upload(conn, activate=True)
    assert function(conn).latest_deployment_status == "waiting"
    assert deployment.build_id == ""
    done = build(conn, deployment)
    assert done is not None
    assert done.build_id == done.id
    timed = (done.status, done.build_started_at, done.build_duration_seconds)
    assert (*timed, done.total_size_bytes) == (
        "ready", 5, 2, 10,
    )  # fmt: skip
    now = function(conn)
    assert (now.deployment_id, now.deployment_created_at, now.live) == (deployment.id, 1, True)
    assert (now.latest_deployment_id, now.latest_deployment_status) == (deployment.id, "ready")


def test_without_activate_the_function_stays_as_it_was(conn: sqlite3.Connection) -> None:
    functions.mark_stale(conn, "fn")
    build(conn, upload(conn))
    assert (function(conn).deployment_id, function(conn).live) == ("", False)


def test_an_older_build_does_not_take_over_from_a_newer_deployment(
    conn: sqlite3.Connection,
) -> None:
    older = upload(conn)
    newer = upload(conn)
    conn.execute("UPDATE deployments SET activate = 1")
    assert build_queue.claim(conn, 5)
    assert build_queue.claim(conn, 5)
    assert build_queue.finish(conn, newer.id, READY, 6)
    assert build_queue.finish(conn, older.id, READY, 7)
    assert function(conn).deployment_id == newer.id


def test_only_the_newest_upload_to_activate_becomes_active(conn: sqlite3.Connection) -> None:
    older = upload(conn, activate=True)
    upload(conn, activate=True)
    stored = deployments.get(conn, "fn", older.id)
    assert stored is not None
    assert not stored.activate


@pytest.mark.parametrize("claimed", [False, True])
def test_canceled_stays_canceled(conn: sqlite3.Connection, claimed: bool) -> None:
    deployment = upload(conn, activate=True)
    if claimed:
        build_queue.claim(conn, 5000)
    canceled = build_queue.cancel(conn, "fn", deployment.id, 8000)
    assert canceled.status == "canceled"
    assert canceled.build_duration_seconds == (3 if claimed else 0)
    assert canceled.build_id == canceled.id
    assert build_queue.start_building(conn, deployment.id, 9000) is None
    assert build_queue.finish(conn, deployment.id, READY, 9000) is None
    assert build_queue.append_logs(conn, deployment.id, "late") is None
    assert build_queue.cancel(conn, "fn", deployment.id, 9500) == canceled
    assert function(conn).deployment_id == ""
    assert function(conn).latest_deployment_status == "canceled"
    assert build_queue.claim(conn, 9999) is None


@pytest.mark.parametrize("status", ["ready", "failed"])
def test_a_finished_build_cannot_be_canceled(conn: sqlite3.Connection, status: str) -> None:
    deployment = upload(conn)
    build(conn, deployment, msgspec.structs.replace(READY, status=status))
    with pytest.raises(BuildAlreadyCompleted):
        build_queue.cancel(conn, "fn", deployment.id, 9)


def test_build_logs_keep_their_end(conn: sqlite3.Connection) -> None:
    deployment = upload(conn)
    build_queue.claim(conn, 5)
    assert build_queue.append_logs(conn, deployment.id, "a" * LOG_LIMIT_CHARS) == LOG_LIMIT_CHARS
    assert build_queue.append_logs(conn, deployment.id, "the end") == LOG_LIMIT_CHARS
    stored = deployments.get(conn, "fn", deployment.id)
    assert stored is not None
    assert len(stored.build_logs) == LOG_LIMIT_CHARS
    assert stored.build_logs.endswith("athe end")


def test_interrupted_builds_are_built_again(conn: sqlite3.Connection) -> None:
    deployment = upload(conn)
    build_queue.claim(conn, 5)
    build_queue.append_logs(conn, deployment.id, "half")
    assert build_queue.requeue_unfinished(conn, 6) == 1
    again = build_queue.claim(conn, 7)
    assert again is not None
    assert (again.id, again.build_logs) == (deployment.id, "")
