"""Background tasks: failures are noticed at once."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from minifn.host.tasks import Tasks, running
from tests.crash.invariants import gone, relatives
from tests.serving import FUNCTIONS, Server, pack


def test_a_task_ends_with_its_block() -> None:
    async def main() -> None:
        died: list[str] = []
        async with running(asyncio.sleep(60), "sleeper", died.append):
            (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "minifn sleeper")
        assert task.cancelled()
        assert died == []

    asyncio.run(main())


def test_a_failed_task_is_reported_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        died: asyncio.Queue[str] = asyncio.Queue()
        async with running(fail(), "sleeper", died.put_nowait):
            assert await asyncio.wait_for(died.get(), 5) == "sleeper"

    asyncio.run(main())
    assert "the sleeper failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_server_whose_queue_fails_stops_and_says_so(data: Path) -> None:
    server = Server(data).start()
    with server.api as api:
        api.create("hello", api.runtime("python"), entrypoint="main.py")
        api.deploy("hello", pack(FUNCTIONS / "hello"))
        before = relatives(server)
        with contextlib.closing(sqlite3.connect(data / "minifn.db")) as connection:
            connection.execute(
                "CREATE TRIGGER broken BEFORE UPDATE ON executions"
                " BEGIN SELECT RAISE(ABORT, 'broken'); END"
            )
        api.enqueue("hello")
    assert server.ended(10) == 1
    assert (
        server.log_tail().splitlines()[-1]
        == "minifn: stopped: the queue of executions ended unexpectedly"
    )
    gone(before, server, seconds=2)


def test_an_interrupted_task_is_cancelled_once_and_waited_for() -> None:
    async def main() -> None:
        tasks = Tasks()
        ends: list[str] = []
        begun, release = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            try:
                begun.set()
                await asyncio.sleep(60)
            finally:
                await release.wait()
                ends.append("work")

        tasks.start(work(), "work", lambda: ends.append("ended"))
        tasks.start(asyncio.sleep(60), "other")
        assert tasks.names == {"work", "other"}
        await begun.wait()
        interrupts = [asyncio.create_task(tasks.interrupt("work")) for _ in range(2)]
        await asyncio.sleep(0)
        release.set()
        await asyncio.wait_for(asyncio.gather(*interrupts), 5)
        assert ends == ["work", "ended"]
        assert tasks.names == {"other"}
        await tasks.interrupt("work")
        await tasks.end()
        assert len(tasks) == 0

    asyncio.run(main())
