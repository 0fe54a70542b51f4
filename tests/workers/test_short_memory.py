"""The pool while memory is short: idle workers end, calls wait or fail with the reason."""

import asyncio
import json
from pathlib import Path

import psutil

from minifn.workers.records import WorkerSpec
from minifn.workers.room import WORKER_BYTES
from tests.workers.harness import FUNCTIONS, Language, function


class Machine:
    """Memory that the test fills and frees."""

    def __init__(self, available_bytes: int) -> None:
        self.available_bytes = available_bytes

    def __call__(self) -> int:
        return self.available_bytes


def test_nothing_is_started_ahead(counted: WorkerSpec, tmp_path: Path) -> None:
    async def run() -> None:
        memory = Machine(WORKER_BYTES - 1)
        async with function(tmp_path, counted, available_bytes=memory) as call:
            call.pool.prewarm(call.spec)
            assert call.pool.workers == 0
            memory.available_bytes = WORKER_BYTES
            call.pool.prewarm(call.spec)
            assert call.pool.workers == 1

    asyncio.run(run())


def test_memory_is_kept_for_workers_until_they_have_answered(
    python: Language, tmp_path: Path
) -> None:
    """One turn of the loop starts all, before any uses its memory."""

    async def run() -> None:
        memory = Machine(3 * WORKER_BYTES)
        names = ("contract_failures", "contract_answers", "contract_time", "contract_logs")
        specs = [python.spec(FUNCTIONS / name, "main") for name in names]
        async with function(tmp_path, specs[0], available_bytes=memory) as call:
            for spec in specs:
                call.pool.prewarm(spec)
            assert call.pool.workers == 3
            assert (await call()).status_code == 200
            call.pool.prewarm(specs[3])
            assert call.pool.workers == 4

    asyncio.run(run())


def test_one_function_always_runs_and_an_idle_one_ends_before_the_next(
    python: Language, counted: WorkerSpec, tmp_path: Path
) -> None:
    async def run() -> None:
        async with function(tmp_path, counted, available_bytes=Machine(0)) as call:
            first = json.loads((await call()).body)["pid"]
            call.spec = python.spec(FUNCTIONS / "contract_answers", "main")
            waiting = asyncio.create_task(call("/text"))
            await call.until(lambda: call.pool.workers == 2)
            # The new one is counted, but does not start before the other has freed its memory.
            while psutil.pid_exists(first):
                assert len(list((tmp_path / "processes").iterdir())) <= 1
                await asyncio.sleep(0.001)
            assert (await waiting).status_code == 200
            assert call.pool.workers == 1

    asyncio.run(run())


def test_a_call_waits_until_memory_is_free_again(
    python: Language, timed: WorkerSpec, tmp_path: Path
) -> None:
    """Another program frees it without notice to the pool."""

    async def run() -> None:
        memory = Machine(0)
        async with function(tmp_path, timed, available_bytes=memory) as call:
            slow = asyncio.create_task(call("/sleep", query="5"))
            await call.until(lambda: call.pool.busy == 1)
            call.spec = python.spec(FUNCTIONS / "contract_answers", "main")
            quick = asyncio.create_task(call("/text"))
            await call.until(lambda: call.pool._crowded)
            assert call.pool.workers == 1
            memory.available_bytes = 2 * WORKER_BYTES
            assert (await quick).status_code == 200
            assert not slow.done()
            slow.cancel()

    asyncio.run(run())


def test_a_call_that_waits_in_vain_says_why(
    python: Language, timed: WorkerSpec, tmp_path: Path
) -> None:
    async def run() -> None:
        async with function(tmp_path, timed, available_bytes=Machine(0)) as call:
            slow = asyncio.create_task(call("/sleep", query="2"))
            await call.until(lambda: call.pool.busy == 1)
            call.spec = python.spec(FUNCTIONS / "contract_answers", "main")
            answer = await call("/text", seconds=0.3)
            assert answer.failure == "timeout"
            assert answer.errors.endswith("because the server is short of memory.\n")
            assert call.pool.workers == 1
            slow.cancel()

    asyncio.run(run())


def test_many_functions_take_turns(python: Language, tmp_path: Path) -> None:
    """More functions than fit into memory are called at once, and each call is answered."""

    async def run() -> None:
        names = ("contract_failures", "contract_time", "contract_logs", "contract_answers")
        specs = [python.spec(FUNCTIONS / name, "main") for name in names]
        async with function(tmp_path, specs[0], available_bytes=Machine(0)) as call:
            tasks = []
            for spec in specs * 3:
                call.spec = spec
                tasks.append(asyncio.create_task(call("/", seconds=20)))
                await asyncio.sleep(0)
            answers = await asyncio.gather(*tasks)
            assert all(answer.delivered for answer in answers)
            assert call.pool.workers == 1

    asyncio.run(run())
