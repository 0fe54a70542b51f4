"""Deletes what is no longer kept, and gives its space back: now and then, in small steps with rests between them."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec

from minifn.builder import Builder
from minifn.config import Config
from minifn.instants import now_ms
from minifn.services.deployments import DeploymentService
from minifn.store import retention, usage
from minifn.store.connection import give_back
from minifn.store.database import Database

logger = logging.getLogger("minifn.services.retention")

P = ParamSpec("P")

#: The first sweep comes so long after the start, which has better things to do; the others follow at this interval.
START_SECONDS = 60.0
INTERVAL_SECONDS = 3600.0
#: Rows, or pages of the file, of one transaction: a few milliseconds, which is what other writes may have to wait.
ROWS = 100
PAGES = 64
#: After each step, a rest of so many times as long as it took.
REST = 4
#: Deployments, or builds, deleted between two looks for more.
DEPLOYMENTS = 20
#: All build caches together; each has a limit of its own too.
CACHES_BYTES_MAX = 5_000_000_000
DAY_MS = 86_400_000


class Retention:
    """Sweeps every hour, while `run` runs."""

    def __init__(
        self, config: Config, database: Database, deployments: DeploymentService, builder: Builder
    ) -> None:
        self._config = config
        self._database = database
        self._deployments = deployments
        self._builder = builder

    async def sweep(self, now: int) -> None:
        """Delete everything that is not kept at `now`."""
        # Counting as executions come and go keeps each of these steps, and those of whoever asks, short.
        await usage.catch_up(self._database)
        deleted = await self._repeat(retention.purge, ROWS)
        if self._config.retention_days:
            before = now - self._config.retention_days * DAY_MS
            deleted += await self._repeat(retention.delete_older, before, ROWS)
        if self._config.retention_count:
            for function, last in await self._database.read(
                retention.beyond, self._config.retention_count
            ):
                deleted += await self._repeat(retention.delete_through, function, last, ROWS)
        expired = 0
        while count := await self._deployments.expire(now, DEPLOYMENTS):
            expired += count
        builds = 0
        while count := await self._deployments.remove_builds(DEPLOYMENTS):
            builds += count
        caches = await self._builder.trim_caches(CACHES_BYTES_MAX)
        pages = await self._repeat(give_back, PAGES)
        if deleted or expired or builds or caches:
            logger.info(
                "deleted %d executions, %d deployments, %d builds and %d build caches"
                " that are no longer kept; %d pages are free",
                *(deleted, expired, builds, caches, pages),
            )

    async def run(self) -> None:
        """Sweep soon after the start, and then every hour."""
        pause_seconds = START_SECONDS
        while True:
            await asyncio.sleep(pause_seconds)
            pause_seconds = INTERVAL_SECONDS
            try:
                await self.sweep(now_ms())
            except Exception:
                logger.exception("maintenance failed; it is tried again in an hour")

    async def _repeat(
        self,
        step: Callable[Concatenate[sqlite3.Connection, P], int],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> int:
        """Repeat a write until it has nothing left to do, and return the sum of what it returns."""
        total = 0
        while True:
            started = time.monotonic()
            count = await self._database.write(step, *args, **kwargs)
            if not count:
                return total
            total += count
            await asyncio.sleep(REST * (time.monotonic() - started))
