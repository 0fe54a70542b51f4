"""`minifn ls` and `minifn show`: the functions of a server, and all about one."""

from collections.abc import Mapping
from typing import Any

import click

from minifn.cli.connecting import FunctionId, Session, with_server
from minifn.cli.options import fail
from minifn.cli.tables import Column, show_facts, show_table
from minifn.cli.words import ago, duration

COLUMNS = (
    Column(heading="function", cut=16),
    Column(heading="state"),
    Column(heading="runtime", drop=5),
    Column(heading="deployed", drop=4),
    Column(heading="calls", right=True),
    Column(heading="failed", right=True),
    Column(heading="p50", right=True, drop=2),
    Column(heading="p95", right=True, drop=3),
    Column(heading="next run", drop=1),
)
#: Hours that calls are counted for.
HOURS = 24


@click.command("ls")
@with_server
def list_functions(session: Session) -> None:
    """List the functions, with their calls of the last 24 hours."""
    listed = _overview(session)
    if session.as_json:
        session.show(listed)
    else:
        show_table(COLUMNS, [_row(one) for one in listed], styled=1)


@click.command()
@click.argument("function_id", metavar="FUNCTION", type=FunctionId())
@with_server
def show(session: Session, function_id: str) -> None:
    """Show a function's state, settings, variables and calls.

    The calls are those of the last 24 hours.
    """
    function = session.remote.call("GET", f"/functions/{function_id}")
    about = next((one for one in _overview(session) if one["functionId"] == function_id), None)
    if about is None:
        fail(f"the function {function_id} is gone")
    if session.as_json:
        session.show([{**function, "overview": about}])
    else:
        show_facts({name: value for name, value in _facts(function, about).items() if value})


def _overview(session: Session) -> list[dict[str, Any]]:
    answer = session.remote.call("GET", "/minifn/functions", params={"hours": HOURS})
    return list(answer["functions"])


def _row(one: Mapping[str, Any]) -> list[str]:
    return [
        one["functionId"],
        one["state"],
        one["runtime"],
        ago(one["deployedAt"]),
        f"{one['calls']:,}",
        f"{one['failures']:,}" if one["failures"] else "",
        duration(one["p50"]) if one["calls"] else "",
        duration(one["p95"]) if one["calls"] else "",
        ago(one["nextRunAt"]),
    ]


def _facts(function: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, str]:
    return {
        "function": "  ".join(dict.fromkeys((function["$id"], function["name"]))),
        "state": about["stateText"],
        "address": about["url"],
        "runtime": f"{function['runtime']}  {function['entrypoint']}",
        "commands": function["commands"],
        "deployment": f"{about['deploymentId']}  {ago(about['deployedAt'])}".strip(),
        "may call": ", ".join(function["execute"]) or "keys alone",
        "schedule": f"{function['schedule']}  {ago(about['nextRunAt'])}".strip(),
        "events": ", ".join(function["events"]),
        "scopes": ", ".join(function["scopes"]),
        "timeout": f"{function['timeout']} s",
        "size": function["runtimeSpecification"],
        "variables": ", ".join(
            f"{one['key']} (secret)" if one["secret"] else one["key"] for one in function["vars"]
        ),
        "calls": _calls(about),
        "last error": f"{about['lastError']}  {ago(about['lastErrorAt'])}".strip(),
    }


def _calls(about: Mapping[str, Any]) -> str:
    if not about["calls"]:
        return f"none in {HOURS} h"
    times = f"p50 {duration(about['p50'])}, p95 {duration(about['p95'])}"
    return f"{about['calls']:,} in {HOURS} h, {about['failures']:,} failed; {times}"
