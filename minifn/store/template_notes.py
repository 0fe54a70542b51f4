"""Lines in build logs that say why workers start without a template, found out after the build."""

import sqlite3

from minifn.limits import LOG_LIMIT_CHARS


def keep(conn: sqlite3.Connection, deployment_id: str, why: str) -> None:
    """Add the line to the build log of a deployment, once."""
    line = f"\nWorkers start without a template: {why}.\n"
    conn.execute(
        "UPDATE deployments SET build_logs = substr(build_logs || ?, ?)"
        " WHERE id = ? AND instr(build_logs, ?) = 0",
        (line, -LOG_LIMIT_CHARS, deployment_id, line),
    )
