"""The queue of builds: a deployment that waits is claimed, built, and ends once.

SQL guards each move of a status: a build that ends after it was canceled or deleted changes
nothing, and the caller gets None.
"""

import sqlite3
from collections.abc import Sequence

import msgspec

from minifn.errors import BuildAlreadyCompleted, DeploymentNotFound
from minifn.limits import LOG_LIMIT_CHARS
from minifn.models import Deployment, DeploymentStatus
from minifn.store import usage
from minifn.store.deployments import by_id, get, refresh_latest


class BuildResult(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a build. `build_logs` None keeps the logs that were appended while it ran."""

    status: DeploymentStatus
    duration_seconds: int
    build_size_bytes: int = 0
    build_identity: str = ""
    build_sha256: str = ""
    build_logs: str | None = None


def claim(conn: sqlite3.Connection, now: int) -> Deployment | None:
    """Claim an uploaded deployment that waits for its build: `waiting` becomes `processing`.

    Active deployments come first, because after a restore their functions cannot answer; then the
    oldest. The build has the deployment's id, as each deployment has one build.
    """
    row = conn.execute(
        "UPDATE deployments"
        " SET status = 'processing', build_id = id, build_started_at = ?, updated_at = ?"
        " WHERE sequence = (SELECT sequence FROM deployments"
        "  WHERE status = 'waiting' AND chunks_uploaded >= chunks_total"
        "  ORDER BY id NOT IN (SELECT deployment_id FROM functions), sequence LIMIT 1)"
        " RETURNING id, function_id",
        (now, now),
    ).fetchone()
    if row is None:
        return None
    refresh_latest(conn, row[1])
    return by_id(conn, row[0])


def start_building(conn: sqlite3.Connection, deployment_id: str, now: int) -> Deployment | None:
    """Move a claimed deployment to `building`; None when it was canceled or deleted."""
    return _move(conn, deployment_id, ("processing",), "status = 'building', updated_at = ?", now)


def append_logs(conn: sqlite3.Connection, deployment_id: str, text: str) -> int | None:
    """Append to the build logs, which keep their last LOG_LIMIT_CHARS characters.

    Return the number of characters kept, None when the build has ended.
    """
    row = conn.execute(
        "UPDATE deployments SET build_logs = substr(build_logs || ?, ?)"
        " WHERE id = ? AND status IN ('processing', 'building') RETURNING length(build_logs)",
        (text, -LOG_LIMIT_CHARS, deployment_id),
    ).fetchone()
    return None if row is None else int(row[0])


def finish(
    conn: sqlite3.Connection, deployment_id: str, result: BuildResult, now: int
) -> Deployment | None:
    """Record the end of a build; return None when it was canceled or deleted meanwhile.

    A ready deployment with `activate` becomes active unless the active one was created later and
    this one was not chosen since (see `deployments.activate`).
    """
    changes = (
        "status = ?, build_duration_seconds = ?, build_size_bytes = ?, build_identity = ?,"
        " build_sha256 = ?, updated_at = ?"
    )
    values: list[object] = [
        *(result.status, result.duration_seconds, result.build_size_bytes),
        *(result.build_identity, result.build_sha256, now),
    ]
    if result.build_logs is not None:
        changes += ", build_logs = ?"
        values.append(result.build_logs[-LOG_LIMIT_CHARS:])
    deployment = _move(conn, deployment_id, ("processing", "building"), changes, *values)
    if deployment is None:
        return None
    usage.count_build(conn, deployment_id, now)
    if deployment.status != "ready":
        return deployment
    if deployment.activate:
        conn.execute(
            "UPDATE functions"
            " SET deployment_id = ?, deployment_created_at = ?, live = 1, updated_at = ?"
            " WHERE id = ? AND (deployment_id = '' OR ? OR deployment_id NOT IN"
            " (SELECT id FROM deployments WHERE function_id = ? AND sequence > ?))",
            (
                deployment.id, deployment.created_at, now,
                deployment.function_id, deployment.build_removed,
                deployment.function_id, deployment.sequence,
            ),
        )  # fmt: skip
    conn.execute("UPDATE deployments SET build_removed = 0 WHERE id = ?", (deployment_id,))
    return msgspec.structs.replace(deployment, build_removed=False)


def cancel(
    conn: sqlite3.Connection, function_id: str, deployment_id: str, now: int, *, note: str = ""
) -> Deployment:
    """Move an unfinished build to `canceled` and append `note` to its logs.

    A canceled one is returned as it is. Raises DeploymentNotFound, and BuildAlreadyCompleted for
    one that is ready or failed.
    """
    deployment = get(conn, function_id, deployment_id)
    if deployment is None:
        raise DeploymentNotFound
    if deployment.status in ("ready", "failed"):
        raise BuildAlreadyCompleted
    if deployment.status == "canceled":
        return deployment
    moved = _move(
        conn,
        deployment_id,
        (deployment.status,),
        "status = 'canceled', build_id = id, updated_at = ?,"
        " build_logs = substr(build_logs || ?, ?), build_duration_seconds ="
        "  CASE build_started_at WHEN 0 THEN 0 ELSE (? - build_started_at) / 1000 END",
        now,
        note,
        -LOG_LIMIT_CHARS,
        now,
    )
    assert moved is not None
    return moved


def requeue_unfinished(conn: sqlite3.Connection, now: int) -> int:
    """Queue the builds that a stop interrupted again; return the count. For the server's start."""
    rows = conn.execute(
        "UPDATE deployments"
        " SET status = 'waiting', build_started_at = 0, build_logs = '', updated_at = ?"
        " WHERE status IN ('processing', 'building') RETURNING function_id",
        (now,),
    ).fetchall()
    for (function_id,) in rows:
        refresh_latest(conn, function_id)
    return len(rows)


def _move(
    conn: sqlite3.Connection,
    deployment_id: str,
    sources: Sequence[DeploymentStatus],
    changes: str,
    *values: object,
) -> Deployment | None:
    marks = ", ".join("?" * len(sources))
    changed = conn.execute(
        f"UPDATE deployments SET {changes} WHERE id = ? AND status IN ({marks})",
        (*values, deployment_id, *sources),
    )
    if not changed.rowcount:
        return None
    deployment = by_id(conn, deployment_id)
    assert deployment is not None
    refresh_latest(conn, deployment.function_id)
    return deployment
