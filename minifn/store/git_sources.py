"""Deployments to fetch from git repositories, and the commits that were handled.

A deployment from git has a row from the start, like an upload before its first chunk. Its row in
`git_fetches` names the source and is deleted when the source is on disk, so a restart resumes it.
"""

import sqlite3
from collections.abc import Mapping

import msgspec

from minifn.models import Deployment, Function
from minifn.store import deployments, functions


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A commit of a repository, or one folder of it."""

    #: "" for the repository that minifn keeps itself.
    installation_id: str
    repository: str
    #: A full reference (`refs/heads/main`) or a whole hash.
    reference: str
    folder: str = ""
    #: The function was just connected: the present commits of its branches count as handled.
    baseline: bool = False


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment whose source is not on disk yet."""

    deployment: Deployment
    source: Source


class Repository(msgspec.Struct, frozen=True):
    """A repository that functions are connected to."""

    installation_id: str
    name: str


def insert(
    conn: sqlite3.Connection, deployment: Deployment, source: Source, *, commit: str = ""
) -> Deployment | None:
    """Insert a deployment to fetch and return it; None when its function was deleted.

    With `commit`, also None if that commit of the deployment's branch was handled before, or while
    the function's first deployment, which handles all commits of its time, is still to be fetched.
    """
    function_id = deployment.function_id
    if functions.get(conn, function_id) is None:
        return None
    if commit and _awaits_baseline(conn, function_id):
        return None
    if commit and not note_commit(conn, function_id, deployment.provider_branch, commit):
        return None
    inserted = deployments.insert(conn, deployment)
    conn.execute(
        "INSERT INTO git_fetches VALUES (?, ?, ?, ?, ?, ?)",
        (
            deployment.id, source.installation_id, source.repository, source.reference,
            source.folder, source.baseline,
        ),
    )  # fmt: skip
    return inserted


def _awaits_baseline(conn: sqlite3.Connection, function_id: str) -> bool:
    found = conn.execute(
        "SELECT 1 FROM git_fetches JOIN deployments ON deployments.id = deployment_id"
        " WHERE baseline AND function_id = ?",
        (function_id,),
    )
    return found.fetchone() is not None


def pending(conn: sqlite3.Connection) -> list[Fetch]:
    """Return the deployments to fetch, oldest first; drop those that were canceled."""
    conn.execute(
        "DELETE FROM git_fetches WHERE deployment_id NOT IN"
        " (SELECT id FROM deployments WHERE status = 'waiting')"
    )
    rows = conn.execute(
        "SELECT deployment_id, installation_id, repository, reference, folder, baseline"
        " FROM git_fetches JOIN deployments ON deployments.id = deployment_id"
        " ORDER BY deployments.sequence"
    )
    return [_fetch(conn, row) for row in rows.fetchall()]


def _fetch(conn: sqlite3.Connection, row: tuple[str, str, str, str, str, int]) -> Fetch:
    deployment_id, installation_id, repository, reference, folder, baseline = row
    deployment = deployments.by_id(conn, deployment_id)
    assert deployment is not None
    source = Source(
        installation_id=installation_id,
        repository=repository,
        reference=reference,
        folder=folder,
        baseline=bool(baseline),
    )
    return Fetch(deployment=deployment, source=source)


def fetched(
    conn: sqlite3.Connection, deployment: Deployment, heads: Mapping[str, str]
) -> Deployment | None:
    """Record that the source is on disk; `deployment` has the details of its commit.

    Return None when it was canceled or deleted meanwhile. The commits of `heads` (by branch) count
    as handled, for a baseline.
    """
    conn.execute("DELETE FROM git_fetches WHERE deployment_id = ?", (deployment.id,))
    current = deployments.by_id(conn, deployment.id)
    if current is None or current.status != "waiting":
        return None
    deployments.TABLE.update(conn, deployment)
    for branch, commit in heads.items():
        note_commit(conn, deployment.function_id, branch, commit)
    return deployment


def failed(
    conn: sqlite3.Connection, deployment_id: str, message: str, now: int
) -> Deployment | None:
    """Record that the source could not be fetched.

    Return None when the deployment was canceled or deleted meanwhile.
    """
    conn.execute("DELETE FROM git_fetches WHERE deployment_id = ?", (deployment_id,))
    changed = conn.execute(
        "UPDATE deployments SET status = 'failed', build_logs = ?, build_duration_seconds = 1,"
        " updated_at = ? WHERE id = ? AND status = 'waiting'",
        (message, now, deployment_id),
    )
    if not changed.rowcount:
        return None
    deployment = deployments.by_id(conn, deployment_id)
    assert deployment is not None
    deployments.refresh_latest(conn, deployment.function_id)
    return deployment


def note_commit(conn: sqlite3.Connection, function_id: str, branch: str, commit: str) -> bool:
    """Mark a commit of a branch as handled; return False if it was marked before."""
    noted = conn.execute(
        "INSERT OR IGNORE INTO git_commits (function_id, branch, commit_hash) VALUES (?, ?, ?)",
        (function_id, branch, commit),
    )
    return noted.rowcount > 0


def known(conn: sqlite3.Connection, function_id: str) -> dict[str, list[str]]:
    """Return the handled commits of a function's branches, newest last."""
    found: dict[str, list[str]] = {}
    rows = conn.execute(
        "SELECT branch, commit_hash FROM git_commits WHERE function_id = ? ORDER BY sequence",
        (function_id,),
    )
    for branch, commit in rows:
        found.setdefault(branch, []).append(commit)
    return found


def forget(conn: sqlite3.Connection, function_id: str) -> None:
    """Forget the commits of a function, because its repository changed."""
    conn.execute("DELETE FROM git_commits WHERE function_id = ?", (function_id,))


def forget_fetches(conn: sqlite3.Connection) -> None:
    """Forget all fetches: the sources of a backup's deployments are in the backup."""
    conn.execute("DELETE FROM git_fetches")


def repositories(conn: sqlite3.Connection) -> list[Repository]:
    """Return the repositories that functions are connected to."""
    rows = conn.execute(
        "SELECT DISTINCT installation_id, provider_repository_id FROM functions"
        " WHERE provider_repository_id <> '' ORDER BY 1, 2"
    )
    return [Repository(*row) for row in rows]


def connected(conn: sqlite3.Connection, repository: Repository) -> list[Function]:
    """Return the functions connected to a repository.

    Functions whose first deployment is still to be fetched are left out.
    """
    return functions.TABLE.all(
        conn,
        "installation_id = ? AND provider_repository_id = ? AND NOT EXISTS ("
        " SELECT 1 FROM git_fetches JOIN deployments ON deployments.id = deployment_id"
        " WHERE baseline AND function_id = functions.id) ORDER BY sequence",
        repository.installation_id,
        repository.name,
    )
