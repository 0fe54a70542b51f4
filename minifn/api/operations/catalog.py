"""What functions can be made of: runtimes and specifications."""

from starlette.types import ASGIApp

from minifn.api.wire import responses
from minifn.api.wire.answers import json_answer
from minifn.api.wire.operation import FUNCTIONS_READ, PUBLIC, Call, Operation
from minifn.api.wire.params import NoParams
from minifn.api.wire.specifications import offered


async def list_runtimes(call: Call, params: NoParams) -> ASGIApp:
    """List the runtimes that this machine can run."""
    runtimes = [responses.runtime(item, call.shape) for item in call.parts.runtimes.runnable()]
    return json_answer(responses.listing("runtimes", len(runtimes), runtimes))


async def list_specifications(call: Call, params: NoParams) -> ASGIApp:
    """List the specifications that are offered."""
    items = [responses.specification(item) for item in offered(call.parts.config)]
    return json_answer(responses.listing("specifications", len(items), items))


OPERATIONS = (
    Operation(
        name="functions.listRuntimes",
        method="GET",
        path="/functions/runtimes",
        scopes=PUBLIC,
        params=NoParams,
        handler=list_runtimes,
        model="runtimes",
    ),
    Operation(
        name="functions.listSpecifications",
        method="GET",
        path="/functions/specifications",
        scopes=FUNCTIONS_READ,
        params=NoParams,
        handler=list_specifications,
        model="specifications",
    ),
)
