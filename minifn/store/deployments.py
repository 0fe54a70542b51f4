"""Deployments: uploads by chunks, and the statuses of their builds.

SQL guards each move of a status: a build that ends after it was canceled or deleted changes
nothing, and the caller gets None. The function's `latest_deployment_*` columns are kept up to date.
"""

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from minifn.errors import BuildAlreadyCompleted, BuildNotReady, DeploymentNotFound, FunctionNotFound
from minifn.limits import LOG_LIMIT_CHARS, UPLOAD_PAUSE_SECONDS_MAX
from minifn.models import Deployment, DeploymentStatus, Function
from minifn.store import functions, usage
from minifn.store.conditions import Condition, join
from minifn.store.paging import Page, page as list_page
from minifn.store.plans import Scope
from minifn.store.queries import Query
from minifn.store.table import Table

TABLE = Table("deployments", Deployment)
#: Condition of the deployments to delete at the instant ?1: ended ones that are older than their
#: function's retention, and abandoned uploads, which Appwrite keeps for ever.
_EXPIRED = (
    "(status NOT IN ('waiting', 'processing', 'building') AND EXISTS (SELECT 1 FROM functions WHERE"
    " functions.id = deployments.function_id AND functions.deployment_id <> deployments.id"
    " AND deployment_retention_days > 0"
    " AND deployments.created_at < ?1 - deployment_retention_days * 86400000)"
    " OR chunks_uploaded < chunks_total"
    f" AND deployments.updated_at < ?1 - {UPLOAD_PAUSE_SECONDS_MAX * 1000} AND EXISTS"
    " (SELECT 1 FROM deployment_chunks WHERE deployment_id = deployments.id))"
)


