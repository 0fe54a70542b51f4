"""Attacks of a command on the launcher that measures it and removes what belongs to it."""

import asyncio
import sys

import pytest

from minifn.host.datadir import DataDir
from minifn.sandbox.command import Limits
from minifn.sandbox.spawner import run
from minifn.sandbox.strays import kill_strays
from tests.sandbox.commands import PYTHON, command, marked, marker, shell, started, until

#: Leaves its parent and claims to belong to each command, as if cookies were counted.
FORGER = """
import os, sys
run, _, own = os.environ["MINIFN_TREE"].partition(".")
for number in range(1, 6):
    if f"{number}" != own and os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve("/bin/sleep", ["sleep", sys.argv[1]], {"MINIFN_TREE": f"{run}.{number}"})
        os._exit(0)
for _ in range(4):
    os.wait()
"""
DEEP = """
import os
os.chdir(os.environ["TMPDIR"])
for _ in range(3000):
    os.mkdir("deep")
    os.chdir("deep")
with open("file", "wb") as file:
    file.write(b"x" * 3_000_000)
"""


def test_an_orphan_cannot_join_another_command(place: DataDir) -> None:
    """Such an orphan would outlive its own command and use up the limits of the other."""

    async def main() -> None:
        async with started(place, "process") as (spawner, engine):
            name, other = marker(), marker()
            for _ in range(3):
                await spawner.spawn(engine.wrap(shell(f"sleep {other}")))
            await run(spawner, engine.wrap(command(PYTHON, "-c", FORGER, name)), timeout_seconds=20)
            assert not marked(name)
            assert marked(other)

    asyncio.run(main())


def test_a_deep_directory_is_counted_and_removed(place: DataDir) -> None:
    async def main() -> None:
        async with started(place, "process") as (spawner, engine):
            limits = Limits(tmp_bytes=2**20)
            waiting = command(PYTHON, "-c", f"{DEEP}\nimport time; time.sleep(30)", limits=limits)
            output = await run(spawner, engine.wrap(waiting), timeout_seconds=20)
            assert "temporary files exceed 1 MB" in output.exit.reason
            await until(lambda: not list(spawner.tmp_dir.iterdir()))

    asyncio.run(main())


@pytest.mark.slow
def test_a_deep_directory_of_a_killed_server_is_removed(place: DataDir) -> None:
    left = place.run / "tmp" / "1"
    left.mkdir(parents=True)
    script = DEEP + "\nprint('made')"
    found = asyncio.run(_output([sys.executable, "-c", script], {"TMPDIR": str(left)}))
    assert found == b"made\n"
    (place.run / "processes").mkdir()
    (place.run / "processes" / "77").write_bytes(b"\0" * 40)
    kill_strays(place.run)
    assert not left.exists()


async def _output(argv: list[str], env: dict[str, str]) -> bytes:
    process = await asyncio.create_subprocess_exec(*argv, env=env, stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0]


def test_the_launcher_survives_when_records_cannot_be_written(place: DataDir) -> None:
    async def main() -> None:
        async with started(place, "none") as (spawner, engine):
            records = place.run / "processes"
            records.rename(records.with_name("gone"))
            output = await run(spawner, engine.wrap(shell("echo runs")), timeout_seconds=10)
            assert (output.ok, output.text) == (True, "runs\n")
            assert not spawner.lost.done()

    asyncio.run(main())
