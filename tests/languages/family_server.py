"""A server in this process whose only families are those of a test's folder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from minifn.api import create_app
from minifn.config import Config
from minifn.parts import Parts
from tests.packing import packed_files
from tests.serving import FINAL_BUILD

KEY = "admin-key"
RUNTIME = "echo-2.5"


def settings(place: Path, engine: str) -> Config:
    """The settings of a server whose data and tools lie in `place`."""
    return Config(
        data=place / "data", sandbox=engine, api_key=KEY, runtime_paths=(str(place / "tools"),)
    )


@asynccontextmanager
async def serving(place: Path, engine: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server in this process whose families are those of `place`."""
    parts = Parts(settings(place, engine))
    headers = {"x-appwrite-project": "minifn", "x-appwrite-key": KEY}
    async with (
        parts,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(parts)),
            base_url="http://localhost/v1",
            headers=headers,
        ) as client,
    ):
        yield client


async def call(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
    answer = await client.request(method, path, **options)
    assert answer.status_code < 300, answer.text
    return answer.json()


async def upload(client: httpx.AsyncClient, files: dict[str, str], commands: str = "") -> Any:
    """Deploy to the function `it`, made with the first call; the build goes on."""
    body = {"functionId": "it", "name": "it", "runtime": RUNTIME, "entrypoint": "main.echo"}
    await client.post("/functions", json=body)
    return await call(
        client,
        "POST",
        "/functions/it/deployments",
        files={"code": ("code.tar.gz", packed_files(files))},
        data={"activate": "true", "commands": commands},
    )


async def build(client: httpx.AsyncClient, files: dict[str, str], commands: str = "") -> Any:
    """Deploy to the function `it`, and return the finished build."""
    deployment = await upload(client, files, commands)
    async with asyncio.timeout(30):
        while deployment["status"] not in FINAL_BUILD:
            await asyncio.sleep(0.02)
            deployment = await call(client, "GET", f"/functions/it/deployments/{deployment['$id']}")
    return deployment


async def execute(client: httpx.AsyncClient, body: str) -> Any:
    return await call(client, "POST", "/functions/it/executions", json={"body": body})