class BuildResult(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a build. `build_logs` None keeps the logs that were appended while it ran."""

    status: DeploymentStatus
    duration_seconds: int
    build_size_bytes: int = 0
    build_identity: str = ""
    build_sha256: str = ""
    build_logs: str | None = None


def insert(conn: sqlite3.Connection, deployment: Deployment) -> Deployment:
    """Insert and return `deployment` with its sequence; it becomes its function's latest.

    With `activate`, older unfinished builds of the function no longer become active. Raises
    sqlite3.IntegrityError when the id is taken or the function was deleted.
    """
    inserted = TABLE.insert(conn, deployment)
    if deployment.activate:
        conn.execute(
            "UPDATE deployments SET activate = 0 WHERE function_id = ? AND id <> ? AND activate",
            (deployment.function_id, deployment.id),
        )
    refresh_latest(conn, deployment.function_id)
    return inserted


def get(conn: sqlite3.Connection, function_id: str, deployment_id: str) -> Deployment | None:
    """Return one deployment of a function."""
    return TABLE.first(conn, "id = ? AND function_id = ?", deployment_id, function_id)


def by_id(conn: sqlite3.Connection, deployment_id: str) -> Deployment | None:
    """Return one deployment of any function."""
    return TABLE.first(conn, "id = ?", deployment_id)


def page(
    conn: sqlite3.Connection, function_id: str, query: Query, *, count: bool = True
) -> Page[Deployment]:
    """Return a page of a function's deployments."""
    scope = Condition("function_id = ?", (function_id,))
    if query.search:
        scope = join(
            [scope, Condition("matches_words(id || ' ' || entrypoint, ?)", (query.search,))]
        )
    return list_page(conn, TABLE, query, Scope(scope), count=count)


def of_function(conn: sqlite3.Connection, function_id: str) -> list[str]:
    """Return the ids of a function's deployments."""
    return [
        row[0]
        for row in conn.execute("SELECT id FROM deployments WHERE function_id = ?", (function_id,))
    ]


def ids(conn: sqlite3.Connection) -> set[str]:
    """Return the ids of all deployments."""
    return {row[0] for row in conn.execute("SELECT id FROM deployments")}


def built(conn: sqlite3.Connection) -> set[str]:
    """Return the ids of the deployments whose build can run."""
    rows = conn.execute("SELECT id FROM deployments WHERE status = 'ready' AND NOT build_removed")
    return {row[0] for row in rows}


def uploaded(conn: sqlite3.Connection) -> set[str]:
    """Return the ids of the deployments whose archive is complete."""
    return {
        row[0]
        for row in conn.execute("SELECT id FROM deployments WHERE chunks_uploaded >= chunks_total")
    }


def add_chunk(
    conn: sqlite3.Connection, deployment_id: str, number: int, now: int
) -> tuple[Deployment, bool]:
    """Note that chunk `number` (from 0) is on disk.

    Return the deployment and whether this chunk completed it; a chunk that comes again does not.
    Raises DeploymentNotFound when the deployment was deleted meanwhile.
    """
    before = by_id(conn, deployment_id)
    if before is None:
        raise DeploymentNotFound
    conn.execute("INSERT OR IGNORE INTO deployment_chunks VALUES (?, ?)", (deployment_id, number))
    conn.execute(
        "UPDATE deployments SET updated_at = ?,"
        " chunks_uploaded = (SELECT count(*) FROM deployment_chunks WHERE deployment_id = id)"
        " WHERE id = ?",
        (now, deployment_id),
    )
    after = by_id(conn, deployment_id)
    assert after is not None
    return after, after.uploaded and not before.uploaded


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
    this one was not chosen since (see `activate`).
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


def activate(conn: sqlite3.Connection, function_id: str, deployment_id: str, now: int) -> Function:
    """Make a ready deployment active and return the function.

    A deployment whose build was removed waits for a new build and becomes active with its end.
    Until then the function is as before.

    Raises FunctionNotFound, DeploymentNotFound and BuildNotReady.
    """
    function = functions.get(conn, function_id)
    if function is None:
        raise FunctionNotFound
    deployment = get(conn, function_id, deployment_id)
    if deployment is None:
        raise DeploymentNotFound
    if deployment.status != "ready":
        raise BuildNotReady
    conn.execute(
        "UPDATE deployments SET activate = 0"
        " WHERE function_id = ? AND build_removed AND status <> 'ready'",
        (function_id,),
    )
    if deployment.build_removed:
        rebuild(conn, [deployment_id], now, activate=True)
        return function
    function = msgspec.structs.replace(
        function,
        deployment_id=deployment.id,
        deployment_created_at=deployment.created_at,
        updated_at=now,
    )
    functions.update(conn, function)
    return function


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


def delete(conn: sqlite3.Connection, function_id: str, deployment_id: str, now: int) -> Deployment:
    """Delete and return a deployment; if it was active, its function has no active one.

    Raises DeploymentNotFound.
    """
    deployment = get(conn, function_id, deployment_id)
    if deployment is None:
        raise DeploymentNotFound
    conn.execute("DELETE FROM deployments WHERE id = ?", (deployment_id,))
    conn.execute(
        "UPDATE functions SET deployment_id = '', deployment_created_at = 0, updated_at = ?"
        " WHERE id = ? AND deployment_id = ?",
        (now, function_id, deployment_id),
    )
    refresh_latest(conn, function_id)
    return deployment


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


def rebuild(
    conn: sqlite3.Connection, deployment_ids: Iterable[str], now: int, *, activate: bool = False
) -> None:
    """Queue new builds of ready deployments; the active deployments stay active.

    With `activate`, the new builds become active.
    """
    conn.executemany(
        "UPDATE deployments SET status = 'waiting', activate = ?, build_started_at = 0,"
        " build_logs = '', updated_at = ? WHERE status = 'ready' AND id = ?",
        ((activate, now, deployment_id) for deployment_id in deployment_ids),
    )
    for (function_id,) in conn.execute("SELECT id FROM functions").fetchall():
        refresh_latest(conn, function_id)


def remove_builds(conn: sqlite3.Connection, kept: int, limit: int) -> list[str]:
    """Note that up to `limit` builds are removed, and return their ids.

    They are those of ready, inactive deployments beyond the `kept` newest of their function.
    """
    rows = conn.execute(
        "UPDATE deployments SET build_removed = 1, build_size_bytes = 0 WHERE id IN ("
        " SELECT id FROM ("
        "  SELECT id, row_number() OVER (PARTITION BY function_id ORDER BY sequence DESC) AS place"
        "  FROM deployments WHERE status = 'ready' AND NOT build_removed"
        "  AND id NOT IN (SELECT deployment_id FROM functions))"
        " WHERE place > ? LIMIT ?) RETURNING id",
        (kept, limit),
    )
    return [row[0] for row in rows.fetchall()]


def expired(conn: sqlite3.Connection, now: int, limit: int) -> list[str]:
    """Return up to `limit` ids of deployments to delete (see `delete_expired`)."""
    rows = conn.execute(f"SELECT id FROM deployments WHERE {_EXPIRED} LIMIT ?2", (now, limit))
    return [row[0] for row in rows]


def delete_expired(
    conn: sqlite3.Connection, deployment_ids: list[str], now: int
) -> list[Deployment]:
    """Delete and return those of the deployments that are still to be deleted.

    These are inactive ones older than their function's retention (0 days = for ever), and uploads
    without a new chunk for UPLOAD_PAUSE_SECONDS_MAX.
    """
    found = [
        TABLE.first(conn, f"{_EXPIRED} AND id = ?2", now, deployment_id)
        for deployment_id in deployment_ids
    ]
    return [
        delete(conn, deployment.function_id, deployment.id, now)
        for deployment in found
        if deployment
    ]


def refresh_latest(conn: sqlite3.Connection, function_id: str) -> None:
    """Copy the id, time and status of the function's newest deployment to its row."""
    row = conn.execute(
        "SELECT id, created_at, status FROM deployments WHERE function_id = ?"
        " ORDER BY sequence DESC LIMIT 1",
        (function_id,),
    ).fetchone()
    conn.execute(
        "UPDATE functions SET latest_deployment_id = ?, latest_deployment_created_at = ?,"
        " latest_deployment_status = ? WHERE id = ?",
        (*(row or ("", 0, "")), function_id),
    )


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
