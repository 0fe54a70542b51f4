"""Build scripts that attack the server while it measures, seals and removes their directories."""

import asyncio
import os
from pathlib import Path

import pytest

from minifn.languages import RuntimeTable
from tests.builder.test_builder import HELLO
from tests.building import opened

#: Deeper than Python recurses and longer than any path may be.
DEEP = (
    "python3 -c \"import os\nfor _ in range(3000): os.mkdir('deep'); os.chdir('deep')"
    "\nopen('file', 'w').close()\""
)


@pytest.fixture(scope="module")
def runtimes() -> RuntimeTable:
    """The runtimes of this machine."""
    return RuntimeTable.load()


@pytest.fixture(params=["bwrap", "process"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine of this machine that protects."""
    if request.param == "bwrap":
        request.getfixturevalue("bwrap")
    return str(request.param)


def test_a_link_left_in_the_cache_leads_the_server_nowhere(
    data: Path, runtimes: RuntimeTable, engine: str
) -> None:
    async def body() -> None:
        async with opened(data, runtimes, engine) as world:
            victim = data.parent / "victim"
            victim.mkdir(mode=0o700)
            cache = "/cache" if engine == "bwrap" else str(world.data.cache("fn"))
            first = await world.build(HELLO, f"rm -rf {cache}/tmp; ln -s {victim} {cache}/tmp")
            assert first.status == "ready", first.build_logs
            second = await world.build(HELLO, "true")
            assert second.status == "ready", second.build_logs
            assert victim.stat().st_uid == os.geteuid()
            assert not list(victim.iterdir())

    asyncio.run(body())


@pytest.mark.parametrize("where", ["code", "cache"])
def test_directories_nest_without_end(
    where: str, data: Path, runtimes: RuntimeTable, engine: str
) -> None:
    async def body() -> None:
        async with opened(data, runtimes, engine) as world:
            place = (
                "."
                if where == "code"
                else "/cache"
                if engine == "bwrap"
                else str(world.data.cache("fn"))
            )
            deployment = await world.build(HELLO, f"cd {place}; {DEEP}")
            assert deployment.status == "failed", deployment.build_logs
            assert "levels deep" in deployment.build_logs
            # A tree that cannot be measured is removed.
            left = world.data.build(deployment.id) if where == "code" else world.data.cache("fn")
            assert not left.exists()

    asyncio.run(body())
