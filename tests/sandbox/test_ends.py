"""The reasons of an end by a limit, niceness, and the order in which the kernel kills."""

import asyncio
import functools
import os
import signal
from pathlib import Path

import pytest

from minifn.host.datadir import DataDir
from minifn.sandbox.command import Limits
from minifn.sandbox.launcher import proc
from minifn.sandbox.spawner import run
from tests.sandbox.commands import PYTHON, command, shell, started, until

#: Takes a share of its memory, and then ends by a signal, as programs do that get no more. It lives
#: for some looks of the launcher: bubblewrap may end before the launcher knows its processes.
CRASHES = """
import os, sys, time
limit, share, number = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
held = b"x" * int(limit * share)
time.sleep(0.5)
os.kill(os.getpid(), number)
"""


@pytest.mark.parametrize("engine_name", ["bwrap", "sandlock", "process"])
@pytest.mark.parametrize(
    ("script", "limits", "reason"),
    [
        (
            "exec head -c 2000000 /dev/zero >$TMPDIR/x",
            {"file_bytes": 10**6},
            "file size limit exceeded",
        ),
        ("while :; do :; done", {"cpu_seconds": 1}, "CPU time limit exceeded"),
    ],
)
def test_the_limit_that_ended_a_process_is_named(
    place: DataDir,
    engine_name: str,
    script: str,
    limits: dict[str, int],
    reason: str,
    request: pytest.FixtureRequest,
) -> None:
    if engine_name != "process":
        request.getfixturevalue(engine_name)

    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            output = await run(
                spawner, engine.wrap(shell(script, limits=Limits(**limits))), timeout_seconds=10
            )
            assert output.exit.reason == reason

    asyncio.run(main())


@pytest.mark.parametrize("engine_name", ["bwrap", "process"])
@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGTRAP])
@pytest.mark.parametrize("share", [0.85, 0.1])
def test_a_crash_near_the_memory_limit_is_told_with_it(
    place: DataDir,
    engine_name: str,
    number: signal.Signals,
    share: float,
    request: pytest.FixtureRequest,
) -> None:
    if engine_name == "bwrap":
        request.getfixturevalue(engine_name)
    limits = Limits(memory_bytes=256 << 20)

    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            argv = (PYTHON, "-I", "-S", "-c", CRASHES)
            numbers = map(str, (limits.memory_bytes, share, int(number)))
            wrapped = engine.wrap(command(*argv, *numbers, limits=limits))
            exit = (await run(spawner, wrapped, timeout_seconds=10)).exit
            assert exit.signal == number
            if share < 0.5:
                assert exit.reason == ""
                return
            told, _, sizes = exit.reason.partition(" near its memory limit (")
            assert told == f"signal {int(number)} ({number.name})"
            used, _, limit = sizes.removesuffix(" MB)").partition(" of ")
            assert 0.8 * 256 < int(used) < 256
            assert limit == "256"

    asyncio.run(main())


def test_niceness(place: DataDir) -> None:
    """It adds to the niceness of the server."""
    expected = min(19, os.getpriority(os.PRIO_PROCESS, 0) + 7)

    async def main() -> None:
        async with started(place, "none") as (spawner, engine):
            wrapped = engine.wrap(command("/bin/sleep", "1000", limits=Limits(nice=7)))
            process = await spawner.spawn(wrapped)
            assert os.getpriority(os.PRIO_PROCESS, process.pid) == expected
            await process.kill()

    asyncio.run(main())


@pytest.mark.parametrize("engine_name", ["bwrap", "sandlock", "process", "none"])
def test_the_kernel_kills_it_before_the_server(
    place: DataDir, engine_name: str, request: pytest.FixtureRequest
) -> None:
    """Every process of the tree has the score, whichever forked first; others keep theirs."""
    if engine_name in ("bwrap", "sandlock"):
        request.getfixturevalue(engine_name)
    own = int(Path("/proc/self/oom_score_adj").read_text())

    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            for limits, wanted in ((Limits(), 900), (Limits(oom_score_adj=700), 700)):
                script = shell("sleep 1000 & sleep 1000 & wait", limits=limits)
                process = await spawner.spawn(engine.wrap(script))
                expected = min(1000, max(0, own) + wanted)
                await until(functools.partial(has_sleepers, process.pid, expected))
                await process.kill()
            launcher = proc.children(os.getpid())
            assert {proc.oom_score_adj(pid) for pid in launcher} == {own}

    asyncio.run(main())


def has_sleepers(root: int, score: int) -> bool:
    """Tell whether the script runs its two sleepers and the whole tree has the score."""
    family = proc.family(root)
    commands = [proc.read(f"/proc/{pid}/cmdline") for pid in family]
    sleepers = sum(command.startswith(b"sleep") for command in commands)
    return sleepers == 2 and {proc.oom_score_adj(pid) for pid in family} == {score}
