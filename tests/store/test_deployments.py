"""Chunks, claims, statuses of builds, activation, and the function's latest deployment."""

import random
import sqlite3

import msgspec
import pytest

from minifn.errors import BuildAlreadyCompleted, BuildNotReady, DeploymentNotFound, FunctionNotFound
from minifn.ids import new_id
from minifn.limits import LOG_LIMIT_CHARS, UPLOAD_PAUSE_SECONDS_MAX
from minifn.models import Deployment, Function
from minifn.store import deployments, functions
from minifn.store.attributes import DEPLOYMENTS
from minifn.store.deployments import BuildResult
from minifn.store.queries import Comparison, Method, Query

READY = BuildResult(status="ready", duration_seconds=2, build_size_bytes=10)


def upload(conn: sqlite3.Connection, **fields: object) -> Deployment:
    fresh = Deployment(
        id=new_id(), function_id="fn", created_at=1, updated_at=1, entrypoint="main.py"
    )
    return deployments.insert(conn, msgspec.structs.replace(fresh, **fields))


def build(
    conn: sqlite3.Connection, deployment: Deployment, result: BuildResult = READY
) -> Deployment | None:
    claimed = deployments.claim(conn, 5)
    assert claimed is not None
    assert claimed.id == deployment.id
    deployments.start_building(conn, deployment.id, 6)
    return deployments.finish(conn, deployment.id, result, 7)


def function(conn: sqlite3.Connection) -> Function:
    found = functions.get(conn, "fn")
    assert found is not None
    return found


def test_chunks_arrive_in_any_order_and_more_than_once(conn: sqlite3.Connection) -> None:
    deployment = upload(conn, chunks_total=4, chunks_uploaded=0)
    numbers = [0, 1, 2, 3, 2, 0]
    random.Random(5).shuffle(numbers)
    completed = [deployments.add_chunk(conn, deployment.id, number, 2)[1] for number in numbers]
    assert completed.count(True) == 1
    assert completed.index(True) == max(numbers.index(number) for number in range(4))
    again, completed_again = deployments.add_chunk(conn, deployment.id, 1, 3)
    assert (again.chunks_uploaded, completed_again) == (4, False)


def test_only_whole_uploads_are_built_the_oldest_first(conn: sqlite3.Connection) -> None:
    partial = upload(conn, chunks_total=2, chunks_uploaded=1)
    first, second = upload(conn), upload(conn)
    claims = [deployments.claim(conn, 5) for _ in range(3)]
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
    assert deployments.claim(conn, 5)
    assert deployments.claim(conn, 5)
    assert deployments.finish(conn, newer.id, READY, 6)
    assert deployments.finish(conn, older.id, READY, 7)
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
        deployments.claim(conn, 5000)
    canceled = deployments.cancel(conn, "fn", deployment.id, 8000)
    assert canceled.status == "canceled"
    assert canceled.build_duration_seconds == (3 if claimed else 0)
    assert canceled.build_id == canceled.id
    assert deployments.start_building(conn, deployment.id, 9000) is None
    assert deployments.finish(conn, deployment.id, READY, 9000) is None
    assert deployments.append_logs(conn, deployment.id, "late") is None
    assert deployments.cancel(conn, "fn", deployment.id, 9500) == canceled
    assert function(conn).deployment_id == ""
    assert function(conn).latest_deployment_status == "canceled"
    assert deployments.claim(conn, 9999) is None


@pytest.mark.parametrize("status", ["ready", "failed"])
def test_a_finished_build_cannot_be_canceled(conn: sqlite3.Connection, status: str) -> None:
    deployment = upload(conn)
    build(conn, deployment, msgspec.structs.replace(READY, status=status))
    with pytest.raises(BuildAlreadyCompleted):
        deployments.cancel(conn, "fn", deployment.id, 9)


def test_a_deleted_deployment_is_neither_active_nor_built(conn: sqlite3.Connection) -> None:
    first = upload(conn, activate=True)
    build(conn, first)
    second = upload(conn)
    assert deployments.delete(conn, "fn", first.id, 9).id == first.id
    now = function(conn)
    assert (now.deployment_id, now.deployment_created_at, now.latest_deployment_id) == (
        "",
        0,
        second.id,
    )
    deployments.claim(conn, 10)
    deployments.delete(conn, "fn", second.id, 11)
    assert deployments.finish(conn, second.id, READY, 12) is None
    assert function(conn).latest_deployment_id == ""
    with pytest.raises(DeploymentNotFound):
        deployments.delete(conn, "fn", second.id, 13)
    with pytest.raises(DeploymentNotFound):
        deployments.add_chunk(conn, second.id, 0, 14)


