"""Chunks, activation, deletion, retention and lists."""

import random
import sqlite3

import msgspec
import pytest

from minifn.errors import BuildNotReady, DeploymentNotFound, FunctionNotFound
from minifn.limits import UPLOAD_PAUSE_SECONDS_MAX
from minifn.models import Function
from minifn.store import build_queue, deployments, functions
from minifn.store.attributes import DEPLOYMENTS
from minifn.store.queries import Comparison, Method, Query
from tests.store.deploying import READY, build, function, upload


def test_chunks_arrive_in_any_order_and_more_than_once(conn: sqlite3.Connection) -> None:
    deployment = upload(conn, chunks_total=4, chunks_uploaded=0)
    numbers = [0, 1, 2, 3, 2, 0]
    random.Random(5).shuffle(numbers)
    completed = [deployments.add_chunk(conn, deployment.id, number, 2)[1] for number in numbers]
    assert completed.count(True) == 1
    assert completed.index(True) == max(numbers.index(number) for number in range(4))
    again, completed_again = deployments.add_chunk(conn, deployment.id, 1, 3)
    assert (again.chunks_uploaded, completed_again) == (4, False)


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
    build_queue.claim(conn, 10)
    deployments.delete(conn, "fn", second.id, 11)
    assert build_queue.finish(conn, second.id, READY, 12) is None
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
