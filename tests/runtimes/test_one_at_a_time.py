"""PHP and Ruby run one call at a time: sending ahead, growth, and processes of the function."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from minifn.languages import RuntimeTable
from tests.runtimes.conftest import newest
from tests.workers.harness import Caller, Language, function

SOURCES = {
    "php": """<?php
return function ($context) {
    switch ($context->req->path) {
        case '/sleep':
            usleep((int) (1_000_000 * (float) $context->req->queryString));
            break;
        case '/large':
            return $context->res->binary(str_repeat('0123456789abcdef', LINES));
        case '/exit':
            exit(7);
        case '/fatal':
            trigger_error('fatal', E_USER_ERROR);
        case '/fork':
            $child = pcntl_fork();
            if ($child === 0) {
                return $context->res->text('child');
            }
            // Ends only when the function has no other children.
            while (pcntl_wait($status) > 0) {
            }
            break;
        case '/fork-exit':
            $child = pcntl_fork();
            if ($child === 0) {
                exit(3);
            }
            pcntl_waitpid($child, $status);
            return $context->res->text((string) pcntl_wexitstatus($status));
        case '/descriptors':
            return $context->res->text(shell_exec('ls -l /proc/self/fd'));
    }
    return $context->res->text((string) getmypid());
};
""",
    "ruby": """
def main(context)
  case context.req.path
  when '/sleep'
    sleep(context.req.query_string.to_f)
  when '/large'
    return context.res.binary('0123456789abcdef' * LINES)
  when '/exit'
    exit(7)
  when '/fatal'
    raise NoMemoryError, 'fatal'
  when '/fork'
    child = fork
    return context.res.text('child') if child.nil?

    Process.wait(child)
  when '/fork-exit'
    Process.wait(fork { exit(3) })
    return context.res.text($?.exitstatus.to_s)
  when '/descriptors'
    return context.res.text(`ls -l /proc/self/fd`)
  end
  context.res.text(Process.pid.to_s)
end
""",
}
SUFFIXES = {"php": ".php", "ruby": ".rb"}
#: Lines of 16 bytes in the largest answer.
LARGE_LINES = 20 * 1024 * 1024 // 16
#: Fast calls after which requests are sent ahead.
FAST_CALLS = 30


@pytest.fixture(params=SUFFIXES)
def play(
    request: pytest.FixtureRequest, runtime_table: RuntimeTable, tmp_path: Path
) -> Callable[[Callable[[Caller], Awaitable[None]]], None]:
    """Run a story with the language's function."""
    key = request.param
    runtime = newest(runtime_table, key)
    language = Language(key=key, suffix=SUFFIXES[key], runtime=runtime, table=runtime_table)
    code = tmp_path / "code"
    code.mkdir()
    (code / f"main{language.suffix}").write_text(SOURCES[key].replace("LINES", str(LARGE_LINES)))

    def run(story: Callable[[Caller], Awaitable[None]]) -> None:
        async def go() -> None:
            async with function(tmp_path / "run", language.spec(code, "main")) as call:
                await call("/")
                await story(call)

        asyncio.run(go())

    return run


Play = Callable[[Callable[[Caller], Awaitable[None]]], None]


def test_fast_calls_share_one_worker(play: Play) -> None:
    async def story(call: Caller) -> None:
        for _ in range(FAST_CALLS):
            await call("/")
        answers = await asyncio.gather(*(call("/") for _ in range(60)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1

    play(story)


def test_a_slow_call_holds_up_none_behind_it(play: Play) -> None:
    async def story(call: Caller) -> None:
        for _ in range(FAST_CALLS):
            await call("/")
        slow = asyncio.create_task(call("/sleep", query="4"))
        # In the same turn, so that they are sent ahead to the worker with the slow call.
        behind = [asyncio.create_task(call("/")) for _ in range(20)]
        answers = await asyncio.gather(*behind)
        assert not slow.done()
        assert {answer.status_code for answer in answers} == {200}
        answer = await slow
        assert (answer.status_code, answer.errors) == (200, "")

    play(story)


def test_a_large_answer_that_waits_stays_whole(play: Play) -> None:
    async def story(call: Caller) -> None:
        for _ in range(FAST_CALLS):
            await call("/")
        whole = b"0123456789abcdef" * LARGE_LINES
        for _ in range(3):
            large = asyncio.create_task(call("/large", seconds=30))
            await call.until(lambda: call.pool.busy == 1)
            await asyncio.sleep(0)
            # The server reads nothing meanwhile, so that the answer waits half written.
            time.sleep(0.1)  # noqa: ASYNC251
            answer = await large
            same = answer.body == whole
            assert (answer.status_code, same) == (200, True)
            assert (await call("/")).status_code == 200

    play(story)


def test_a_call_that_comes_late_is_not_held_up(play: Play) -> None:
    async def story(call: Caller) -> None:
        for _ in range(FAST_CALLS):
            await call("/")
        slow = asyncio.create_task(call("/sleep", query="4"))
        await asyncio.sleep(1.5)
        assert {answer.status_code for answer in [await call("/") for _ in range(5)]} == {200}
        assert not slow.done()
        assert (await slow).status_code == 200

    play(story)


@pytest.mark.parametrize(("path", "failure"), [("/exit", "died"), ("/fatal", "")])
def test_the_end_of_a_worker_loses_no_call_behind_it(play: Play, path: str, failure: str) -> None:
    async def story(call: Caller) -> None:
        for _ in range(FAST_CALLS):
            await call("/")
        last = asyncio.create_task(call(path))
        behind = [asyncio.create_task(call("/")) for _ in range(20)]
        answers = await asyncio.gather(*behind)
        assert {answer.status_code for answer in answers} == {200}, answers
        ended = await last
        assert (ended.status_code, ended.failure) == (500, failure)
        assert ("exit" if failure else "fatal") in ended.errors

    play(story)


def test_a_burst_of_slow_calls_after_rest_holds_up_none(play: Play) -> None:
    async def story(call: Caller) -> None:
        for _ in range(FAST_CALLS):
            await call("/")
        # The watcher of the calls rests by then.
        await asyncio.sleep(1.5)
        began = time.monotonic()
        answers = await asyncio.gather(*(call("/sleep", query="1", seconds=30) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert time.monotonic() - began < 6

    play(story)


def test_waiting_calls_start_workers(play: Play) -> None:
    async def story(call: Caller) -> None:
        began = time.monotonic()
        answers = await asyncio.gather(*(call("/sleep", query="1", seconds=30) for _ in range(16)))
        assert {answer.status_code for answer in answers} == {200}
        assert time.monotonic() - began < 8
        assert call.pool.workers > 4

    play(story)


def test_a_forked_child_does_not_answer(play: Play) -> None:
    async def story(call: Caller) -> None:
        worker = (await call("/")).body
        assert (await call("/fork")).body == worker
        assert (await call("/fork-exit")).body == b"3"
        answer = await call("/")
        assert (answer.body, answer.logs, answer.errors) == (worker, "", "")

    play(story)


def test_programs_of_the_function_do_not_get_the_socket(play: Play) -> None:
    async def story(call: Caller) -> None:
        answer = await call("/descriptors")
        assert answer.status_code == 200
        assert b"socket:" not in answer.body

    play(story)
