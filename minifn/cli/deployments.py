"""`minifn deployments`, `activate` and `rollback`: the versions of a function's code."""

from collections.abc import Mapping
from typing import Any

import click

from minifn.cli.connecting import DeploymentId, FunctionId, Session, with_server
from minifn.cli.options import fail
from minifn.cli.remote import Remote, query
from minifn.cli.tables import Column, show_table
from minifn.cli.words import ago, duration, size
from minifn.log_text import printable

FUNCTION = click.argument("function_id", metavar="FUNCTION", type=FunctionId())
COLUMNS = (
    Column(heading="deployment"),
    Column(heading="state"),
    Column(heading="made"),
    Column(heading="build", right=True, drop=2),
    Column(heading="size", right=True, drop=3),
    Column(heading="from", drop=4),
    Column(heading="note", drop=1, cut=16),
)


@click.command()
@FUNCTION
@with_server
def deployments(session: Session, function_id: str) -> None:
    """List the deployments of a function, the newest first."""
    active = _active(session.remote, function_id)
    listed = _newest(session.remote, function_id)
    if session.as_json:
        rows = ({**one, "active": one["$id"] == active} for one in listed)
        session.show({name: row[name] for name in row if "Logs" not in name} for row in rows)
        return
    show_table(COLUMNS, [_row(one, active) for one in listed], styled=1)


@click.command()
@FUNCTION
@click.argument("deployment_id", metavar="DEPLOYMENT", type=DeploymentId())
@with_server
def activate(session: Session, function_id: str, deployment_id: str) -> None:
    """Make a deployment the one that answers."""
    _activate(session, function_id, deployment_id)


@click.command()
@FUNCTION
@with_server
def rollback(session: Session, function_id: str) -> None:
    """Make the ready deployment before the active one answer again."""
    active = _active(session.remote, function_id)
    if not active:
        fail(f"{function_id} has no active deployment: `minifn activate` makes one answer")
    older = [query("lessThan", _made(session.remote, function_id, active), attribute="$createdAt")]
    for deployment in _newest(session.remote, function_id, *older):
        if deployment["status"] == "ready":
            _activate(session, function_id, deployment["$id"])
            return
    fail(f"{function_id} has no ready deployment before {active}")


def _activate(session: Session, function_id: str, deployment_id: str) -> None:
    body = {"deploymentId": deployment_id}
    function = session.remote.call("PATCH", f"/functions/{function_id}/deployment", json=body)
    if session.as_json:
        session.show([function])
    else:
        click.echo(printable(f"{function_id}  {deployment_id} answers now"))


def _active(remote: Remote, function_id: str) -> str:
    return str(remote.call("GET", f"/functions/{function_id}")["deploymentId"])


def _made(remote: Remote, function_id: str, deployment_id: str) -> str:
    deployment = remote.call("GET", f"/functions/{function_id}/deployments/{deployment_id}")
    return str(deployment["$createdAt"])


def _newest(remote: Remote, function_id: str, *queries: str) -> Any:
    path = f"/functions/{function_id}/deployments"
    newest = query("orderDesc", attribute="$createdAt")
    return remote.pages(path, "deployments", [*queries, newest])


def _row(deployment: Mapping[str, Any], active: str) -> list[str]:
    is_active = deployment["$id"] == active
    return [
        deployment["$id"],
        "active" if is_active else deployment["status"],
        ago(deployment["$createdAt"]),
        duration(deployment["buildDuration"]) if deployment["buildDuration"] else "",
        size(deployment["sourceSize"]),
        deployment["providerBranch"] or deployment["type"],
        deployment["providerCommitMessage"],
    ]
