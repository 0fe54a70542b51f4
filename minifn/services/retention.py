"""Deletes expired records and files and gives their space back, in small steps with pauses."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec

from minifn.builder import Builder
from minifn.builder.packed import PACKED_BYTES_MAX
from minifn.config import Config
from minifn.instants import now_ms
from minifn.services.deployments import DeploymentService
from minifn.store import filling, retention, usage
from minifn.store.connection import give_back, may_pass, trace_of
from minifn.store.database import Database

logger = logging.getLogger("minifn.services.retention")

P = ParamSpec("P")

#: Seconds from start-up to the first sweep, and between sweeps.
START_SECONDS = 60.0
INTERVAL_SECONDS = 3600.0
#: Most rows, and pages of the file, of one transaction: other writes wait for a few milliseconds.
ROWS = 100
PAGES = 64
#: Factor of a step's duration that gives the pause after it.
REST = 4
#: Most deployments, or builds, of one step.
DEPLOYMENTS = 20
#: Bytes of all build caches together; each one has a limit too.
CACHES_BYTES_MAX = 5_000_000_000
DAY_MS = 86_400_000


class Retention:
    """Sweeps every hour while `run` runs."""

    def __init__(
        self, config: Config, database: Database, deployments: DeploymentService, builder: Builder
    ) -> None:
        self._config = config
        self._database = database
        self._deployments = deployments
        self._builder = builder

    async def sweep(self, now: int) -> None:
        """Delete everything that has expired at `now`."""
        # Usage counted up to now keeps the following steps short.
        await usage.catch_up(self._database)
        await self._repeat(filling.fill)
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
        kept = self._config.builds_kept
        while kept and (count := await self._deployments.remove_builds(kept, DEPLOYMENTS)):
            builds += count
        caches = await self._builder.trim_caches(CACHES_BYTES_MAX)
        await asyncio.to_thread(self._deployments.packed.trim, PACKED_BYTES_MAX)
        pages = await self._repeat(give_back, PAGES)
        if deleted or expired or builds or caches:
            logger.info(
                "deleted %d expired executions, %d deployments, %d builds and %d build caches;"
                " %d pages are free",
                *(deleted, expired, builds, caches, pages),
            )

    async def run(self) -> None:
        """Sweep a minute after the start, and then every hour."""
        pause_seconds = START_SECONDS
        while True:
            await asyncio.sleep(pause_seconds)
            pause_seconds = INTERVAL_SECONDS
            try:
                await self.sweep(now_ms())
            except Exception as error:
                if may_pass(error):
                    # On a full disk, a sweep is part of the remedy.
                    pause_seconds = START_SECONDS
                logger.error(
                    "a sweep failed (%s); the next one is in %.0f s",
                    error,
                    pause_seconds,
                    exc_info=trace_of(error),
                )

    async def _repeat(
        self,
        step: Callable[Concatenate[sqlite3.Connection, P], int],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> int:
        """Repeat a write until it returns 0, and return the sum of its counts."""
        total = 0
        while True:
            started = time.monotonic()
            count = await self._database.write(step, *args, **kwargs)
            if not count:
                return total
            total += count
            await asyncio.sleep(REST * (time.monotonic() - started))
