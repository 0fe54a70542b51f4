"""The queue is bounded, in executions and in bytes of their bodies."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from minifn.errors import Overloaded
from minifn.ids import new_id
from minifn.models import Execution, ExecutionRequest, ExecutionStatus, Function
from minifn.services.queue_limits import QueueLimits
from minifn.store import execution_queue, executions, functions
from minifn.store.database import Database

#: Enough that the share of none of them is ever full.
NAMES = tuple(f"fn{number}" for number in range(200))
TURNS = itertools.cycle(NAMES)

Story = Callable[[QueueLimits, Database], Coroutine[None, None, None]]


def play(path: Path, story: Story, *, count_max: int = 100, bytes_max: int = 1000) -> None:
    """Run a story with limits over a database of functions; each look at their clock is later."""
    seconds = iter(range(0, 10**6, 10))

    async def main() -> None:
        async with Database(path / "minifn.db") as database:
            for name in NAMES:
                await database.write(
                    functions.insert, Function(id=name, name=name, runtime="python-3.11")
                )
            limits = QueueLimits(database, count_max, bytes_max, lambda: next(seconds))
            await limits.open()
            await story(limits, database)

    asyncio.run(main())


async def store(
    limits: QueueLimits, database: Database, size_bytes: int, *, due_at: int = 0, name: str = ""
) -> str:
    """Store an execution as `Executions` does, of a function or of each in turn; return its id."""
    status: ExecutionStatus = "scheduled" if due_at else "waiting"
    name = name or next(TURNS)
    execution = Execution(
        id=new_id(), function_id=name, trigger="http", status=status, scheduled_at=due_at
    )
    async with limits.storing((name,), size_bytes, scheduled=bool(due_at)):
        await database.write(
            execution_queue.enqueue, execution, ExecutionRequest(body=bytes(size_bytes))
        )
    if not due_at:
        limits.wait(1)
    return execution.id


def test_bodies_are_bounded_until_they_have_run(tmp_path: Path) -> None:
    async def story(limits: QueueLimits, database: Database) -> None:
        for _ in range(10):
            await store(limits, database, 100)
        with pytest.raises(Overloaded):
            await store(limits, database, 1)
        await store(limits, database, 0)
        jobs, _ = await database.write(execution_queue.claim, 2, 1)
        limits.claimed(2, more=True)
        with pytest.raises(Overloaded):
            await store(limits, database, 1)
        for job in jobs:
            await database.write(execution_queue.finish, job.execution)
            limits.ended(job.execution.function_id, 100)
        await store(limits, database, 200)
        with pytest.raises(Overloaded):
            await store(limits, database, 1)

    play(tmp_path, story)


def test_many_at_once_are_counted_before_they_are_stored(tmp_path: Path) -> None:
    async def story(limits: QueueLimits, database: Database) -> None:
        asked = [store(limits, database, 100) for _ in range(50)]
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(end, Overloaded) for end in ends) == 40
        assert (await database.read(execution_queue.stored)).size_bytes == 1000

    play(tmp_path, story)


def test_scheduled_executions_may_use_half_of_the_bytes(tmp_path: Path) -> None:
    async def story(limits: QueueLimits, database: Database) -> None:
        for _ in range(5):
            await store(limits, database, 100, due_at=10**12)
        with pytest.raises(Overloaded):
            await store(limits, database, 1, due_at=10**12)
        for _ in range(3):
            await store(limits, database, 0, due_at=10**12)
        with pytest.raises(Overloaded):
            await store(limits, database, 0, due_at=10**12)
        await store(limits, database, 500)

    play(tmp_path, story, count_max=8)


def test_deleted_executions_do_not_count(tmp_path: Path) -> None:
    async def story(limits: QueueLimits, database: Database) -> None:
        ids = [await store(limits, database, 500, due_at=10**12, name="fn0")]
        with pytest.raises(Overloaded):
            await store(limits, database, 1, due_at=10**12)
        await database.write(executions.delete, "fn0", ids[0])
        await store(limits, database, 500, due_at=10**12)

    play(tmp_path, story)


def test_failed_writes_do_not_count(tmp_path: Path) -> None:
    async def story(limits: QueueLimits, database: Database) -> None:
        with pytest.raises(ZeroDivisionError):
            async with limits.storing(("fn0",), 1000):
                raise ZeroDivisionError
        await store(limits, database, 1000)

    play(tmp_path, story)


def test_a_start_counts_stored_executions(tmp_path: Path) -> None:
    async def story(limits: QueueLimits, database: Database) -> None:
        await store(limits, database, 1000)
        again = QueueLimits(database, 100, 1000)
        await again.open()
        with pytest.raises(Overloaded):
            await store(again, database, 1)

    play(tmp_path, story)


def test_a_function_has_a_quarter_of_the_places(tmp_path: Path) -> None:
    """Those that wait, are scheduled and run together; the others have the rest."""

    async def story(limits: QueueLimits, database: Database) -> None:
        for due_at in (0, 0, 0, 10**12, 10**12):
            await store(limits, database, 0, name="fn0", due_at=due_at)
        for due_at in (0, 10**12):
            with pytest.raises(Overloaded):
                await store(limits, database, 0, name="fn0", due_at=due_at)
        assert await limits.crowded(["fn0", "fn1"], 0) == {"fn0"}
        for _ in range(5):
            await store(limits, database, 0, name="fn1")
        jobs, _ = await database.write(execution_queue.claim, 2, 1)
        limits.claimed(2, more=True)
        assert await limits.crowded(["fn0", "fn1"], 0) == {"fn0", "fn1"}
        for job in jobs:
            await database.write(execution_queue.finish, job.execution)
            limits.ended(job.execution.function_id, 0)
        assert await limits.crowded(["fn0", "fn1"], 0) == set()

    play(tmp_path, story, count_max=20)


def test_a_function_has_a_quarter_of_the_bytes(tmp_path: Path) -> None:
    async def story(limits: QueueLimits, database: Database) -> None:
        await store(limits, database, 250, name="fn0")
        with pytest.raises(Overloaded):
            await store(limits, database, 1, name="fn0")
        await store(limits, database, 0, name="fn0")
        # One body is never too long for the share.
        await store(limits, database, 700, name="fn1")
        with pytest.raises(Overloaded):
            await store(limits, database, 1, name="fn1")
        again = QueueLimits(database, 100, 1000)
        await again.open()
        assert await again.crowded(["fn0", "fn1", "fn2"], 1) == {"fn0", "fn1"}

    play(tmp_path, story)


def test_a_share_is_counted_again_before_anything_is_refused(tmp_path: Path) -> None:
    async def story(limits: QueueLimits, database: Database) -> None:
        for _ in range(2):
            await store(limits, database, 0, name="fn0", due_at=10**12)
            last = await store(limits, database, 0, name="fn0", due_at=10**12)
            with pytest.raises(Overloaded):
                await store(limits, database, 0, name="fn0")
            await database.write(executions.delete, "fn0", last)
            await store(limits, database, 0, name="fn0", due_at=10**12)
            for row in await database.read(
                lambda conn: conn.execute("SELECT id FROM executions").fetchall()
            ):
                await database.write(executions.delete, "fn0", row[0])

    play(tmp_path, story, count_max=8)


def test_ticks_count_as_well(tmp_path: Path) -> None:
    async def story(limits: QueueLimits, database: Database) -> None:
        for _ in range(2):
            execution = Execution(
                id=new_id(), function_id="fn0", trigger="schedule", status="waiting"
            )
            await database.write(execution_queue.enqueue, execution, ExecutionRequest())
            limits.ticked(["fn0"])
            limits.wait(1)
        assert await limits.crowded(["fn0"], 0) == {"fn0"}
        limits.ended("fn0", 0)
        assert await limits.crowded(["fn0"], 0) == set()

    play(tmp_path, story, count_max=8)
