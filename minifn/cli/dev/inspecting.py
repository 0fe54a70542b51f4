"""Debuggers for functions: their ports, and what an editor needs to attach."""

import json
from collections.abc import Iterable
from pathlib import Path

from minifn.languages import Installed

#: Variable that tells a worker the port on which its debugger listens.
PORT_VARIABLE = "MINIFN_INSPECT"
#: Family -> the port of its first function; others follow. They are the debuggers' own defaults.
PORTS = {"python": 5678, "node": 9229}
#: Longest call with a debugger, seconds, because a breakpoint holds it.
TIMEOUT_SECONDS = 900


def ports(functions: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return the port of each function, given as (id, family), whose family has a debugger."""
    found: dict[str, int] = {}
    following = dict(PORTS)
    for function_id, family in functions:
        if family in following:
            found[function_id] = following[family]
            following[family] += 1
    return found


def lines(function_id: str, installed: Installed, port: int, folder: Path, code: str) -> list[str]:
    """Return how to attach to a function, whose workers know `folder` as `code`."""
    roots = {"localRoot": str(folder), "remoteRoot": code}
    attach: dict[str, object] = {"name": function_id, "request": "attach"}
    if installed.family.key == "python":
        attach |= {
            "type": "debugpy",
            "connect": {"host": "127.0.0.1", "port": port},
            "pathMappings": [roots],
        }
    else:
        attach |= {"type": "node", "address": "127.0.0.1", "port": port, "restart": True, **roots}
    return [
        f"inspect  {function_id} 127.0.0.1:{port}; in .vscode/launch.json, configurations:",
        f"  {json.dumps(attach)}",
    ]


def has_debugger(installed: Installed, build: Path) -> bool:
    """Tell whether the workers of a build can import their debugger."""
    if installed.family.key != "python":
        return True
    return any(build.glob("runtime-env/lib/python*/site-packages/debugpy/__init__.py"))
