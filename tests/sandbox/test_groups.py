"""Limits by real control groups.

systemd-run --user --scope -p Delegate=yes .venv/bin/pytest
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from minifn.host.control_groups import own_group, read
from minifn.host.datadir import DataDir
from minifn.sandbox.command import Command, Limits
from minifn.sandbox.engines import Engine
from minifn.sandbox.launcher import cgroup, proc
from minifn.sandbox.spawner import Spawner, run
from tests.processes import killed_at_end
from tests.sandbox.commands import PYTHON, command, marked, marker, started, until
from tests.serving import wait_until

MIB = 2**20
Story = Callable[[Spawner, Engine, Path], Awaitable[None]]

#: Programs that print how far they got: exactly up to the limit of their group.
SHARED = """
import mmap
area = mmap.mmap(-1, 512 * 2**20)
for at in range(0, len(area), 2**20):
    area[at : at + 2**20] = b"x" * 2**20
    print(at >> 20, flush=True)
"""
TREE = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        held = b"x" * (24 * 2**20)
        time.sleep(20)
time.sleep(20)
"""
FORKS = """
import os, time
made = 1
try:
    while made < 500:
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
        made += 1
except OSError as error:
    print(made, error.strerror, flush=True)
os._exit(3)
"""
SPIN = """
import time
end, used = time.monotonic() + 2, time.process_time()
while time.monotonic() < end:
    pass
print(time.process_time() - used)
"""


