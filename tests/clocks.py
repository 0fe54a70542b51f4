"""A scheduler over a real database, under a clock that the tests turn; executions are queued, not run."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from minifn.config import Config
from minifn.instants import now_ms
from minifn.models import Function
from minifn.services.executions import Executions
from minifn.services.functions import FunctionService
from minifn.services.schedules import Scheduler
from minifn.store import functions
from minifn.store.database import Database

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOON = instant("2026-03-02 12:00")


class World:
    """A database with functions, and a scheduler whose `step` the tests call."""

    def __init__(self, database: Database, config: Config) -> None:
        self.database = database
        self.functions = FunctionService(database)
        # Never entered: what it is told to run stays where it is.
        self.executor = Executions(config, database, self.functions, *cast("Any", (None, None, None)))
        self.clock = now_ms
        self.restart()

    def restart(self) -> None:
        self.scheduler = Scheduler(self.database, self.functions, self.executor, lambda: self.clock())

    async def add(self, schedule: str, function_id: str = "fn", deployment_id: str = "d", **fields: Any) -> None:
        function = Function(
            id=function_id, name=function_id, runtime="r", schedule=schedule, deployment_id=deployment_id, **fields
        )
        await self.database.write(functions.insert, function)

    async def change(self, function_id: str = "fn", **fields: Any) -> None:
        changed = msgspec.structs.replace(await self.function(function_id), **fields)
        await self.database.write(functions.update, changed)

    async def function(self, function_id: str = "fn") -> Function:
        found = await self.database.read(functions.get, function_id)
        assert found is not None
        return found

    async def step(self, *moments: int) -> int | None:
        """Let the scheduler look at the clock at each of these moments."""
        due_at = None
        for now in moments:
            due_at = await self.scheduler.step(now)
        return due_at

    async def ticks(self, function_id: str = "fn") -> list[int]:
        """When the function's executions were queued."""
        rows = await self.database.read(
            lambda conn: conn.execute(
                "SELECT created_at FROM executions WHERE function_id = ? ORDER BY sequence", (function_id,)
            ).fetchall()
        )
        return [row[0] for row in rows]


@asynccontextmanager
async def opened(path: Path, **config: Any) -> AsyncIterator[World]:
    async with Database(path / "minifn.db") as database:
        yield World(database, Config(data=path, **config))


Story = Callable[[World], Awaitable[None]]


class Play(Protocol):
    """Runs a story in a world of its own."""

    def __call__(self, story: Story, **config: Any) -> None: ...
