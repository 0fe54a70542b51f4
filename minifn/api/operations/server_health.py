"""The health of the server, for its operator: the lines of `minifn doctor`, and how full it is."""

import asyncio
import shutil
import time
from typing import Any

import psutil
from starlette.types import ASGIApp

from minifn import __version__
from minifn.api.wire.answers import json_answer
from minifn.api.wire.operation import PROJECTS_READ, Call, Operation
from minifn.api.wire.params import NoParams
from minifn.parts import Parts
from minifn.sandbox.protections import Protection


async def get(call: Call, params: NoParams) -> ASGIApp:
    """Return the checks of `minifn doctor`, and the server's work, memory and disk."""
    parts = call.parts
    found = await parts.protections()
    measured = await asyncio.to_thread(_measured, parts, found)
    answer = {
        **measured,
        "engine": parts.engine.name,
        "version": __version__,
        "queue": parts.executions.waiting,
        "workers": parts.pool.workers,
    }
    return json_answer(answer)


def _measured(parts: Parts, found: tuple[Protection, ...]) -> dict[str, Any]:
    # Imported here: it tries languages and the machine, which most servers are never asked for.
    from minifn.doctor import examine_running

    checks = examine_running(parts.config, parts.engine, found, parts.runtimes)
    data, process = parts.data, psutil.Process()
    files = (data.database, data.database.with_name(f"{data.database.name}-wal"))
    return {
        "checks": [
            {"name": one.name, "state": one.state, "text": one.detail, "remedy": one.remedy}
            for one in checks
        ],
        "uptimeSeconds": round(time.time() - process.create_time()),
        "memoryBytes": process.memory_info().rss,
        "databaseBytes": sum(path.stat().st_size for path in files if path.exists()),
        "diskFreeBytes": shutil.disk_usage(data.root).free,
    }


OPERATIONS = (
    Operation(
        name="minifn.getHealth",
        method="GET",
        path="/minifn/health",
        scopes=PROJECTS_READ,
        params=NoParams,
        handler=get,
        needs_project=False,
    ),
)
