"""Lists of runtimes and specifications."""

import asyncio
from typing import Annotated

from starlette.types import ASGIApp

from minifn.api.wire import responses
from minifn.api.wire.answers import json_answer
from minifn.api.wire.operation import FUNCTIONS_READ, PUBLIC, Call, Operation
from minifn.api.wire.params import Boolean, OneOf, Params
from minifn.api.wire.specifications import offered


class ListRuntimes(Params, frozen=True, kw_only=True):
    """Whether the answer has the total."""

    total: Annotated[bool, Boolean(loose=True)] = True


class ListSpecifications(ListRuntimes, frozen=True, kw_only=True):
    """The use of a specification; builds and executions have the same ones."""

    type: Annotated[str, OneOf(("runtimes", "builds"))] = "runtimes"


async def list_runtimes(call: Call, params: ListRuntimes) -> ASGIApp:
    """List the runtimes that this machine can run."""
    await asyncio.to_thread(call.parts.runtimes.look)
    runtimes = [responses.runtime(item, call.shape) for item in call.parts.runtimes.runnable()]
    return json_answer(
        responses.listing("runtimes", len(runtimes) if params.total else 0, runtimes)
    )


async def list_specifications(call: Call, params: ListSpecifications) -> ASGIApp:
    """List the specifications that this server offers."""
    items = [responses.specification(item) for item in offered(call.parts.config)]
    return json_answer(
        responses.listing("specifications", len(items) if params.total else 0, items)
    )


OPERATIONS = (
    Operation(
        name="functions.listRuntimes",
        method="GET",
        path="/functions/runtimes",
        scopes=PUBLIC,
        params=ListRuntimes,
        handler=list_runtimes,
        model="runtimes",
    ),
    Operation(
        name="functions.listSpecifications",
        method="GET",
        path="/functions/specifications",
        scopes=FUNCTIONS_READ,
        params=ListSpecifications,
        handler=list_specifications,
        for_restricted=True,
        model="specifications",
    ),
)
