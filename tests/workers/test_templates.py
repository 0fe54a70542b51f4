"""Workers that are forked from a template: each is watched, killed and reported on its own."""

import asyncio
import logging
import os
import re
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from minifn.host.datadir import DataDir
from minifn.sandbox.command import SpawnFailed
from minifn.sandbox.launcher import proc
from minifn.workers.templates import Templates
from tests.sandbox.commands import command_line
from tests.workers.forked import LIMITS, MIB, Forked, forked

pytestmark = pytest.mark.usefixtures("bwrap")

Story = Callable[[Forked], Awaitable[None]]


def play(data: DataDir, story: Story, **settings: Any) -> None:
    async def run() -> None:
        async with forked(data, **settings) as function:
            await story(function)

    asyncio.run(run())


def daemons(mark: str) -> list[int]:
    return [pid for pid in proc.pids() if mark.encode() in command_line(pid)]


def test_workers_share_the_import_alone(place: DataDir) -> None:
    async def story(function: Forked) -> None:
        first = await function.call("/who")
        await function.forked()
        second = await function.call("/who")
        await function.idle()
        third = await function.who()
        found = [third]
        assert [answer.logs.count("imported") for answer in (first, second)] == [1, 1]
        assert second.logs.endswith("printed\n")
        fourth, fifth = await asyncio.gather(
            function.who("/sleep", query="0.3"), function.who("/sleep", query="0.3")
        )
        found += [fourth, fifth]
        assert len({one["imported"] for one in found}) == 1
        assert len({one["random"] for one in found}) == len(found)
        assert all(one["session"] == one["pid"] for one in found)
        assert fourth["pid"] != fifth["pid"]
        assert fourth["parent"] == fifth["parent"]

    play(place, story)


def test_async_functions_share_the_import_of_asyncio(place: DataDir, tmp_path: Path) -> None:
    # The list leaves out objects that the template had before its forks.
    main = """
        import gc, sys

        async def main(context):
            own = any(one is sys.modules["asyncio"] for one in gc.get_objects())
            return context.res.text("own" if own else "shared")
    """
    (tmp_path / "main.py").write_text(textwrap.dedent(main))

    async def run() -> None:
        async with forked(place, tmp_path) as function:
            assert (await function.call("/")).body == b"own"
            await function.template()
            await function.idle()
            assert (await function.call("/")).body == b"shared"

    asyncio.run(run())


def test_the_end_of_a_worker_is_reported(place: DataDir) -> None:
    async def story(function: Forked) -> None:
        template = await function.forked()
        answer = await function.call("/leave")
        assert "exited with code 7" in answer.errors
        assert "last words" in answer.errors
        assert (await function.who())["parent"] == 2
        assert await function.template() is template

    play(place, story)


def test_a_worker_is_killed_alone(place: DataDir) -> None:
    bad = {
        "/fill": "MemoryError",
        "/fill_together": "memory limit exceeded (96 MB)",
        "/spin": "Execution timed out.",
    }

    async def story(function: Forked) -> None:
        template = await function.forked()
        good = asyncio.create_task(function.who("/sleep", query="5"))
        await function.until(lambda: function.pool.busy == 1)
        answers = await asyncio.gather(*(function.call(path, seconds=4) for path in bad))
        for answer, words in zip(answers, bad.values(), strict=True):
            assert words in answer.errors, answer
        await good
        assert await function.template() is template

    play(place, story)


@pytest.mark.parametrize("path", ["/marked", "/unmarked"])
def test_survivors_of_the_only_worker_are_killed(place: DataDir, path: str) -> None:
    async def story(function: Forked) -> None:
        mark = f"mark-{os.getpid()}-{path[1:]}"
        template = await function.forked()
        await function.who(path, query=mark)
        assert daemons(mark)
        await function.idle()
        assert not daemons(mark)
        assert await function.template() is template

    play(place, story)


def test_a_marked_survivor_is_killed_beside_other_workers(place: DataDir) -> None:
    async def story(function: Forked) -> None:
        mark = f"mark-{os.getpid()}-beside"
        template = await function.forked()
        good = asyncio.create_task(function.who("/sleep", query="2"))
        await function.until(lambda: function.pool.busy == 1)
        await function.who("/marked", query=mark)
        await function.until(lambda: function.pool.workers == 1)
        assert not daemons(mark)
        assert not good.done()
        await good
        assert await function.template() is template

    play(place, story)


def test_survivors_of_unknown_workers_end_with_the_sandbox(
    place: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "minifn.workers")

    async def story(function: Forked) -> None:
        mark = f"mark-{os.getpid()}-unknown"
        await function.forked()
        good = asyncio.create_task(function.who("/sleep", query="3"))
        await function.until(lambda: function.pool.busy == 1)
        await function.who("/unmarked", query=mark)
        await function.until(lambda: not function.pool.templates.has(function.spec))
        assert daemons(mark)
        assert not good.done()
        await good
        await function.until(lambda: not daemons(mark))
        assert "its calls leave processes behind" in caplog.text
        await function.who()

    play(place, story)


def test_a_worker_that_kills_the_template_harms_its_own_deployment(
    place: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "minifn.workers")

    async def story(function: Forked) -> None:
        other = function.other("other")
        await other.forked()
        await function.forked()
        beside = asyncio.create_task(other.who("/sleep", query="2"))
        await function.until(lambda: function.pool.busy == 1)
        bad = await function.call("/kill_template")
        assert "SIGKILL" in bad.errors, bad
        assert not beside.done()
        await beside
        assert "it was ended from within" in caplog.text
        await function.who()
        assert not function.pool.templates.has(function.spec)

    play(place, story)


