"""Deployments: uploads by chunks, the active one, and the removal of old ones.

The function's `latest_deployment_*` columns are kept up to date.
"""

import sqlite3
from collections.abc import Iterable

import msgspec

from minifn.errors import BuildNotReady, DeploymentNotFound, FunctionNotFound
from minifn.limits import UPLOAD_PAUSE_SECONDS_MAX
from minifn.models import Deployment, Function
from minifn.store import functions
from minifn.store.conditions import Condition, exists, join
from minifn.store.paging import Page, page as list_page
from minifn.store.plans import Scope
from minifn.store.queries import Query
from minifn.store.table import Table

TABLE = Table("deployments", Deployment)
_OLD = exists(
    "functions WHERE functions.id = deployments.function_id"
    " AND functions.deployment_id <> deployments.id AND deployment_retention_days > 0"
    " AND deployments.created_at < ? - deployment_retention_days * 86400000"
)
_HAS_CHUNKS = exists("deployment_chunks WHERE deployment_id = deployments.id")
#: Condition of the deployments to delete at an instant, which it takes twice: ended ones that are
#: older than their function's retention, and abandoned uploads, which Appwrite keeps for ever.
_EXPIRED = (
    f"(status NOT IN ('waiting', 'processing', 'building') AND {_OLD}"
    " OR chunks_uploaded < chunks_total"
    f" AND deployments.updated_at < ? - {UPLOAD_PAUSE_SECONDS_MAX * 1000} AND {_HAS_CHUNKS})"
)


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


def built(conn: sqlite3.Connection) -> dict[str, str]:
    """Return the deployments whose build can run: their ids -> the ids of their functions."""
    return dict(
        conn.execute(
            "SELECT id, function_id FROM deployments WHERE status = 'ready' AND NOT build_removed"
        )
    )


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
    rows = conn.execute(f"SELECT id FROM deployments WHERE {_EXPIRED} LIMIT ?", (now, now, limit))
    return [row[0] for row in rows]


def delete_expired(
    conn: sqlite3.Connection, deployment_ids: list[str], now: int
) -> list[Deployment]:
    """Delete and return those of the deployments that are still to be deleted.

    These are inactive ones older than their function's retention (0 days = for ever), and uploads
    without a new chunk for UPLOAD_PAUSE_SECONDS_MAX.
    """
    found = [
        TABLE.first(conn, f"{_EXPIRED} AND id = ?", now, now, deployment_id)
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
