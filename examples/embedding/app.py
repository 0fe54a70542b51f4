"""Your own app with functions inside: one process, one port.

    uvicorn app:app --app-dir examples/embedding

`/` belongs to the app; minifn answers everything else, such as `/v1/functions/...`. `POST /greet`
calls a function without HTTP.
"""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

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


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with minifn:
        yield


app = Starlette(
    routes=[Route("/", home), Route("/greet", greet, methods=["POST"]), Mount("/", app=minifn.app)],
    lifespan=lifespan,
)
