"""The pool: which worker gets a request, when workers start and end."""

import asyncio
import json
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

from minifn.workers.deployment import FORK_GROW_SECONDS, GROW_SECONDS
from minifn.workers.records import FunctionRequest, FunctionResponse, WorkerSpec
from tests.patience import patient
from tests.workers.harness import FUNCTIONS, Language, function, pool_of


def gone(pids: Iterable[int]) -> bool:
    """Tell whether no such process runs."""
    return not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.parametrize("queue_unbounded", [False, True], ids=["synchronous", "queued"])
def test_a_cold_start_counts_for_every_trigger(
    timed: WorkerSpec, tmp_path: Path, queue_unbounded: bool
) -> None:
    async def run() -> None:
        async with function(tmp_path, timed) as call:
            request = FunctionRequest(method="POST", path="/sleep", query="0", timeout_seconds=30)
            began = time.monotonic()
            cold, warm = [
                await call.pool.call(timed, request, began + 30, queue_unbounded=queue_unbounded)
                for _ in range(2)
            ]
            assert time.monotonic() - began >= cold.duration_seconds > warm.duration_seconds > 0

    asyncio.run(run())


def test_one_worker_serves_many_calls(counted: WorkerSpec, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, counted) as call:
            answers = await asyncio.gather(*(call() for _ in range(200)))
            assert len({json.loads(answer.body)["pid"] for answer in answers}) == 1
            assert call.pool.workers == 1
            assert all(answer.delivered for answer in answers)
            # The cold start is part of the first call's duration.
            assert answers[0].duration_seconds > (await call()).duration_seconds > 0

    asyncio.run(run())


def test_full_workers_are_joined_by_more_up_to_the_limit(timed: WorkerSpec, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, timed, function_workers_max=3) as call:
            answers = await asyncio.gather(*(call("/sleep", query="0.2") for _ in range(9)))
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.body for answer in answers}) == 3
            assert call.pool.workers == 3

    asyncio.run(run())


def test_callers_of_a_slow_function_are_answered_together(python: Language, tmp_path: Path) -> None:
    async def run() -> None:
        spec = python.spec(FUNCTIONS / "contract_time", "main")
        async with function(tmp_path, spec) as call:
            await call()
            for _ in range(2):
                began = time.monotonic()
                answers = await asyncio.gather(*(call("/sleep", query="1") for _ in range(16)))
                seconds = time.monotonic() - began
                assert {answer.status_code for answer in answers} == {200}
            assert len({answer.body for answer in answers}) == 16
            # One more worker is there before a caller waits.
            assert call.pool.workers <= 17
            assert seconds < patient(1.5)

    asyncio.run(run())


def test_one_more_worker_starts_while_a_call_blocks(python: Language, tmp_path: Path) -> None:
    async def run() -> None:
        spec = python.spec(FUNCTIONS / "contract_time", "main")
        async with function(tmp_path, spec) as call:
            await call()
            slow = asyncio.create_task(call("/sleep", query="5"))
            await call.until(lambda: call.pool.workers == 2)
            assert not slow.done()
            slow.cancel()

    asyncio.run(run())


def test_a_call_that_waits_for_a_slow_one_gets_a_worker_at_once(
    timed: WorkerSpec, tmp_path: Path
) -> None:
    async def run() -> None:
        async with function(tmp_path, timed) as call:
            await call()
            deployment = call.pool._deployments[timed.key]
            assert deployment.growth_seconds(False) == GROW_SECONDS
            slow = asyncio.create_task(call("/sleep", query="5"))
            await call.until(lambda: deployment.growth_seconds(False) == FORK_GROW_SECONDS)
            assert not slow.done()
            slow.cancel()

    asyncio.run(run())


def test_the_next_worker_starts_before_a_call_waits(python: Language, tmp_path: Path) -> None:
    async def run() -> None:
        spec = python.spec(FUNCTIONS / "contract_time", "main_async")
        async with function(tmp_path, spec) as call:
            await call()
            calls = [asyncio.create_task(call("/sleep", query="5")) for _ in range(50)]
            await call.until(lambda: call.pool.workers == 2)
            assert call.pool.busy == 50
            for one in calls:
                one.cancel()

    asyncio.run(run())


