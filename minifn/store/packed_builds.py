"""Which builds were packed, and their digests."""

import sqlite3


def note(conn: sqlite3.Connection, deployment_id: str, sha256: str) -> None:
    """Record the SHA-256 of a packed build."""
    conn.execute("UPDATE deployments SET build_sha256 = ? WHERE id = ?", (sha256, deployment_id))


def ids(conn: sqlite3.Connection) -> set[str]:
    """Return the ids of the deployments whose build was packed."""
    rows = conn.execute(
        "SELECT id FROM deployments WHERE status = 'ready' AND NOT build_removed"
        " AND build_sha256 <> ''"
    )
    return {row[0] for row in rows}


def identities(conn: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Return the id, the function's runtime and the identity of the builds that can run."""
    return conn.execute(
        "SELECT deployments.id, runtime, build_identity FROM deployments JOIN functions"
        " ON functions.id = function_id WHERE status = 'ready' AND NOT build_removed"
        " AND build_identity <> ''"
    ).fetchall()


def never_packed(conn: sqlite3.Connection) -> list[str]:
    """Return the ids of the active deployments whose build was not packed before a stop."""
    rows = conn.execute(
        "SELECT deployments.id FROM deployments JOIN functions"
        " ON functions.deployment_id = deployments.id WHERE deployments.status = 'ready'"
        " AND NOT build_removed AND build_identity <> '' AND build_sha256 = ''"
    )
    return [row[0] for row in rows]
