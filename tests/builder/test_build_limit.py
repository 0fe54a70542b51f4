"""How large a build may become: MINIFN_BUILD_LIMIT."""

import asyncio
from pathlib import Path

import pytest

from minifn.config import Config
from minifn.languages import RuntimeTable
from tests.building import opened

MAIN = {"main.py": "def main(context):\n    pass\n"}


@pytest.fixture(scope="module")
def runtimes() -> RuntimeTable:
    """The runtimes of this machine."""
    return RuntimeTable.load()


@pytest.mark.parametrize("where", [".", "$TMPDIR", "$HOME", "$XDG_CACHE_HOME"])
def test_a_build_beyond_the_limit_fails_and_the_log_names_the_setting(
    where: str, data: Path, runtimes: RuntimeTable
) -> None:
    async def main() -> None:
        async with opened(data, runtimes, build_limit=5_000_000) as world:
            commands = f"cd {where}; for i in 1 2 3; do head -c 2M /dev/zero >$i; done"
            deployment = await world.build(MAIN, commands)
            assert deployment.status == "failed"
            expected = "larger than 5,000,000 bytes (the server's MINIFN_BUILD_LIMIT)"
            assert expected in deployment.build_logs

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["bwrap", "process"])
def test_what_tensorflow_unpacks_to_is_within_the_default(
    engine: str, data: Path, runtimes: RuntimeTable, request: pytest.FixtureRequest
) -> None:
    """In one file even. It has no blocks, but its length is counted."""
    if engine == "bwrap":
        request.getfixturevalue("bwrap")

    async def main() -> None:
        async with opened(data, runtimes, engine) as world:
            deployment = await world.build(MAIN, "truncate -s 2170000000 large")
            assert deployment.status == "ready", deployment.build_logs
            assert 2_170_000_000 < deployment.build_size_bytes < Config.build_limit

    asyncio.run(main())
