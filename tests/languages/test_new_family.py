"""A family is a folder and nothing else: one that is nowhere in the package builds and runs."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from minifn.api import create_app
from minifn.config import Config
from minifn.languages import table as table_module
from minifn.parts import Parts
from tests.languages.new_family import install_compiler, write_family
from tests.packing import packed_files
from tests.serving import FINAL_BUILD

KEY = "admin-key"
RUNTIME = "echo-2.5"
ENGINES = ("bwrap", "process", "sandlock")


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that functions can reach: `runtimes` has one family, `tools` its compiler."""
    with tempfile.TemporaryDirectory(prefix="minifn-family-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        write_family(root / "runtimes")
        install_compiler(root / "tools/bin")
        monkeypatch.setattr(table_module, "default_root", lambda: root / "runtimes")
        yield root


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if request.param in ("bwrap", "sandlock"):
        request.getfixturevalue(request.param)
    return str(request.param)


@asynccontextmanager
async def serving(place: Path, engine: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server in this process whose families are those of `place`."""
    config = Config(
        data=place / "data", sandbox=engine, api_key=KEY, runtime_paths=(str(place / "tools"),)
    )
    parts = Parts(config)
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


async def build(client: httpx.AsyncClient, files: dict[str, str], commands: str = "") -> Any:
    """Deploy to the function `it`, made with the first call, and return the finished build."""
    body = {"functionId": "it", "name": "it", "runtime": RUNTIME, "entrypoint": "main.echo"}
    await client.post("/functions", json=body)
    deployment = await call(
        client,
        "POST",
        "/functions/it/deployments",
        files={"code": ("code.tar.gz", packed_files(files))},
        data={"activate": "true", "commands": commands},
    )
    async with asyncio.timeout(30):
        while deployment["status"] not in FINAL_BUILD:
            await asyncio.sleep(0.02)
            deployment = await call(client, "GET", f"/functions/it/deployments/{deployment['$id']}")
    return deployment


async def execute(client: httpx.AsyncClient, body: str) -> Any:
    return await call(client, "POST", "/functions/it/executions", json={"body": body})


def test_it_is_listed_built_and_called(place: Path, engine: str) -> None:
    async def body() -> None:
        async with serving(place, engine) as client:
            listed = await call(client, "GET", "/functions/runtimes")
            assert [runtime["$id"] for runtime in listed["runtimes"]] == [RUNTIME]
            files = {"main.echo": "my program\n", "secret.txt": "a source"}
            deployment = await build(client, files)
            log = deployment["buildLogs"]
            assert deployment["status"] == "ready", log
            assert "Making what all functions of Echo 2.5.1 share" in log
            execution = await execute(client, "hello")
            assert execution["responseStatusCode"] == 200, execution
            said, program, library, env, memory, entry = execution["responseBody"].split("|")
            assert said == "hello"
            lines = program.splitlines()
            assert lines[:3] == ["my program", "common code", "library made by echo-lang"]
            assert lines[3].startswith("echo 2.5 in /")
            assert library == "library made by echo-lang"
            assert env.startswith("echo 2.5 in /")
            assert (memory, entry) == ("512", "main.echo")
            folder = place / "data/builds" / deployment["$id"]
            kept = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
            assert kept == ["out", "out/program.txt"]
            again = await build(client, files, commands="echoc --version")
            assert "echo-lang 2.5.1" in again["buildLogs"]
            assert "share" not in again["buildLogs"]

    asyncio.run(body())


def test_a_compiler_that_fails_fails_the_build(place: Path, engine: str) -> None:
    async def body() -> None:
        async with serving(place, engine) as client:
            deployment = await build(client, {"main.echo": "fine\nbad\n"})
            assert deployment["status"] == "failed"
            assert "2:bad" in deployment["buildLogs"]
            assert "main.echo: a bad word" in deployment["buildLogs"]
            assert "The function's source does not compile." in deployment["buildLogs"]

    asyncio.run(body())
