"""Functions that attack the template of their own deployment: no other is harmed, limits hold."""

import asyncio
import contextlib
import dataclasses
import logging
import os
import secrets
import textwrap
from pathlib import Path

import pytest

from minifn.host.datadir import DataDir
from minifn.sandbox.launcher import proc
from minifn.sandbox.launcher.proc import PAGE_BYTES
from tests.sandbox.commands import command_line
from tests.sandbox.conftest import place
from tests.workers.forked import LIMITS, Forked, forked

__all__ = ["place"]
pytestmark = pytest.mark.usefixtures("bwrap")

MAIN = """
import os

def main(context):
    return globals()[context.req.path[1:]](context)

def who(context):
    return context.res.json({"pid": os.getpid(), "parent": os.getppid()})
"""


def written(folder: Path, code: str) -> Path:
    """Write a function that has `code` besides `who`, and return its folder."""
    (folder / "main.py").write_text(MAIN + textwrap.dedent(code))
    return folder


def with_variable(function: Forked, name: str, value: str) -> Forked:
    """Return the function with one more variable."""
    env = {**function.spec.command.env, name: value}
    command = dataclasses.replace(function.spec.command, env=env)
    return dataclasses.replace(function, spec=dataclasses.replace(function.spec, command=command))


def memory(pid: int) -> bytes:
    """Return the writable memory and the environment of a process."""
    found = Path(f"/proc/{pid}/environ").read_bytes()
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb") as file:
        for line in maps:
            span, rights = line.split()[:2]
            if "w" in rights:
                start, end = (int(part, 16) for part in span.split("-"))
                for page in range(start, end, PAGE_BYTES):
                    # The guard pages of stacks cannot be read.
                    with contextlib.suppress(OSError):
                        found += os.pread(file.fileno(), PAGE_BYTES, page)
    return found


def test_a_template_knows_nothing_of_other_deployments(place: DataDir, tmp_path: Path) -> None:
    async def run() -> None:
        async with forked(place, written(tmp_path, "")) as function:
            ours, theirs = secrets.token_hex(16), secrets.token_hex(16)
            mine = with_variable(function, "SECRET", ours)
            other = function.other("other")
            await other.who(body=theirs.encode())
            template = await mine.forked()
            await asyncio.gather(other.who(body=theirs.encode()), mine.who())
            await other.template()
            (worker,) = template.forks.values()
            for pid in (proc.parent(worker.pid), worker.pid):
                try:
                    found = memory(pid)
                except PermissionError:
                    pytest.skip("only root reads the memory of functions")
                assert ours.encode() in found
                assert theirs.encode() not in found

    asyncio.run(run())


