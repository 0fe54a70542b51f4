"""Starting, watching and ending processes, with real ones."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from minifn.host.datadir import DataDir
from minifn.sandbox.command import Exit, Limits, SpawnFailed
from minifn.sandbox.engines.none import NoEngine
from minifn.sandbox.launcher import proc
from minifn.sandbox.launcher.messages import ToLauncher
from minifn.sandbox.lock import DataInUse
from minifn.sandbox.process import Process
from minifn.sandbox.spawner import Spawner, run
from minifn.sandbox.strays import kill_strays
from tests.patience import patient
from tests.sandbox.commands import (
    PATH,
    PYTHON,
    UID,
    command,
    marked,
    marker,
    shell,
    sleeping,
    started,
    until,
)


def test_output_and_exit_code(place: DataDir, engine_name: str) -> None:
    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            wrapped = engine.wrap(shell("echo out; echo err >&2; exit 7"))
            output = await run(spawner, wrapped, timeout_seconds=10)
            assert (output.exit, output.text, output.ok) == (Exit(code=7), "out\nerr\n", False)

    asyncio.run(main())


def test_death_by_signal(place: DataDir, engine_name: str) -> None:
    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            output = await run(spawner, engine.wrap(shell("kill -SEGV $$")), timeout_seconds=10)
            assert (output.exit.code, output.exit.signal) == (None, signal.SIGSEGV)

    asyncio.run(main())


DESCRIPTORS = """
import os, socket
found = sorted(map(int, os.listdir("/proc/self/fd")))
sockets = [socket.socket(fileno=number) for number in found[3:-1]]
for number, one in zip(found[3:], sockets):
    one.send(str(number).encode())
