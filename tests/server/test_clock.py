"""A wall clock that jumps: deadlines, ids and the queue do not depend on it."""

import asyncio
import time
from pathlib import Path

import pytest

from minifn.config import Config
from minifn.embed import Minifn
from minifn.instants import now_ms
from minifn.models import ExecutionRequest
from minifn.store import executions
from minifn.store.queries import Query
from tests.patience import patient
from tests.server.test_stop import SLOW
from tests.services.test_executions import deploy, finished

DAY_SECONDS = 86_400


def test_jumps_of_the_clock_change_times_and_nothing_else(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, real_ns = time.time, time.time_ns
    ahead = 0

    def jump(days: int) -> None:
        nonlocal ahead
        ahead = days * DAY_SECONDS

    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + ahead * 10**9)

    async def main() -> None:
        async with Minifn(Config(data=data, retention_days=0)) as minifn:
            await deploy(minifn, SLOW, timeout_seconds=2)
            target = await minifn.executions.ready("hello")
            ids = []
            for days in (400, -400):
                before = time.monotonic()
                running = asyncio.create_task(
                    minifn.executions.execute(target, ExecutionRequest(path="/?seconds=0.2"))
                )
                stuck = asyncio.create_task(
                    minifn.executions.execute(target, ExecutionRequest(path="/?seconds=60"))
                )
                queued = await minifn.executions.enqueue(
                    target.function, ExecutionRequest(path="/?seconds=0.1")
                )
                # In the middle of a call, which spans the jump.
                await asyncio.sleep(0.05)
                jump(days)
                completed, timed_out = (await running).execution, (await stuck).execution
                assert (completed.status, timed_out.status) == ("completed", "failed")
                assert 0 < completed.duration_seconds < patient(2)
                assert 2 <= timed_out.duration_seconds < patient(4)
                assert time.monotonic() - before < patient(4)
                assert abs(completed.updated_at - now_ms()) < 5_000
                assert (await finished(minifn, queued.id)).status == "completed"
                ids += [completed.id, timed_out.id, queued.id]
            assert len(set(ids)) == len(ids)
            page = await minifn.database.read(executions.page, "hello", Query())
            # Lists are in the order of storing, whatever the clock said.
            sequences = [item.sequence for item in page.items]
            assert sequences == sorted(sequences)
            assert {item.id for item in page.items} == set(ids)
            jump(0)
        async with Minifn(Config(data=data, retention_days=0)) as minifn:
            target = await minifn.executions.ready("hello")
            assert (
                await minifn.executions.execute(target, ExecutionRequest())
            ).execution.status == "completed"

    asyncio.run(main())
