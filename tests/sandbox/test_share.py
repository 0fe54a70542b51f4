"""One function cannot use up the launcher's time."""

import asyncio
import os
import sys

import pytest

from minifn.host.datadir import DataDir
from minifn.sandbox.command import Limits
from minifn.sandbox.launcher import proc
from minifn.sandbox.spawner import run
from tests.sandbox.commands import PYTHON, command, started

#: Each child shares all of the memory, which only a slow look divides among them.
FORKS = """
import os, time
held = b"x" * (200 << 20)
for _ in range(120):
    if os.fork() == 0:
        time.sleep(600)
print("up", flush=True)
time.sleep(600)
"""
#: Commands started meanwhile, and CPU seconds that the launcher may use for all of them.
STARTS, SECONDS = 10, 1.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: usage is in /proc")


def used_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used, without its children."""
    fields = proc.read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("engine_name", ["bwrap", "process"])
def test_forks_that_share_memory_cost_the_launcher_little(
    place: DataDir, engine_name: str, request: pytest.FixtureRequest
) -> None:
    if engine_name == "bwrap":
        request.getfixturevalue("bwrap")

    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            read, write = os.pipe()
            limits = Limits(memory_bytes=256 * 2**20)
            wrapped = engine.wrap(command(PYTHON, "-I", "-S", "-c", FORKS, limits=limits))
            process = await spawner.spawn(wrapped, stdout=write)
            os.close(write)
            with os.fdopen(read, "rb") as file:
                assert await asyncio.to_thread(file.readline) == b"up\n"
            launcher = spawner._launcher.pid
            before = used_seconds(launcher)
            for _ in range(STARTS):
                await asyncio.sleep(0.1)  # One round of looks.
                output = await run(spawner, engine.wrap(command("/bin/true")), timeout_seconds=60)
                assert output.ok
            assert process.exit is None
            assert used_seconds(launcher) - before < SECONDS

    asyncio.run(main())
