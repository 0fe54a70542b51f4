"""Deployments that wait for their source from a repository."""

import sqlite3

from minifn.models import Deployment
from minifn.store import git_sources
from minifn.store.git_sources import Source


def waiting(deployment_id: str) -> Deployment:
    return Deployment(
        id=deployment_id, function_id="fn", entrypoint="main.py", provider_branch="main"
    )


def test_a_poll_deploys_nothing_while_the_first_deployment_is_fetched(
    conn: sqlite3.Connection,
) -> None:
    """The poll may have read the branches before the function was connected to this one."""
    first = Source(installation_id="local", repository="team/code", reference="main", baseline=True)
    polled = Source(installation_id="local", repository="team/code", reference="abc")
    baseline = git_sources.insert(conn, waiting("first"), first)
    assert baseline is not None
    assert git_sources.insert(conn, waiting("second"), polled, commit="abc") is None
    assert git_sources.known(conn, "fn") == {}
    assert git_sources.fetched(conn, baseline, {"main": "abc"}) is not None
    assert git_sources.insert(conn, waiting("second"), polled, commit="abc") is None
    assert git_sources.insert(conn, waiting("third"), polled, commit="def") is not None
