"""Has the late indexes filled, in transactions for which no caller waits."""

from minifn.host.tasks import Tasks
from minifn.store import executions
from minifn.store.database import Database
from minifn.store.filling import LOOK_ROWS, LOOK_STEPS


class Filling:
    """Looks at the late indexes after every LOOK_ROWS executions that were stored."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tasks = Tasks()
        #: Executions that were stored since the last look.
        self._stored = 0

    def count(self, stored: int) -> None:
        """Count executions that were stored."""
        self._stored += stored
        if self._stored >= LOOK_ROWS and not self._tasks:
            self._stored = 0
            self._tasks.start(self._look(), "minifn-late-indexes")

    async def wait(self) -> None:
        """Wait until a look that is under way has ended."""
        await self._tasks.wait()

    async def _look(self) -> None:
        for _ in range(LOOK_STEPS):
            if not await self._database.insist(executions.fill_indexes):
                break