print(found[:-1])  # without the directory that was just listed
"""


def test_descriptors_are_renumbered_and_no_other_is_open(place: DataDir, engine_name: str) -> None:
    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            # sandlock passes on one descriptor.
            pairs = [socket.socketpair() for _ in range(1 if engine_name == "sandlock" else 3)]
            read, write = os.pipe()
            process = await spawner.spawn(
                engine.wrap(command(PYTHON, "-I", "-S", "-c", DESCRIPTORS)),
                [theirs.fileno() for _, theirs in pairs],
                stdout=write,
                stderr=write,
            )
            for _, theirs in pairs:
                theirs.close()
            os.close(write)
            assert (await process.wait()).code == 0
            inside = list(range(3, 3 + len(pairs)))
            assert [int(ours.recv(10)) for ours, _ in pairs] == inside
            with os.fdopen(read) as file:
                assert file.read() == f"{[0, 1, 2, *inside]}\n"
            for ours, _ in pairs:
                ours.close()

    asyncio.run(main())


def test_environment_is_complete_and_nothing_more(
    place: DataDir, engine_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_SECRET", "do-not-tell")

    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            wrapped = engine.wrap(
                command("/usr/bin/env", env={"PATH": PATH, "A": "ä\nb", "HOME": "/mine"})
            )
            text = (await run(spawner, wrapped, timeout_seconds=10)).text
            assert "A=ä\nb\n" in text
            assert "HOME=/mine\n" in text
            assert "do-not-tell" not in text
            names = {line.partition("=")[0] for line in text.splitlines()} - {"b"}
            assert names <= {"PATH", "A", "HOME", "TMPDIR", "PWD", "MINIFN_TREE"}

    asyncio.run(main())


def test_a_large_environment_passes(place: DataDir) -> None:
    async def main() -> None:
        async with started(place, "none") as (spawner, engine):
            env = {"PATH": PATH, **{f"V{at}": "x" * 8192 for at in range(100)}}
            jobs = [
                run(
                    spawner,
                    engine.wrap(command("/bin/sh", "-c", "echo ${#V99}", env=env)),
                    timeout_seconds=20,
                )
                for _ in range(8)
            ]
            assert [output.text for output in await asyncio.gather(*jobs)] == ["8192\n"] * 8

    asyncio.run(main())


@pytest.mark.parametrize("env", [{"A": "x\0y"}, {"A=B": "x"}, {"A": "\ud800"}])
def test_an_impossible_environment_fails_that_command_alone(
    place: DataDir, engine_name: str, env: dict[str, str]
) -> None:
    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            impossible = engine.wrap(command("/bin/true", env={"PATH": PATH, **env}))
            if engine_name == "sandlock":  # Its supervisor has started by then.
                assert not (await run(spawner, impossible, timeout_seconds=10)).ok
            else:
                with pytest.raises(SpawnFailed):
                    await spawner.spawn(impossible)
            assert (await run(spawner, engine.wrap(command("/bin/true")), timeout_seconds=10)).ok

    asyncio.run(main())


def test_a_missing_program_says_so(place: DataDir) -> None:
    async def main() -> None:
        async with started(place, "none") as (spawner, engine):
            with pytest.raises(SpawnFailed, match="no-such-program: No such file"):
                await spawner.spawn(engine.wrap(command("no-such-program")))
            await until(lambda: not list(spawner.tmp_dir.iterdir()))

    asyncio.run(main())


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        # No tie to its maker is left: not parent, group, session, nor environment.
        os.execve("/bin/sleep", ["sleep", sys.argv[1]], {})
    os._exit(0)
os.wait()
print("ready", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize("way", ["kill", "exit"])
def test_nothing_survives(place: DataDir, engine_name: str, way: str) -> None:
    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            name = marker()
            wait = "1000" if way == "kill" else "0.2"
            read, write = os.pipe()
            process = await spawner.spawn(
                engine.wrap(command(PYTHON, "-c", DAEMON, name, wait)), stdout=write
            )
            os.close(write)
            with os.fdopen(read, "rb") as file:
                assert await asyncio.to_thread(file.readline) == b"ready\n"
            if way == "kill":
                await process.kill()
            exit = await process.wait()
            assert exit == (
                Exit(code=None, signal=signal.SIGKILL) if way == "kill" else Exit(code=0)
            )
            assert not marked(name)

    asyncio.run(main())


@pytest.mark.parametrize("without", ["", "env -u MINIFN_TREE "])
def test_a_background_process_lives_as_long_as_its_owner(place: DataDir, without: str) -> None:
    """The end of another command does not affect it, although it is an orphan already.

    Most languages do not pass the variable on that names its tree.
    """

    async def main() -> None:
        async with started(place, "process") as (spawner, engine):
            name = marker()
            script = f"({without}sleep {name} &) ; sleep 1000"
            process = await spawner.spawn(engine.wrap(shell(script)))
            await until(lambda: bool(marked(name)))
            for _ in range(3):
                await run(spawner, engine.wrap(shell("true")), timeout_seconds=10)
            assert marked(name)
            await process.kill()
            assert not marked(name)

    asyncio.run(main())


def test_a_command_that_takes_too_long_is_killed(place: DataDir) -> None:
    async def main() -> None:
        async with started(place, "process") as (spawner, engine):
            output = await run(
                spawner, engine.wrap(shell("echo begun; sleep 1000")), timeout_seconds=0.2
            )
            assert (output.exit.reason, output.text) == ("took longer than 0.2 s", "begun\n")

    asyncio.run(main())


def test_cpus_narrow_the_cores(place: DataDir) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core: nothing to narrow")

    async def main() -> None:
        async with started(place, "process") as (spawner, engine):
            for cpus, expected in ((0.5, 1), (0.0, len(os.sched_getaffinity(0)))):
                output = await run(
                    spawner,
                    engine.wrap(command("nproc", limits=Limits(cpus=cpus))),
                    timeout_seconds=10,
                )
                assert int(output.text) == expected

    asyncio.run(main())


def test_the_private_directory_is_made_and_removed(place: DataDir) -> None:
    hard = 'cd "$TMPDIR" && mkdir a && : >a/b && chmod 0 a && ln -s / root && ls -ld "$TMPDIR"'

    async def main() -> None:
        async with started(place, "process") as (spawner, engine):
            output = await run(spawner, engine.wrap(shell(hard)), timeout_seconds=10)
            assert output.ok, output.text
            assert "drwx------" in output.text
            await until(lambda: not list(spawner.tmp_dir.iterdir()))

    asyncio.run(main())
    assert Path("/usr").is_dir()


def test_watch_sends_little(place: DataDir) -> None:
    class Counted(Spawner):
        """Counts its messages."""

        sent = 0

        def send(self, message: ToLauncher, descriptors: Sequence[int] = ()) -> None:
            self.sent += 1
            super().send(message, descriptors)

    async def main() -> None:
        async with Counted(place.run) as spawner:
            process = await spawner.spawn(NoEngine().wrap(shell("sleep 1000")))
            assert spawner.sent == 1
            for _ in range(1000):
                process.watch(True)
                process.watch(False)
            assert spawner.sent == 1
            await process.kill()

    asyncio.run(main())


def test_one_server_per_directory(place: DataDir) -> None:
    """A living server is noticed at once; only the lock of an ending one is waited for."""

    async def main() -> None:
        async with Spawner(place.run):
            began = time.monotonic()
            with pytest.raises(
                DataInUse, match=rf"another Minifn of this process \({os.getpid()}\) is using"
            ):
                await Spawner(place.run).start()
            assert time.monotonic() - began < patient(0.5)
        async with Spawner(place.run):
            pass

    asyncio.run(main())


def test_a_lost_launcher_is_noticed(place: DataDir, engine_name: str) -> None:
    async def main() -> None:
        async with started(place, engine_name) as (spawner, engine):
            name = marker()
            process: Process = await spawner.spawn(engine.wrap(command("sleep", name)))
            await until(lambda: bool(sleeping(name)))
            os.kill(proc.parent(process.pid), signal.SIGKILL)
            await asyncio.wait_for(spawner.lost, 10)
            assert (await process.wait()).reason == "the launcher ended"
            with pytest.raises(SpawnFailed):
                await spawner.spawn(engine.wrap(shell("true")))
            if engine_name != "none":  # The others die with their parent.
                await until(lambda: not marked(name))
        kill_strays(place.run)
        assert not marked(name)

    asyncio.run(main())


SERVER = """
import asyncio, sys
from pathlib import Path
from minifn.host.datadir import DataDir
from minifn.sandbox import choose as choose_module
from minifn.sandbox.command import Command
from minifn.sandbox.choose import choose
from minifn.sandbox.spawner import Spawner