@pytest.fixture(params=["bwrap", "process"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """The engines that set limits."""
    if request.param == "bwrap":
        request.getfixturevalue("bwrap")
    return str(request.param)


def divided() -> Path:
    """The group that this process's servers divide."""
    own = Path(own_group(read("/proc/self/cgroup"), read("/proc/self/mountinfo")))
    return own.parent if cgroup.OURS.fullmatch(own.name) else own


def ours(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if cgroup.OURS.fullmatch(path.name))


def play(place: DataDir, engine_name: str, story: Story) -> None:
    """Run a story with a spawner that has groups; skips where none is delegated."""

    async def main() -> None:
        root = divided()
        async with started(place, engine_name) as (spawner, engine):
            probe = engine.wrap(command("/bin/true"))
            if not (await run(spawner, probe, timeout_seconds=10)).grouped:
                pytest.skip(
                    "no control group is delegated: "
                    "systemd-run --user --scope -p Delegate=yes pytest"
                )
            await story(spawner, engine, root)
        assert ours(root) == []
        assert str(os.getpid()) in read(f"{root}/cgroup.procs").split()

    asyncio.run(main())


def python(script: str, **limits: float) -> Command:
    return command(PYTHON, "-c", script, limits=Limits(**limits))  # type: ignore[arg-type]


def test_a_limit_is_named_when_the_server_killed_the_process(
    place: DataDir, engine_name: str
) -> None:
    """The server kills a worker whose connection closed, and must still tell why it closed."""

    async def story(spawner: Spawner, engine: Engine, root: Path) -> None:
        limits = Limits(processes=30)
        script = FORKS.replace("os._exit(3)", "time.sleep(20)")
        process = await spawner.spawn(engine.wrap(command(PYTHON, "-c", script, limits=limits)))
        group = next(name for name in ours(root) if cgroup.OURS.fullmatch(name)[2])  # type: ignore[index]
        await until(lambda: "max 0" not in read(f"{root}/{group}/pids.events"))
        assert (await process.kill()).reason == "process limit exceeded (30)"

    if engine_name == "bwrap" or os.geteuid() == 0:
        pytest.skip(
            "RLIMIT_NPROC applies first where the uid is this command's alone, and is not reported"
        )
    play(place, engine_name, story)


@pytest.mark.parametrize("script", [SHARED, TREE])
def test_memory_of_all_processes_counts_together(
    place: DataDir, engine_name: str, script: str
) -> None:
    async def story(spawner: Spawner, engine: Engine, root: Path) -> None:
        process = engine.wrap(python(script, memory_bytes=64 * MIB))
        output = await run(spawner, process, timeout_seconds=30)
        assert (output.exit.signal, output.exit.reason) == (
            signal.SIGKILL,
            "memory limit exceeded (64 MB)",
        )
        assert int(output.text.split()[-1] if output.text else 0) < 64

    play(place, engine_name, story)


def test_one_process_still_gets_an_error_it_can_handle(place: DataDir, engine_name: str) -> None:
    script = "try:\n  [b'x' * 2**20 for _ in range(200)]\nexcept MemoryError:\n  print('handled')"

    async def story(spawner: Spawner, engine: Engine, root: Path) -> None:
        output = await run(
            spawner, engine.wrap(python(script, memory_bytes=64 * MIB)), timeout_seconds=30
        )
        assert (output.text, output.ok) == ("handled\n", True)

    play(place, engine_name, story)


def test_processes_are_counted_and_the_limit_is_named(place: DataDir, engine_name: str) -> None:
    async def story(spawner: Spawner, engine: Engine, root: Path) -> None:
        output = await run(spawner, engine.wrap(python(FORKS, processes=30)), timeout_seconds=30)
        made, _, error = output.text.strip().partition(" ")
        assert 25 <= int(made) <= 30
        assert error == os.strerror(11)
        assert (output.exit.code, output.exit.reason) in (
            (3, ""),
            (3, "process limit exceeded (30)"),
        )
        # Under bwrap a plain user also has RLIMIT_NPROC, which is not reported.
        assert engine.name == "bwrap" or output.exit.reason

    play(place, engine_name, story)


def test_a_share_of_a_core(place: DataDir, engine_name: str) -> None:
    async def story(spawner: Spawner, engine: Engine, root: Path) -> None:
        output = await run(spawner, engine.wrap(python(SPIN, cpus=0.2)), timeout_seconds=30)
        assert float(output.text) < 1.0

    play(place, engine_name, story)


def test_a_daemon_that_hides_dies_with_its_group(place: DataDir, engine_name: str) -> None:
    """Neither its environment nor its session tells whose it is."""
    mark = marker()

    async def story(spawner: Spawner, engine: Engine, root: Path) -> None:
        script = (
            "import os\nif os.fork() == 0:\n  os.setsid()\n"
            f"  os.execve('/bin/sleep', ['sleep', '{mark}'], {{}})\n"
        )
        output = await run(spawner, engine.wrap(python(script)), timeout_seconds=30)
        assert output.exit.code == 0
        assert not marked(mark)
        assert len(ours(root)) == 1  # the server's own

    play(place, engine_name, story)


SERVER = """
import asyncio, sys
from pathlib import Path
from minifn.host.datadir import DataDir
from tests.sandbox.commands import command, started

async def main():
    async with started(DataDir(Path(sys.argv[1])), sys.argv[2]) as (spawner, engine):
        process = await spawner.spawn(engine.wrap(command("/bin/sleep", sys.argv[3])))
        print(process.pid, process.grouped, flush=True)
        await asyncio.sleep(100)

asyncio.run(main())
"""


@pytest.mark.parametrize("victim", ["server", "launcher", "both"])
def test_nothing_is_left_after_kill(place: DataDir, engine_name: str, victim: str) -> None:
    """After a killed launcher the next start cleans up: the groups name its processes."""
    mark = marker()

    async def story(spawner: Spawner, engine: Engine, root: Path) -> None:
        other = DataDir(place.root.parent / "other")
        other.prepare()
        before = set(ours(root))
        argv = [sys.executable, "-c", SERVER, str(other.root), engine_name, mark]
        popen = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
        with killed_at_end(popen) as server:
            assert server.stdout is not None
            root_pid, grouped = server.stdout.readline().split()
            assert grouped == "True"
            launcher = proc.parent(int(root_pid))
            assert f"minifn-{launcher}" in ours(root)
            if victim != "server":
                os.kill(launcher, signal.SIGKILL)
            server.kill()
        if victim != "server":
            async with started(other, engine_name):
                assert not marked(mark)
        wait_until(lambda: not marked(mark) and set(ours(root)) == before, 10, "nothing is left")

    play(place, engine_name, story)
