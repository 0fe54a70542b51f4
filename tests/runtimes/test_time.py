"""Timeouts and concurrent calls, in every language."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.runtimes.conftest import SUFFIXES
from tests.workers.harness import FUNCTIONS, Language, function

#: Entry files of the case, by language; Python has one for each kind of function.
every_kind = pytest.mark.parametrize(
    ("language", "entry"),
    [*((key, "main") for key in SUFFIXES), ("python", "main_async")],
    indirect=["language"],
)


@every_kind
def test_calls_run_concurrently(language: Language, entry: str, tmp_path: Path) -> None:
    async def run() -> None:
        # Plain Python handlers run on threads only when they ask for it.
        spec = language.spec(FUNCTIONS / "contract_time", entry, {"MINIFN_CONCURRENCY": "64"})
        async with function(tmp_path, spec) as call:
            await call("/")
            began = time.monotonic()
            answers = await asyncio.gather(*(call("/sleep", query="0.3") for _ in range(50)))
            assert time.monotonic() - began < 2
            assert {answer.status_code for answer in answers} == {200}, answers[0]
            assert len({answer.body for answer in answers}) == 1
            assert all(answer.logs.startswith("begun\n") for answer in answers)

    asyncio.run(run())


@every_kind
def test_a_fast_call_overtakes_a_slow_one(language: Language, entry: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, language.spec(FUNCTIONS / "contract_time", entry)) as call:
            await call("/")
            slow = asyncio.create_task(call("/sleep", query="2"))
            await call.until(lambda: call.pool.busy == 1)
            began = time.monotonic()
            fast = [await call("/") for _ in range(5)]
            assert time.monotonic() - began < 1
            assert {answer.status_code for answer in fast} == {200}
            assert not slow.done()
            slow.cancel()

    asyncio.run(run())


@every_kind
def test_soft_timeout_fails_one_call(language: Language, entry: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, language.spec(FUNCTIONS / "contract_time", entry)) as call:
            await call("/")
            other = asyncio.create_task(call("/sleep", query="0.6"))
            answer = await call("/never", seconds=0.3)
            assert not other.done()
            assert (answer.status_code, answer.body, answer.failure) == (500, b"", "timeout")
            assert answer.headers == (("content-type", "text/plain; charset=utf-8"),)
            assert answer.logs == "begun\n"
            assert answer.errors == "Execution timed out.\n"
            assert (await other).status_code == 200
            assert (await call("/")).status_code == 200

    asyncio.run(run())


@every_kind
def test_a_busy_loop_ends_with_its_worker(language: Language, entry: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, language.spec(FUNCTIONS / "contract_time", entry)) as call:
            first = await call("/")
            began = time.monotonic()
            answer = await call("/spin", seconds=0.5)
            assert time.monotonic() - began < 2
            assert (answer.status_code, answer.failure) == (500, "timeout")
            assert answer.logs == "begun\n"
            assert answer.errors == "Execution timed out.\n"
            second = await call("/")
            assert second.status_code == 200
            assert second.body != first.body

    asyncio.run(run())


@every_kind
def test_a_cancelled_call_frees_its_slot(language: Language, entry: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, language.spec(FUNCTIONS / "contract_time", entry)) as call:
            await call("/")
            task = asyncio.create_task(call("/sleep", query="0.5"))
            await call.until(lambda: call.pool.busy == 1)
            task.cancel()
            await asyncio.wait([task])
            await call.until(lambda: call.pool.busy == 0)
            assert (await call("/")).status_code == 200

    asyncio.run(run())
