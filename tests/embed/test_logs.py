"""Live logs: lines come while the function runs, and not when it ends."""

import asyncio
import threading
from pathlib import Path

import pytest

from minifn import Config, FunctionNotFound, LogLine, Minifn, NotRunning, SyncMinifn
from minifn.change_feed import Printed
from minifn.embed import news
from tests.embed.folders import place

SLOW = """
import time
from pathlib import Path


def main(context):
    context.log("first\\nsecond")
    context.error("wrong")
    if context.req.body_text == "wait":
        time.sleep(60)
    return context.res.empty()
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """The folder of a function that logs, and sleeps when it is told to."""
    (tmp_path / "main.py").write_text(SLOW)
    return tmp_path


def test_lines_come_while_the_function_runs(slow: Path) -> None:
    async def main(minifn: Minifn) -> None:
        async with minifn:
            for name in ("a", "b"):
                await minifn.deploy(name, slow)
            lines = minifn.logs("a")
            waiting = asyncio.ensure_future(anext(lines))
            await asyncio.sleep(0)
            await minifn.execute("b")
            running = await minifn.execute("a", body="wait", background=True)
            first = await asyncio.wait_for(waiting, 20)
            told = [first, *[await asyncio.wait_for(anext(lines), 20) for _ in range(2)]]
            assert {(one.function_id, one.execution_id) for one in told} == {("a", running.id)}
            assert {(one.stream, one.text) for one in told} == {
                ("logs", "first"), ("logs", "second"), ("errors", "wrong")
            }  # fmt: skip
            [listed] = [one async for one in minifn.executions("a")]
            assert listed.status == "processing"
            await lines.aclose()
            assert not minifn.changes.live
            with pytest.raises(FunctionNotFound):
                await anext(minifn.logs("nothing"))
        with pytest.raises(NotRunning):
            await anext(minifn.logs())

    with place() as data:
        asyncio.run(main(Minifn(Config(data=data))))


def test_a_stop_ends_the_iteration(slow: Path) -> None:
    """The lines before it are read; the twin for threads ends as well."""
    found: list[LogLine] = []
    begun = threading.Event()

    def read() -> None:
        for line in twin.logs():
            found.append(line)
            begun.set()

    with place() as data:
        with SyncMinifn(Config(data=data)) as twin:
            twin.deploy("a", slow)
            thread = threading.Thread(target=read)
            thread.start()
            while not begun.wait(0.05):
                twin.execute("a")
        thread.join(20)
    assert not thread.is_alive()
    assert {line.text for line in found} <= {"first", "second", "wrong"}


def test_a_slow_reader_is_told_how_many_lines_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the newest lines wait, so that memory is bounded."""
    monkeypatch.setattr(news, "WAITING_LINES_MAX", 3)

    async def main() -> list[tuple[str, int]]:
        lines = news._Lines("a", "")
        for name, text in (("a", "1\n2\n3\n4\n"), ("b", "other\n"), ("a", "5\n")):
            lines.hear(Printed(execution_id="x", function_id=name, stream="logs", text=text))
        lines.end()
        return [(line.text, line.lost) async for line in lines.read()]

    assert asyncio.run(main()) == [("3", 2), ("4", 0), ("5", 0)]
