"""Background tasks: named, owned and watched, so that none is lost or fails silently."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

logger = logging.getLogger("minifn.host.tasks")


@contextlib.asynccontextmanager
async def running(
    work: Coroutine[Any, Any, None], name: str, died: Callable[[str], None]
) -> AsyncIterator[None]:
    """Run an essential part of the server in the background until the block is left.

    `died(name)` is called when an exception ends the part before.
    """

    def look(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # The message of a lost connection or file says it all.
            trace = None if isinstance(error, ConnectionError | FileNotFoundError) else error
            logger.critical("the %s failed: %s", name, error, exc_info=trace)
            died(name)

    task = asyncio.create_task(work, name=f"minifn {name}")
    task.add_done_callback(look)
    try:
        yield
    finally:
        await end(task)


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait until they are over, however they end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Tasks:
    """The background tasks of one owner, by name.

    Each is kept until it ends; its error is logged.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        #: Tasks that `interrupt` has canceled.
        self._interrupted: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self, work: Coroutine[Any, Any, None], name: str, ended: Callable[[], None] | None = None
    ) -> "asyncio.Task[None]":
        """Run `work` in the background; `ended` is called after it, however it ends."""

        def forget(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._interrupted.discard(task)
            if not task.cancelled() and task.exception() is not None:
                logger.error("%s failed", name, exc_info=task.exception())
            if ended is not None:
                ended()

        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(forget)
        return task

    @property
    def names(self) -> frozenset[str]:
        """The names of the tasks that have not ended."""
        return frozenset(task.get_name() for task in self._tasks)

    async def interrupt(self, name: str) -> None:
        """Cancel the tasks of this name, each only once, and wait until they have ended."""
        named = [task for task in self._tasks if task.get_name() == name]
        for task in named:
            if task not in self._interrupted:
                self._interrupted.add(task)
                task.cancel()
        if named:
            await asyncio.wait(named)

    async def wait(self) -> None:
        """Wait until every task has ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def end(self) -> None:
        """Cancel every task and wait until it has ended."""
        await end(*self._tasks)
