"""Spares: processes that wait for a worker to take them, where workers cannot be forked."""

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

pytestmark = pytest.mark.usefixtures("bwrap")

#: Programs of each language: `prints` says "loaded" when it is loaded, and answers "1" first.
PROGRAMS = Path(__file__).parent.parent / "runtimes" / "families"
LANGUAGES = ["node", "php", "ruby", "bun", "deno"]
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
def folder(node: None, tmp_path: Path) -> Path:
    """A function of Node.js."""
    (tmp_path / "main.js").write_text(CODE)
    return tmp_path


def play(data: DataDir, folder: Path, story: Story, family: str = "node", **settings: Any) -> None:
    async def run() -> None:
        async with forked(data, folder, family, **settings) as function:
            await story(function)

    asyncio.run(run())


async def taken(function: Forked) -> list[str]:
    """Return the log of a call that takes the spare."""
    await function.call("/")
    spare = await function.template()
    assert type(spare).__name__ == "Spare"
    assert spare.process is not None
    pid = spare.process.pid
    await function.idle()
    answer = await function.call("/")
    assert (answer.status_code, answer.body) == (200, b"1"), answer
    assert spare.has_ended
    assert pid in [worker.pid for worker in function.pool._alive]
    return answer.logs.splitlines()


@pytest.mark.parametrize("family", LANGUAGES)
def test_the_spare_of_each_language_has_run_no_code(place: DataDir, family: str) -> None:
    """The call that takes it loads the function, which prints then."""

    async def story(function: Forked) -> None:
        assert (await taken(function))[-1] == "loaded"

    play(place, PROGRAMS / family / "prints", story, family)


def test_a_python_function_that_cannot_be_forked_has_a_spare(
    place: DataDir, tmp_path: Path
) -> None:
    main = """
import threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
print("loaded")

def main(context):
    return context.res.text("1")
"""
    (tmp_path / "main.py").write_text(main)
    refused = list[str]()

    async def story(function: Forked) -> None:
        function.pool.templates.on_refused = lambda _, why: refused.append(why)
        assert (await taken(function))[-1] == "loaded"
        # The next one does not try again whether it can be forked.
        await function.template()
        assert refused == ["its import started threads"]

    play(place, tmp_path, story, "python")


def test_a_deployment_that_grows_has_the_next_spare_before_its_call_ends(
    place: DataDir, tmp_path: Path, node: None
) -> None:
    """Its calls keep both workers busy; the second one has taken the first spare."""
    (tmp_path / "main.js").write_text(
        "module.exports = ({ req, res }) =>"
        " new Promise((done) => setTimeout(() => done(res.text('')), Number(req.query.ms)));"
    )

    async def story(function: Forked) -> None:
        one = replace(function, spec=replace(function.spec, concurrency=1))
        await one.call("/", query="ms=0")
        first = await one.template()
        slow = [asyncio.create_task(one.call("/", 60, query="ms=50000")) for _ in range(2)]
        await one.until(lambda: one.pool.busy == 2)
        assert first.has_ended
        assert await one.template() is not first
        assert [call.result() for call in slow if call.done()] == []
        for call in slow:
            call.cancel()

    play(place, tmp_path, story, idle_seconds=60)


@pytest.mark.parametrize("family", LANGUAGES)
def test_the_spare_of_each_language_ends_with_its_deployment(place: DataDir, family: str) -> None:
    async def story(function: Forked) -> None:
        await function.call("/")
        spare = await function.template()
        assert spare.process is not None
        assert 5 * MIB < spare.resident_bytes < 100 * MIB
        members = proc.family(spare.process.pid)
        assert len(members) > 2
        function.pool.drop(function.spec.key)
        await function.until(lambda: not any(map(proc.alive, members)))

    play(place, PROGRAMS / family / "prints", story, family)


@pytest.mark.parametrize("family", ["php", "ruby"])
def test_a_spare_at_rest_stays(
    place: DataDir, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minifn.workers.templates.LOOK_SECONDS", 0.05)

    async def story(function: Forked) -> None:
        await function.call("/")
        spare = await function.template()
        looks = list[bool]()
        look = spare.is_restless
        spare.is_restless = lambda: looks.append(look()) or looks[-1]  # type: ignore[method-assign, func-returns-value]
        await function.until(lambda: len(looks) > 3)
        assert not any(looks)

    play(place, PROGRAMS / family / "prints", story, family)


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
