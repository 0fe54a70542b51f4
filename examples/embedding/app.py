"""Your own app with functions inside: one process, one port.

    uvicorn app:app --app-dir examples/embedding

`/` belongs to the app, `/v1/functions/...` and the domains of functions to minifn. The app deploys
the example `python-hello` when it starts, and `POST /greet` calls it without HTTP.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from minifn import Config, Minifn

minifn = Minifn(
    Config.from_env(os.environ, data=Path(os.environ.get("MINIFN_DATA", "embedding-data")))
)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with minifn:
        await minifn.deploy("python-hello", Path(__file__).parents[1] / "python-hello")
        yield


async def home(request: Request) -> Response:
    return PlainTextResponse("This page is the app's own.\n")


async def greet(request: Request) -> Response:
    result = await minifn.execute("python-hello", body=await request.body(), path="/greet")
    return Response(result.body, result.status, media_type="application/json")


app = Starlette(
    routes=[*minifn.routes(), Route("/", home), Route("/greet", greet, methods=["POST"])],
    lifespan=lifespan,
)
