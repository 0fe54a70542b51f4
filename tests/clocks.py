"""A scheduler over a real database and a clock of the tests; executions are queued, not run."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from minifn.config import Config
from minifn.hooks import Hooks
from minifn.instants import now_ms
from minifn.languages import RuntimeTable
from minifn.models import Function
from minifn.parts import Parts
from minifn.sandbox.engines.none import NoEngine
from minifn.sandbox.spawner import Spawner
from minifn.services.schedules import Scheduler
from minifn.store import functions
from minifn.workers.pool import Pool

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOON = instant("2026-03-02 12:00")


class World(Parts):
    """The parts of a server over a database: no processes, no loops.

    Tests call the scheduler's `step`.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.clock = now_ms

    async def open_data(self, stack: AsyncExitStack) -> None:
        self.data.prepare()
        await self.open_database(stack)

    async def open_machine(self, stack: AsyncExitStack) -> None:
        self.engine = NoEngine()
        self.runtimes = RuntimeTable({}, {}, self.data.root)
        self.pool = self.workers = Pool(cast("Spawner", None), self.engine)

    def make_services(self) -> None:
        super().make_services()
        self.restart()

    def make_builders(self, hooks: Hooks) -> None:
        """Nothing is built."""

    async def run_loops(self, stack: AsyncExitStack) -> None:
        """Executions are queued, not run."""

    def restart(self) -> None:
        self.scheduler = Scheduler(
            self.database, self.targets, self.executions, lambda: self.clock()
        )

    async def add(
        self, schedule: str, function_id: str = "fn", deployment_id: str = "d", **fields: Any
    ) -> None:
        function = Function(
            id=function_id,
            name=function_id,
            runtime="r",
            schedule=schedule,
            deployment_id=deployment_id,
            **fields,
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
        """Return the instants at which the function's executions were queued."""
        rows = await self.database.read(
            lambda conn: conn.execute(
                "SELECT created_at FROM executions WHERE function_id = ? ORDER BY sequence",
                (function_id,),
            ).fetchall()
        )
        return [row[0] for row in rows]


def opened(path: Path, **config: Any) -> World:
    return World(Config(data=path, **config))


Story = Callable[[World], Awaitable[None]]


class Play(Protocol):
    """Runs a story in a world of its own."""

    def __call__(self, story: Story, **config: Any) -> None: ...