def test_a_template_that_forks_unasked_meets_the_limit(
    place: DataDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its function has replaced the call by which it forks."""
    monkeypatch.setattr("minifn.workers.templates.LOOK_SECONDS", 0.3)
    code = """
        import sys, time
        template = sys.modules.get("minifn_template")
        real = os.fork

        def bomb():
            try:
                while real() != 0:
                    pass
                time.sleep(600)
            except OSError:
                return real()

        if "ATTACKS" in os.environ and template is not None:
            template.fork = bomb
    """

    async def run() -> None:
        async with forked(place, written(tmp_path, code)) as good:
            function = with_variable(good.other("attacker"), "ATTACKS", "1")
            await good.forked()
            template = await function.forked()
            assert template.process is not None
            # A worker may find no room for its own thread.
            calls = asyncio.gather(*(function.call("/who") for _ in range(3)))
            most = 0
            while not calls.done():
                most = max(most, len(proc.family(template.process.pid)))
                await asyncio.sleep(0.01)
            await calls
            assert LIMITS.processes / 2 < most < 1.5 * LIMITS.processes
            assert (await good.who())["parent"] == 2
            await function.until(lambda: template.has_ended)
            await function.idle()
            await function.who()

    asyncio.run(run())


def test_a_worker_that_rewrites_the_template_harms_its_own_deployment(
    place: DataDir, tmp_path: Path
) -> None:
    code = """
        def rewrite(context):
            parent = os.getppid()
            with open(f"/proc/{parent}/maps") as maps:
                spans = [line.split()[0] for line in maps if " rw-p " in line]
            with open(f"/proc/{parent}/mem", "r+b", buffering=0) as file:
                for start, end in (span.split("-") for span in spans):
                    try:
                        file.seek(int(start, 16))
                        file.write(b"\\xff" * (int(end, 16) - int(start, 16)))
                    except OSError:
                        pass
            return who(context)
    """

    async def run() -> None:
        async with forked(place, written(tmp_path, code)) as function:
            other = function.other("other")
            await other.forked()
            template = await function.forked()
            await function.call("/rewrite")
            # The next fork shows the damage, if the kernel allowed any.
            await asyncio.gather(*(function.call("/who") for _ in range(2)))
            assert (await other.who())["parent"] == 2
            answer = await function.who()
            assert (answer["parent"] == 2) or template.state == "retired"

    asyncio.run(run())


def test_a_template_that_works_is_ended(
    place: DataDir,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its import has left a process that is no child of its own any more."""
    monkeypatch.setattr("minifn.workers.templates.LOOK_SECONDS", 0.3)
    caplog.set_level(logging.INFO, "minifn.workers")
    mark = f"mark-{os.getpid()}-restless"
    code = f"""
        import subprocess, sys
        spin = "import os; os.fork() and os._exit(0); os.setsid()\\nwhile True: pass"
        subprocess.run([sys.executable, "-S", "-c", spin, "{mark}"], check=True)
    """

    async def run() -> None:
        async with forked(place, written(tmp_path, code)) as function:
            await function.who()
            await function.until(lambda: "is not at rest while it has no worker" in caplog.text)
            await function.idle()
            left = [pid for pid in proc.pids() if mark.encode() in command_line(pid)]
            await function.until(lambda: not any(map(proc.alive, left)))
            await function.who()

    asyncio.run(run())


@pytest.mark.parametrize("lie", ['b"[" * 4000', "b'{\"failed\": 12345}'", "b'{\"failed\": []}'"])
def test_a_template_that_lies_forks_no_more(
    place: DataDir, tmp_path: Path, caplog: pytest.LogCaptureFixture, lie: str
) -> None:
    """It sends messages without end, which the server would read instead of serving others."""
    code = f"""
        import sys

        def lie(self, number):
            while True:
                self._control.send({lie})

        if "minifn_template" in sys.modules:
            sys.modules["minifn_template"].Template._reap = lie
    """

    async def run() -> None:
        async with forked(place, written(tmp_path, code)) as function:
            template = await function.forked()
            await function.who()
            await function.until(lambda: template.state == "retired")
            await function.idle()
            await function.who()
            assert not function.pool.templates.has(function.spec)
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ('b"[" * 4000', "its import ended the process"),
        ('b\'{"obstacle": "first\\\\nsecond"}\'', "first"),
    ],
)
def test_the_first_word_of_a_template_is_one_line_of_the_log(
    place: DataDir, tmp_path: Path, caplog: pytest.LogCaptureFixture, word: str, why: str
) -> None:
    caplog.set_level(logging.INFO, "minifn.workers")
    code = f"""
        import sys, time

        def said(self, before):
            self._control.send({word})
            time.sleep(60)

        if "minifn_template" in sys.modules:
            sys.modules["minifn_template"].Template._obstacle = said
    """

    async def run() -> None:
        async with forked(place, written(tmp_path, code)) as function:
            await function.who()
            await function.until(lambda: function.pool.templates.is_refused(function.spec))
        told = [
            record.message for record in caplog.records if "without a template" in record.message
        ]
        assert told == [f"forked: workers start without a template: {why}"]
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]

    asyncio.run(run())


def test_daemons_that_a_template_adopts_are_killed_beside_its_workers(
    place: DataDir, tmp_path: Path
) -> None:
    """Its import has made it a subreaper, so that the orphans of workers become its children."""
    mark = f"mark-{os.getpid()}-adopted"
    code = f"""
        import ctypes, sys, time
        PR_SET_CHILD_SUBREAPER = 36
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        DAEMON = [sys.executable, "-S", "-c", "import time; time.sleep(600)", "{mark}"]

        def leave(context):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.execve(DAEMON[0], DAEMON, {{}})
                os._exit(0)
            os.wait()
            return who(context)

        def sleep(context):
            time.sleep(1)
            return who(context)
    """

    async def run() -> None:
        async with forked(place, written(tmp_path, code)) as function:
            template = await function.forked()
            ended = asyncio.Event()

            async def work() -> None:
                while not ended.is_set():
                    await function.who("/sleep")

            def left() -> list[int]:
                return [pid for pid in proc.pids() if mark.encode() in command_line(pid)]

            busy = [asyncio.create_task(work()) for _ in range(2)]
            await function.who("/leave")
            await function.until(lambda: bool(left()))
            await function.until(lambda: not left())
            assert not template.is_idle
            ended.set()
            await asyncio.gather(*busy)

    asyncio.run(run())
