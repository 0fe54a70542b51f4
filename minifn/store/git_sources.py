"""What is to be fetched from git repositories, and which commits of their branches have been dealt with.

A deployment that comes from git is a row from the start, as an upload of which nothing has arrived; a row of
`git_fetches` says where it comes from and goes when it is there, so that a restart goes on fetching.
"""

import sqlite3
from collections.abc import Mapping

import msgspec

from minifn.models import Deployment, Function
from minifn.store import deployments, functions


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A commit of a repository, or one folder of it."""

    #: "" for the repository that is pushed to minifn itself.
    installation_id: str
    repository: str
    #: Full (`refs/heads/main`), or a whole hash.
    reference: str
    folder: str = ""
    #: The function has just been connected: its branches as they are now are no pushes.
    baseline: bool = False


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment whose source is not there yet."""

    deployment: Deployment
    source: Source


class Repository(msgspec.Struct, frozen=True):
    """A repository that functions are connected to."""

    installation_id: str
    name: str


def insert(
    conn: sqlite3.Connection, deployment: Deployment, source: Source, *, commit: str = ""
) -> Deployment | None:
    """Insert a deployment that is to be fetched, and return it.

    With `commit`, only if that commit of the deployment's branch has not been dealt with; else None. None also when
    the function is gone.
    """
    if functions.get(conn, deployment.function_id) is None:
        return None
    if commit and not note_commit(conn, deployment.function_id, deployment.provider_branch, commit):
        return None
    inserted = deployments.insert(conn, deployment)
    conn.execute(
        "INSERT INTO git_fetches VALUES (?, ?, ?, ?, ?, ?)",
        (
            deployment.id, source.installation_id, source.repository, source.reference, source.folder, source.baseline,
        ),
    )  # fmt: skip
    return inserted


def pending(conn: sqlite3.Connection) -> list[Fetch]:
    """Return the deployments to fetch, the oldest first; what was canceled is forgotten."""
    conn.execute(
        "DELETE FROM git_fetches WHERE deployment_id NOT IN (SELECT id FROM deployments WHERE status = 'waiting')"
    )
    rows = conn.execute(
        "SELECT deployment_id, installation_id, repository, reference, folder, baseline FROM git_fetches"
        " JOIN deployments ON deployments.id = deployment_id ORDER BY deployments.sequence"
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
    """Record that the source is on disk, with what its commit says; None when it was canceled or deleted meanwhile.

    `heads` are the branches that are no pushes, for a baseline.
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
    """Record that the source could not be fetched; None when the deployment was canceled or deleted meanwhile."""
    conn.execute("DELETE FROM git_fetches WHERE deployment_id = ?", (deployment_id,))
    changed = conn.execute(
        "UPDATE deployments SET status = 'failed', build_logs = ?, build_duration_seconds = 1, updated_at = ?"
        " WHERE id = ? AND status = 'waiting'",
        (message, now, deployment_id),
    )
    if not changed.rowcount:
        return None
    deployment = deployments.by_id(conn, deployment_id)
    assert deployment is not None
    deployments.refresh_latest(conn, deployment.function_id)
    return deployment


def note_commit(conn: sqlite3.Connection, function_id: str, branch: str, commit: str) -> bool:
    """Remember a commit of a branch; tell whether it is new."""
    noted = conn.execute(
        "INSERT OR IGNORE INTO git_commits (function_id, branch, commit_hash) VALUES (?, ?, ?)",
        (function_id, branch, commit),
    )
    return noted.rowcount > 0


def known(conn: sqlite3.Connection, function_id: str) -> dict[str, list[str]]:
    """Return the commits of a function's branches that have been dealt with, the newest last."""
    found: dict[str, list[str]] = {}
    rows = conn.execute(
        "SELECT branch, commit_hash FROM git_commits WHERE function_id = ? ORDER BY sequence",
        (function_id,),
    )
    for branch, commit in rows:
        found.setdefault(branch, []).append(commit)
    return found


def forget(conn: sqlite3.Connection, function_id: str) -> None:
    """Forget the commits of a function: it is connected to another repository, or to none."""
    conn.execute("DELETE FROM git_commits WHERE function_id = ?", (function_id,))


def forget_fetches(conn: sqlite3.Connection) -> None:
    """Forget what was to be fetched: of what is in a backup, everything is there."""
    conn.execute("DELETE FROM git_fetches")


def repositories(conn: sqlite3.Connection) -> list[Repository]:
    """Return every repository that a function is connected to."""
    rows = conn.execute(
        "SELECT DISTINCT installation_id, provider_repository_id FROM functions"
        " WHERE provider_repository_id <> '' ORDER BY 1, 2"
    )
    return [Repository(*row) for row in rows]


def connected(conn: sqlite3.Connection, repository: Repository) -> list[Function]:
    """Return the functions connected to a repository, except those whose first deployment is still to be fetched."""
    return functions.TABLE.all(
        conn,
        "installation_id = ? AND provider_repository_id = ? AND NOT EXISTS (SELECT 1 FROM git_fetches"
        " JOIN deployments ON deployments.id = deployment_id WHERE baseline AND function_id = functions.id)"
        " ORDER BY sequence",
        repository.installation_id,
        repository.name,
    )
