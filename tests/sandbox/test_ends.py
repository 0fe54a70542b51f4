"""Which limit ended a process is said; how far it stands behind others."""

import asyncio
import os

import pytest

from minifn.host.datadir import DataDir
from minifn.sandbox.command import Limits
from minifn.sandbox.spawner import run
from tests.sandbox.test_spawner import command, shell, started


@pytest.mark.parametrize("engine_name", ["bwrap", "sandlock", "process"])
@pytest.mark.parametrize(
    ("script", "limits", "reason"),
    [
        ("exec head -c 2000000 /dev/zero >$TMPDIR/x", {"file_bytes": 10**6}, "file size limit exceeded"),
        ("while :; do :; done", {"cpu_seconds": 1}, "CPU time limit exceeded"),
    ],
)
def test_limits_that_end_a_process_are_named(
    place: DataDir, engine_name: str, script: str, limits: dict[str, int], reason: str, request: pytest.FixtureRequest
) -> None:
    if engine_name != "process":
        request.getfixturevalue(engine_name)

    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            output = await run(spawner, engine.wrap(shell(script, limits=Limits(**limits))), timeout_seconds=10)
            assert output.exit.reason == reason

    asyncio.run(main())


def test_niceness(place: DataDir) -> None:
    """Behind the server, which may have been started by nice."""
    expected = min(19, os.getpriority(os.PRIO_PROCESS, 0) + 7)

    async def main() -> None:
        async with started(place, "none") as (spawner, engine):
            wrapped = engine.wrap(command("/bin/sleep", "1000", limits=Limits(nice=7)))
            process = await spawner.spawn(wrapped)
            assert os.getpriority(os.PRIO_PROCESS, process.pid) == expected
            await process.kill()

    asyncio.run(main())