async def main() -> None:
    data = DataDir(Path(sys.argv[1]))
    async with Spawner(data.run) as spawner:
        choose_module.SANDLOCK_TRIAL = "true"
        engine = await choose(sys.argv[2], spawner, data)
        script = f"setsid sleep {sys.argv[3]} & sleep {sys.argv[3]}"
        argv, env = ("/bin/sh", "-c", script), {"PATH": "/usr/bin:/bin"}
        command = Command(argv=argv, env=env, uid=int(sys.argv[4]))
        await spawner.spawn(engine.wrap(Command(argv=("/bin/sleep", "0.5"), env={})))
        await (await spawner.spawn(engine.wrap(command))).wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("victims", ["server", "server with unread news", "server and launcher"])
def test_kill_9(place: DataDir, engine_name: str, victims: str) -> None:
    async def main() -> None:
        name = marker()
        root = str(Path(__file__).parents[2])
        server = subprocess.Popen(  # noqa: ASYNC220
            [
                sys.executable,
                "-c",
                textwrap.dedent(SERVER),
                str(place.root),
                engine_name,
                name,
                str(UID),
            ],
            env={**os.environ, "PYTHONPATH": root},
        )
        await until(lambda: len(sleeping(name)) == 2)
        launchers = proc.children(server.pid)
        if victims == "server with unread news":
            server.send_signal(signal.SIGSTOP)
            await until(lambda: len(list((place.run / "processes").iterdir())) == 1)
        server.kill()
        if victims == "server and launcher":
            for pid in launchers:
                os.kill(pid, signal.SIGKILL)
        server.wait()
        if victims != "server and launcher":
            await until(lambda: not marked(name))
        async with Spawner(place.run):
            assert not marked(name)

    asyncio.run(main())