def test_files_that_workers_leave_end_with_them(place: DataDir) -> None:
    async def story(function: Forked) -> None:
        template = await function.forked()
        assert (await function.who("/write"))["file"]
        await function.until(lambda: template.state == "retired")
        assert await function.template() is not template
        assert not (await function.who())["file"]

    play(place, story)


def test_a_fork_bomb_meets_the_limit_of_a_worker(place: DataDir) -> None:
    async def story(function: Forked) -> None:
        await function.forked()
        answer = await function.call("/fork_bomb")
        if answer.status_code == 200:
            assert int(answer.body) < LIMITS.processes
        else:
            assert f"process limit exceeded ({LIMITS.processes})" in answer.errors
        await function.who()

    play(place, story)


@pytest.mark.parametrize(
    ("code", "obstacle"),
    [
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(9,)).start()",
            "threads",
        ),
        ("import subprocess\nchild = subprocess.Popen(['sleep', '9'])", "processes"),
        ("import socket\nend, other = socket.socketpair()", "sockets"),
        ("file = open(__file__)", "files"),
        ("import asyncio\nloop = asyncio.new_event_loop()", "sockets"),
        (
            "import os\nlinks = ((n, f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd'))\n"
            "ends = [int(n) for n, at in links if os.path.exists(at)]\n"
            "copies = [os.dup(n) for n in ends if 'socket:' in os.readlink(f'/proc/self/fd/{n}')]",
            "sockets",
        ),
        ("import mmap\ncommon = mmap.mmap(-1, 4096)", "memory"),
        ("import multiprocessing as m\nlock = m.get_context('fork').Lock()", "memory"),
    ],
)
def test_imports_that_cannot_be_forked(
    place: DataDir, tmp_path: Path, code: str, obstacle: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "minifn.workers")
    main = 'def main(context):\n    return context.res.text("ok")\n'
    (tmp_path / "main.py").write_text(f"{code}\n{main}")

    async def run() -> None:
        async with forked(place, tmp_path) as function:
            assert (await function.call("/")).body == b"ok"
            await function.until(lambda: "without a template" in caplog.text)
            assert re.search(f"its import (started|opened|shares) {obstacle}", caplog.text)
            await function.idle()
            assert (await function.call("/")).body == b"ok"

    asyncio.run(run())


def test_a_lock_that_died_with_its_holder_locks_no_other_worker(
    place: DataDir, tmp_path: Path
) -> None:
    main = """
        import multiprocessing, time
        lock = multiprocessing.Lock()

        def main(context):
            with lock:
                time.sleep(float(context.req.query_string))
            return context.res.text("ok")
    """
    (tmp_path / "main.py").write_text(textwrap.dedent(main))

    async def run() -> None:
        async with forked(place, tmp_path) as function:
            assert (await function.call("/", query="0")).body == b"ok"
            templates = function.pool.templates
            await function.until(lambda: templates.is_refused(function.spec))
            await function.idle()
            assert "timed out" in (await function.call("/", query="60", seconds=1)).errors
            assert (await function.call("/", query="0")).body == b"ok"

    asyncio.run(run())


def test_the_launcher_adopts_forks_of_the_template_alone(place: DataDir) -> None:
    async def story(function: Forked) -> None:
        other = function.other("other")
        theirs = await other.forked()
        ours = await function.forked()
        slow = asyncio.create_task(other.who("/sleep", query="1"))
        await function.until(lambda: bool(theirs.forks))
        (worker,) = theirs.forks.values()
        pids = (os.getpid(), 1, proc.parent(worker.pid), worker.pid)
        for template in (ours.process, theirs.process):
            assert template is not None
            for pid in pids:
                with pytest.raises(SpawnFailed):
                    await function.spawner.adopt(template, pid, "mark", LIMITS)
        await slow

    play(place, story)


def test_growth_stalls_no_other_call(place: DataDir) -> None:
    async def story(function: Forked) -> None:
        other = function.other("other")
        for one in (function, other):
            await one.forked()
        turns: list[float] = []
        blocking = [asyncio.create_task(function.who("/sleep", query="0.3")) for _ in range(24)]
        beside = asyncio.create_task(other.who())
        while not all(task.done() for task in blocking):
            # The processor time of a turn of the loop, which other processes do not lengthen.
            began = time.thread_time()
            await asyncio.sleep(0)
            turns.append(time.thread_time() - began)
            if beside.done():
                await beside
                beside = asyncio.create_task(other.who())
        await beside
        assert len({(await task)["pid"] for task in blocking}) == len(blocking)
        assert max(turns) < 0.01

    play(place, story, idle_seconds=0.5)


def test_the_oldest_template_gives_way(place: DataDir) -> None:
    async def story(function: Forked) -> None:
        other = function.other("other")
        await function.forked()
        await other.forked()
        assert function.pool.templates.of(function.spec) is None
        await function.who()

    play(place, story, template_bytes=20 * MIB)


def test_a_template_above_the_limit_is_not_tried_again(place: DataDir) -> None:
    async def story(function: Forked) -> None:
        await function.who()
        templates: Templates = function.pool.templates
        await function.until(lambda: templates.is_refused(function.spec))
        await function.idle()
        await function.who()
        assert templates.of(function.spec) is None

    play(place, story, template_bytes=MIB)
