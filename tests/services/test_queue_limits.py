"""What waits on disk to be run is bounded, in number and in bytes."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from minifn.errors import Overloaded
from minifn.ids import new_id
from minifn.models import Execution, ExecutionRequest, ExecutionStatus, Function
from minifn.services.queue_limits import QueueLimits
from minifn.store import executions, functions
from minifn.store.database import Database

Story = Callable[[QueueLimits, Database], Coroutine[None, None, None]]


def play(path: Path, story: Story, *, count_max: int = 100, bytes_max: int = 1000) -> None:
    """Run a story with a backlog on a database that has the function `fn`; no two looks at its clock are the same."""
    seconds = iter(range(0, 10**6, 10))

    async def main() -> None:
        async with Database(path / "minifn.db") as database:
            await database.write(functions.insert, Function(id="fn", name="fn", runtime="python-3.11"))
            backlog = QueueLimits(database, count_max, bytes_max, lambda: next(seconds))
            await backlog.open()
            await story(backlog, database)

    asyncio.run(main())


async def store(backlog: QueueLimits, database: Database, size_bytes: int, *, due_at: int = 0) -> str:
    """Store an execution as the executor does; return its id."""
    status: ExecutionStatus = "scheduled" if due_at else "waiting"
    execution = Execution(id=new_id(), function_id="fn", trigger="http", status=status, scheduled_at=due_at)
    async with backlog.storing(1, size_bytes, scheduled=bool(due_at)):
        await database.write(executions.enqueue, execution, ExecutionRequest(body=bytes(size_bytes)))
    if not due_at:
        backlog.wait(1)
    return execution.id


def test_bodies_are_bounded_until_they_have_run(tmp_path: Path) -> None:
    async def story(backlog: QueueLimits, database: Database) -> None:
        for _ in range(10):
            await store(backlog, database, 100)
        with pytest.raises(Overloaded):
            await store(backlog, database, 1)
        await store(backlog, database, 0)
        jobs, _ = await database.write(executions.claim, 2, 1)
        backlog.claimed(2, more=True)
        with pytest.raises(Overloaded):
            await store(backlog, database, 1)
        for job in jobs:
            await database.write(executions.finish, job.execution)
            backlog.ended(100)
        await store(backlog, database, 200)
        with pytest.raises(Overloaded):
            await store(backlog, database, 1)

    play(tmp_path, story)


def test_many_at_once_are_counted_before_they_are_stored(tmp_path: Path) -> None:
    async def story(backlog: QueueLimits, database: Database) -> None:
        asked = [store(backlog, database, 100) for _ in range(50)]
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(end, Overloaded) for end in ends) == 40
        assert (await database.read(executions.stored)).size_bytes == 1000

    play(tmp_path, story)


def test_what_is_scheduled_is_bounded_and_leaves_half(tmp_path: Path) -> None:
    async def story(backlog: QueueLimits, database: Database) -> None:
        for _ in range(5):
            await store(backlog, database, 100, due_at=10**12)
        with pytest.raises(Overloaded):
            await store(backlog, database, 1, due_at=10**12)
        for _ in range(3):
            await store(backlog, database, 0, due_at=10**12)
        with pytest.raises(Overloaded):
            await store(backlog, database, 0, due_at=10**12)
        await store(backlog, database, 500)

    play(tmp_path, story, count_max=8)


def test_what_was_deleted_counts_no_longer(tmp_path: Path) -> None:
    async def story(backlog: QueueLimits, database: Database) -> None:
        ids = [await store(backlog, database, 500, due_at=10**12)]
        with pytest.raises(Overloaded):
            await store(backlog, database, 1, due_at=10**12)
        await database.write(executions.delete, "fn", ids[0])
        await store(backlog, database, 500, due_at=10**12)

    play(tmp_path, story)


def test_what_could_not_be_stored_does_not_count(tmp_path: Path) -> None:
    async def story(backlog: QueueLimits, database: Database) -> None:
        with pytest.raises(ZeroDivisionError):
            async with backlog.storing(1, 1000):
                raise ZeroDivisionError
        await store(backlog, database, 1000)

    play(tmp_path, story)


def test_a_start_counts_what_it_finds(tmp_path: Path) -> None:
    async def story(backlog: QueueLimits, database: Database) -> None:
        await store(backlog, database, 1000)
        again = QueueLimits(database, 100, 1000)
        await again.open()
        with pytest.raises(Overloaded):
            await store(again, database, 1)

    play(tmp_path, story)