def test_a_worker_that_imports_its_function_gets_no_call_while_another_has_room(
    python: Language, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    (tmp_path / "main.py").write_text(
        "import asyncio, os, time\n"
        f"while os.path.exists({str(gate)!r}):\n"
        "    time.sleep(0.01)\n"
        "async def main(context):\n"
        "    await asyncio.sleep(float(context.req.query_string or 0))\n"
        "    return context.res.text(str(os.getpid()))\n"
    )

    async def run() -> None:
        async with function(tmp_path, python.spec(tmp_path, "main", concurrency=4)) as call:
            first = (await call()).body
            gate.touch()
            busy = [asyncio.create_task(call(query="20", seconds=30)) for _ in range(3)]
            await call.until(lambda: call.pool.busy == 3)
            assert (await call()).body == first
            (deployment,) = call.pool._deployments.values()
            await call.until(lambda: len(deployment.workers) == 2)
            assert (await call()).body == first
            gate.unlink()
            # The second worker imports the function without a call, and is the least busy one then.
            await call.until(lambda: deployment.workers[1].loaded)
            assert (await call()).body != first
            for one in busy:
                one.cancel()

    asyncio.run(run())


def test_calls_that_do_not_block_need_one_worker(python: Language, tmp_path: Path) -> None:
    async def run() -> None:
        spec = python.spec(FUNCTIONS / "contract_time", "main_async")
        async with function(tmp_path, spec) as call:
            await call()
            answers = await asyncio.gather(*(call("/sleep", query="0.3") for _ in range(16)))
            assert len({answer.body for answer in answers}) == 1
            assert call.pool.workers == 1

    asyncio.run(run())


def test_waiting_for_a_free_worker_spends_the_deadline(timed: WorkerSpec, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, timed, function_workers_max=1) as call:
            await call()
            slow = asyncio.create_task(call("/sleep", query="1"))
            await call.until(lambda: call.pool.busy == 1)
            late = await call(seconds=0.2)
            assert (late.failure, late.delivered) == ("timeout", False)
            assert late.errors == "Execution timed out.\nNo worker was free in time.\n"
            assert (await slow).status_code == 200
            assert (await call()).status_code == 200

    asyncio.run(run())


def test_calls_beyond_a_full_queue_are_refused_at_once(
    timed: WorkerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minifn.workers.pool.DEPLOYMENT_WAITING_MAX", 2)

    async def run() -> None:
        async with function(tmp_path, timed, function_workers_max=1) as call:
            await call()
            answers = await asyncio.gather(*(call("/sleep", query="0.3") for _ in range(5)))
            assert [answer.failure for answer in answers] == [
                "",
                "",
                "",
                "overloaded",
                "overloaded",
            ]
            slow = asyncio.create_task(call("/sleep", query="0.5"))
            await call.until(lambda: call.pool.busy == 1)
            # A call that gave up waiting frees its place in the queue.
            for _ in range(4):
                assert (await call(seconds=0.05)).failure == "timeout"
            assert (await slow).failure == ""

    asyncio.run(run())


def test_an_idle_worker_of_another_function_is_stopped_for_a_new_one(
    python: Language, tmp_path: Path
) -> None:
    async def run() -> None:
        first = python.spec(FUNCTIONS / "contract_failures", "main")
        second = python.spec(FUNCTIONS / "contract_answers", "main")
        async with function(tmp_path, first, workers_max=1) as call:
            assert (await call()).status_code == 200
            call.spec = second
            assert (await call("/text")).status_code == 200
            call.spec = first
            assert json.loads((await call()).body)["calls"] == 1

    asyncio.run(run())


def test_a_worker_that_becomes_idle_is_stopped_for_a_waiting_call(
    python: Language, timed: WorkerSpec, tmp_path: Path
) -> None:
    async def run() -> None:
        async with function(tmp_path, timed, workers_max=1) as call:
            slow = asyncio.create_task(call("/sleep", query="0.3"))
            await call.until(lambda: call.pool.busy == 1)
            call.spec = python.spec(FUNCTIONS / "contract_answers", "main")
            assert (await call("/text", seconds=5)).status_code == 200
            assert slow.done()

    asyncio.run(run())


def test_idle_workers_end(counted: WorkerSpec, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, counted, idle_seconds=0.3) as call:
            pid = json.loads((await call()).body)["pid"]
            began = time.monotonic()
            await call.until(lambda: call.pool.workers == 0)
            assert time.monotonic() - began > 0.2
            assert gone([pid])
            assert json.loads((await call()).body)["calls"] == 1

    asyncio.run(run())


def test_a_worker_that_died_is_replaced_within_the_request(
    counted: WorkerSpec, tmp_path: Path
) -> None:
    async def run() -> None:
        async with function(tmp_path, counted) as call:
            pid = json.loads((await call()).body)["pid"]
            psutil.Process(pid).kill()
            await call.until(
                lambda: gone([pid]) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
            )
            await call.until(lambda: call.pool.workers == 0)
            assert (await call()).status_code == 200

    asyncio.run(run())


def test_a_dropped_deployment_finishes_what_it_runs(timed: WorkerSpec, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, timed) as call:
            running = asyncio.create_task(call("/sleep", query="0.3"))
            await call.until(lambda: call.pool.busy == 1)
            call.pool.drop(timed.key)
            answer = await running
            assert answer.status_code == 200
            await call.until(lambda: call.pool.workers == 0)
            assert (await call()).body != answer.body

    asyncio.run(run())


def test_a_changed_environment_gets_new_workers(python: Language, tmp_path: Path) -> None:
    async def run() -> None:
        case = FUNCTIONS / "contract_request"
        async with function(tmp_path, python.spec(case, "main", {"COLOUR": "red"})) as call:
            assert json.loads((await call("/environment")).body)["COLOUR"] == "red"
            call.spec = python.spec(case, "main", {"COLOUR": "blue"})
            assert json.loads((await call("/environment")).body)["COLOUR"] == "blue"
            await call.until(lambda: call.pool.workers == 1)

    asyncio.run(run())


def test_requests_before_and_after_a_change_both_get_workers(
    python: Language, tmp_path: Path
) -> None:
    async def run() -> None:
        case = FUNCTIONS / "contract_request"
        specs = [python.spec(case, "main", {"COLOUR": colour}) for colour in ("red", "blue")]
        async with pool_of(tmp_path) as pool:
            request = FunctionRequest(path="/environment")
            calls = (
                pool.call(specs[number % 2], request, time.monotonic() + 5) for number in range(8)
            )
            answers = await asyncio.gather(*calls)
            assert [json.loads(answer.body or b"{}").get("COLOUR") for answer in answers] == [
                "blue"
            ] * 8

    asyncio.run(run())


def test_prewarming_starts_one_worker(counted: WorkerSpec, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, counted) as call:
            call.pool.prewarm(counted)
            call.pool.prewarm(counted)
            await call.until(lambda: call.pool.workers == 1)
            assert (await call()).status_code == 200
            call.pool.prewarm(counted)
            assert call.pool.workers == 1

    asyncio.run(run())


def test_closing_ends_everything(timed: WorkerSpec, tmp_path: Path) -> None:
    async def run() -> None:
        async with pool_of(tmp_path) as pool:
            request = FunctionRequest(path="/sleep", query="30")
            running = asyncio.create_task(pool.call(timed, request, time.monotonic() + 60))
            while pool.busy == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            await pool.close()
            assert (await running).failure == "died"
            assert pool.workers == 0
            refused = await pool.call(timed, request, time.monotonic() + 60)
            assert (refused.failure, refused.status_code) == ("stopped", 500)

    asyncio.run(run())


def test_closing_while_a_worker_starts(timed: WorkerSpec, tmp_path: Path) -> None:
    async def run() -> None:
        async with pool_of(tmp_path) as pool:
            calls = [
                asyncio.create_task(pool.call(timed, FunctionRequest(), time.monotonic() + 60))
                for _ in range(3)
            ]
            await asyncio.sleep(0)
            await pool.close()
            assert {(await call).failure for call in calls} <= {"stopped", "start", "died"}

    asyncio.run(run())


def test_a_woken_call_that_gives_up_wakes_the_next(timed: WorkerSpec, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, timed, function_workers_max=1) as call:
            await call()
            tasks: list[asyncio.Task[FunctionResponse]] = []

            async def first() -> None:
                await call("/sleep", query="0.2")
                # It was woken by the end of this call, and has not run yet.
                tasks[0].cancel()

            holder = asyncio.create_task(first())
            await call.until(lambda: call.pool.busy == 1)
            tasks += [asyncio.create_task(call(seconds=5)) for _ in range(2)]
            await holder
            assert (await asyncio.wait_for(tasks[1], 2)).failure == ""
            await asyncio.gather(tasks[0], return_exceptions=True)

    asyncio.run(run())
