"""Spares: processes of Node.js that wait for a worker to take them."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minifn.host.datadir import DataDir
from minifn.sandbox.launcher import proc
from tests.workers.forked import MIB, Forked, forked

pytestmark = pytest.mark.usefixtures("bwrap", "node")

Story = Callable[[Forked], Awaitable[None]]
CODE = """
const loaded = Date.now();
console.log("imported");
module.exports = async ({ req, res }) => {
  if (req.path === "/end") process.exit(3);
  return res.json({ loaded, started: Date.now() - process.uptime() * 1000 });
};
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A function of Node.js."""
    (tmp_path / "main.js").write_text(CODE)
    return tmp_path


def play(data: DataDir, folder: Path, story: Story, **settings: Any) -> None:
    async def run() -> None:
        async with forked(data, folder, "node", **settings) as function:
            await story(function)

    asyncio.run(run())


def test_a_worker_takes_the_spare_which_imports_the_function_then(
    place: DataDir, folder: Path
) -> None:
    async def story(function: Forked) -> None:
        await function.who()
        spare = await function.template()
        assert spare.process is not None
        pid = spare.process.pid
        await function.idle()
        assert spare.resident_bytes > 10 * MIB
        called_at = time.time() * 1000
        answer = await function.call("/")
        found = json.loads(answer.body)
        assert found["started"] < called_at <= found["loaded"] + 1
        assert answer.logs.count("imported") == 1
        assert spare.has_ended
        # The next one is there already, or soon.
        assert await function.template() is not spare
        await function.idle()
        await function.until(lambda: not proc.alive(pid))

    play(place, folder, story)


def test_a_spare_that_ended_is_missed_by_none(place: DataDir, folder: Path) -> None:
    async def story(function: Forked) -> None:
        await function.who()
        spare = await function.template()
        await function.idle()
        assert spare.process is not None
        await spare.process.kill()
        assert (await function.who())["loaded"]
        assert (await function.call("/end")).failure == "died"
        assert (await function.who())["loaded"]

    play(place, folder, story)


def test_calls_at_once_share_one_spare(place: DataDir, folder: Path) -> None:
    async def story(function: Forked) -> None:
        one = replace(function, spec=replace(function.spec, concurrency=1))
        await one.who()
        await one.template()
        await one.idle()
        answers = await asyncio.gather(*(one.who() for _ in range(4)))
        assert len(answers) == 4
        await one.template()

    play(place, folder, story)


def test_spares_share_the_memory_of_templates(place: DataDir, folder: Path) -> None:
    async def story(function: Forked) -> None:
        await function.who()
        spare = await function.template()
        other = function.other("other")
        await other.who()
        await other.template()
        await function.until(lambda: spare.has_ended)
        assert function.pool.templates.of(function.spec) is None

    # One process of Node.js takes about 45 MiB.
    play(place, folder, story, template_bytes=70 * MIB)


def test_a_changed_function_drops_its_spare(place: DataDir, folder: Path) -> None:
    async def story(function: Forked) -> None:
        await function.who()
        spare = await function.template()
        command = replace(function.spec.command, env={**function.spec.command.env, "A": "b"})
        changed = replace(function, spec=replace(function.spec, command=command))
        await changed.who()
        await function.until(lambda: spare.has_ended)
        assert await changed.template() is not spare

    play(place, folder, story)
