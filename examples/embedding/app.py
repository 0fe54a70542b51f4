"""Your own app with functions inside: one process, one port.

    uvicorn app:app --app-dir examples/embedding

`/` belongs to the app, `/v1/functions/...` and the domains of functions to minifn. `POST /greet`
calls a function without HTTP.
"""

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from minifn import Config, Minifn

minifn = Minifn(
    Config.from_env(os.environ, data=Path(os.environ.get("MINIFN_DATA", "embedding-data")))
)


async def home(request: Request) -> Response:
    return PlainTextResponse("This page is the app's own.\n")


async def greet(request: Request) -> Response:
    result = await minifn.execute(
        "python-hello", body=await request.body(), method="POST", path="/greet"
    )
    return Response(
        result.body, result.execution.response_status_code, media_type="application/json"
    )


app = Starlette(
    routes=[*minifn.routes(), Route("/", home), Route("/greet", greet, methods=["POST"])],
    lifespan=minifn.lifespan,
)