def test_activation_needs_a_ready_deployment_of_the_function(conn: sqlite3.Connection) -> None:
    functions.insert(conn, Function(id="other", name="o", runtime="r"))
    deployment = upload(conn)
    with pytest.raises(BuildNotReady):
        deployments.activate(conn, "fn", deployment.id, 3)
    build(conn, deployment)
    with pytest.raises(DeploymentNotFound):
        deployments.activate(conn, "other", deployment.id, 8)
    with pytest.raises(FunctionNotFound):
        deployments.activate(conn, "unknown", deployment.id, 8)
    assert deployments.activate(conn, "fn", deployment.id, 9).deployment_id == deployment.id
    assert function(conn).deployment_id == deployment.id


def test_build_logs_keep_their_end(conn: sqlite3.Connection) -> None:
    deployment = upload(conn)
    deployments.claim(conn, 5)
    assert deployments.append_logs(conn, deployment.id, "a" * LOG_LIMIT_CHARS) == LOG_LIMIT_CHARS
    assert deployments.append_logs(conn, deployment.id, "the end") == LOG_LIMIT_CHARS
    stored = deployments.get(conn, "fn", deployment.id)
    assert stored is not None
    assert len(stored.build_logs) == LOG_LIMIT_CHARS
    assert stored.build_logs.endswith("athe end")


def test_interrupted_builds_are_built_again(conn: sqlite3.Connection) -> None:
    deployment = upload(conn)
    deployments.claim(conn, 5)
    deployments.append_logs(conn, deployment.id, "half")
    assert deployments.requeue_unfinished(conn, 6) == 1
    again = deployments.claim(conn, 7)
    assert again is not None
    assert (again.id, again.build_logs) == (deployment.id, "")


def test_retention_spares_the_active_deployment(conn: sqlite3.Connection) -> None:
    kept = upload(conn, activate=True)
    build(conn, kept)
    old = upload(conn)
    build(conn, old)
    young = upload(conn, created_at=86_400_000 * 3)
    build(conn, young)
    now = 86_400_000 * 4
    assert deployments.expired(conn, now, 10) == []
    functions.update(conn, msgspec.structs.replace(function(conn), deployment_retention_days=2))
    assert deployments.expired(conn, now, 10) == [old.id]
    assert deployments.expired(conn, now, 0) == []
    gone = deployments.delete_expired(conn, [kept.id, old.id, young.id], now)
    assert [item.id for item in gone] == [old.id]
    assert deployments.ids(conn) == {kept.id, young.id}


def test_an_abandoned_upload_is_kept_for_a_day(conn: sqlite3.Connection) -> None:
    given_up = upload(conn, chunks_total=2, chunks_uploaded=0)
    deployments.add_chunk(conn, given_up.id, 0, 1000)
    whole, fetching = upload(conn), upload(conn, chunks_total=1, chunks_uploaded=0)
    late = 1000 + UPLOAD_PAUSE_SECONDS_MAX * 1000
    assert deployments.expired(conn, late, 10) == []
    assert deployments.expired(conn, late + 1, 10) == [given_up.id]
    gone = deployments.delete_expired(conn, [given_up.id, whole.id, fetching.id], late + 1)
    assert [item.id for item in gone] == [given_up.id]
    assert deployments.ids(conn) == {whole.id, fetching.id}


def test_lists_are_filtered_and_searched(conn: sqlite3.Connection) -> None:
    small, large = (
        upload(conn, source_size_bytes=1),
        upload(conn, source_size_bytes=9, entrypoint="src/app.js"),
    )
    by_size = deployments.page(
        conn,
        "fn",
        Query(filters=(Comparison(Method.GREATER_THAN, DEPLOYMENTS["total_size_bytes"], (5,)),)),
    )
    assert [item.id for item in by_size.items] == [large.id]
    assert [item.id for item in deployments.page(conn, "fn", Query(search="main")).items] == [
        small.id
    ]
    assert deployments.page(conn, "fn", Query(search="java")).total == 0
