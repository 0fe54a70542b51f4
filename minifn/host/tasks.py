"""Tasks that run as long as a server does: named, owned and watched, because nobody would miss one that dies."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

logger = logging.getLogger("minifn.host.tasks")


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None], name: str, died: Callable[[str], None]) -> AsyncIterator[None]:
    """Do a part of the server's work in the background until the block is left.

    `died(name)` is called when an exception ends it before: without that part the server must not go on.
    """

    def look(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            logger.critical("the %s failed", name, exc_info=task.exception())
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
