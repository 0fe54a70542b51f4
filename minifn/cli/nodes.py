"""`minifn nodes` and `drain`: the machines of a cluster."""

from typing import Any
from urllib.parse import quote

import click

from minifn.cli.connecting import Session, with_server
from minifn.cli.tables import Column, show_table
from minifn.cli.words import size
from minifn.log_text import printable

COLUMNS = (
    Column(heading="node"),
    Column(heading="state"),
    Column(heading="host"),
    Column(heading="CPUs", right=True, drop=3),
    Column(heading="memory", right=True, drop=4),
    Column(heading="free", right=True, drop=2),
    Column(heading="workers", right=True, drop=1),
    Column(heading="running", right=True),
    Column(heading="waiting", right=True),
    Column(heading="building", right=True),
    Column(heading="engine", drop=5),
    Column(heading="note", cut=24),
)
#: Characters of an id that tell nodes apart.
SHORT = 8


@click.command()
@with_server
def nodes(session: Session) -> None:
    """List the nodes of the cluster, and what runs on them."""
    found = session.remote.call("GET", "/minifn/nodes")
    listed = found["nodes"]
    if session.as_json:
        session.show(listed)
    elif listed:
        show_table(COLUMNS, [_row(one) for one in listed], styled=1)
    elif found["cluster"]:
        click.echo("The cluster has no node: functions wait until a machine joins.")
    else:
        click.echo("This server runs functions itself: it was started without --cluster.")


@click.command()
@click.argument("node")
@click.option("--undo", is_flag=True, help="give NODE calls again")
@with_server
def drain(session: Session, node: str, undo: bool) -> None:
    """Give NODE no more calls.

    Calls that wait there go elsewhere, those that run end there.
    """
    method = "DELETE" if undo else "POST"
    changed = session.remote.call(method, f"/minifn/nodes/{quote(node, safe='')}/drain")
    if session.as_json:
        session.show([changed])
        return
    change = "calls again" if undo else "no more calls"
    left = f"{changed['running']} run there, {changed['building']} builds"
    click.echo(printable(f"{changed['id'][:SHORT]} gets {change}; {left}"))


def _row(node: dict[str, Any]) -> list[str]:
    weak = [one["name"] for one in node["protections"] if one["state"] != "ON"]
    return [
        node["id"][:SHORT],
        node["state"],
        f"{node['host']} {node['address']}",
        f"{node['cpus']:g}",
        size(node["memoryBytes"]),
        size(node["memoryAvailableBytes"]),
        str(node["workers"]),
        str(node["running"]),
        str(node["waiting"]),
        str(node["building"]),
        node["engine"],
        node["reason"] or (f"weak: {', '.join(weak)}" if weak else ""),
    ]
