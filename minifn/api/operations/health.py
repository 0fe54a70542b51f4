"""Health of the server, and its API version."""

import dataclasses
import time
from typing import Any

from starlette.types import ASGIApp

from minifn.api.wire.answers import json_answer, text_answer
from minifn.api.wire.operation import PUBLIC, Call, Operation
from minifn.api.wire.params import NoParams
from minifn.host import memory_limit
from minifn.models import APPWRITE_VERSION
from minifn.store import settings


async def ping(call: Call, params: NoParams) -> ASGIApp:
    """Answer `Pong!`."""
    return text_answer("Pong!")


async def version(call: Call, params: NoParams) -> ASGIApp:
    """Answer the API's version; the CLI asks for it before it accepts an endpoint."""
    return json_answer({"version": APPWRITE_VERSION})


async def health(call: Call, params: NoParams) -> ASGIApp:
    """Answer `pass` once the database has answered and the disk takes more.

    `fail`, with 503, when the disk is full or cannot be written, and when a file of the data
    directory is missing, because then the server is about to stop. API keys also see the reason
    (`problem`, "" for none), the engine, the memory limit in bytes, the network and the
    protections.
    """
    started = time.perf_counter()
    await call.parts.database.read(settings.get, "health")
    problem = await call.parts.trouble()
    milliseconds = round((time.perf_counter() - started) * 1000)
    answer: dict[str, Any] = {
        "name": "database",
        "ping": milliseconds,
        "status": "fail" if problem else "pass",
    }
    scopes = call.caller.scopes
    if scopes is None or "health.read" in scopes:
        parts = call.parts
        answer["problem"] = problem
        answer["engine"] = {"name": parts.engine.name, "strength": parts.engine.strength}
        memory = memory_limit.look()
        answer["memory"] = {
            "limit": memory.limit_bytes,
            "available": memory.available_bytes,
            "source": memory.source,
        }
        answer["network"] = parts.config.network
        answer["protections"] = [dataclasses.asdict(one) for one in await parts.protections()]
    return json_answer(answer, 503 if problem else 200)


OPERATIONS = (
    Operation(
        name="ping",
        method="GET",
        path="/ping",
        scopes=PUBLIC,
        params=NoParams,
        handler=ping,
        needs_project=False,
        content_types=("text/plain",),
    ),
    Operation(
        name="health.getVersion",
        method="GET",
        path="/health/version",
        scopes=PUBLIC,
        params=NoParams,
        handler=version,
        needs_project=False,
    ),
    Operation(
        name="health.get",
        method="GET",
        path="/health",
        scopes=PUBLIC,
        params=NoParams,
        handler=health,
        needs_project=False,
    ),
)
