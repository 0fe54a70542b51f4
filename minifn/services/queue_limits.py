"""Limits of the queue: how many executions wait or are scheduled, and the bytes of their bodies.

Each function has a share, so that the guests of a public function cannot keep the others out of the
queue. The counts are kept in memory, because every queued execution is checked against them. A
deleted execution stays counted until a limit is reached: before an execution is refused, the
database is counted again, at most once in COUNT_SECONDS.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass

from minifn.errors import Overloaded
from minifn.store import execution_queue
from minifn.store.database import Database

#: Least seconds between two counts of the database.
COUNT_SECONDS = 1.0
#: Bytes of bodies in one write; larger writes take turns.
TURN_BYTES = 256 * 1024
#: Divisor of each limit that gives one function's share; the pool divides its queue alike.
SHARES = 4


@dataclass(frozen=True, eq=False, slots=True)
class Storing:
    """Executions that are being stored, and that a count of the database may miss."""

    function_ids: tuple[str, ...]
    body_bytes: int
    scheduled: bool

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.function_ids)

    @property
    def size_bytes(self) -> int:
        """The bytes of all bodies."""
        return self.count * self.body_bytes


@dataclass(slots=True)
class Owned:
    """The queued and running executions of one function: their number and their bodies' bytes."""

    count: int = 0
    size_bytes: int = 0


class QueueLimits:
    """Counts waiting and scheduled executions, and refuses those beyond the limits.

    `count_max` bounds each of the two numbers, `bytes_max` the bodies of both together. Scheduled
    executions may stay for years, so they may use half of the bytes. One function has a quarter of
    each limit, and always room for one execution and for one body. `clock` returns seconds.
    """

    def __init__(
        self,
        database: Database,
        count_max: int,
        bytes_max: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._next_count_at = 0.0
        self._storing: set[Storing] = set()
        #: Long bodies are written one after the other: a commit with many delays all other writes.
        self._long = asyncio.Lock()
        #: Executions that are stored and wait for a slot; may be too high.
        self._waiting = 0
        self._storing_waiting = 0
        #: The following include executions that are being stored.
        self._scheduled = 0
        self._bytes = 0
        self._scheduled_bytes = 0
        self._owned: dict[str, Owned] = {}

    async def open(self) -> None:
        """Count the executions of an earlier start."""
        await self._count()

    @property
    def waiting(self) -> int:
        """Number of executions that wait for a slot; may be too high."""
        return self._waiting

    @property
    def full(self) -> bool:
        """Whether as many executions wait as the limit allows."""
        return self._waiting + self._storing_waiting >= self._count_max

    @contextlib.asynccontextmanager
    async def storing(
        self, function_ids: Sequence[str], body_bytes: int, *, scheduled: bool = False
    ) -> AsyncIterator[None]:
        """Count the executions that the block stores, one of each function, with a body each.

        Raises Overloaded before the block. Long bodies take turns.
        """
        new = Storing(tuple(function_ids), body_bytes, scheduled)
        if self._lacks(new) and self._clock() >= self._next_count_at:
            await self._count()
        if self._lacks(new):
            raise Overloaded
        self._add(new)
        try:
            async with self._long if new.size_bytes > TURN_BYTES else contextlib.nullcontext():
                yield
        except Exception:
            # Keep the count when canceled: the rows will still be written.
            self._scheduled -= new.count * scheduled
            self._bytes -= new.size_bytes
            self._scheduled_bytes -= new.size_bytes * scheduled
            self._own(new.function_ids, -1, -body_bytes)
            raise
        finally:
            self._storing.discard(new)
            self._storing_waiting -= new.count * (not scheduled)

    async def crowded(self, function_ids: Sequence[str], body_bytes: int) -> set[str]:
        """Return the ids of those functions whose share has no room for one more such execution."""
        if self._crowded(function_ids, body_bytes) and self._clock() >= self._next_count_at:
            await self._count()
        return self._crowded(function_ids, body_bytes)

    def ticked(self, function_ids: Sequence[str]) -> None:
        """Count executions without a body that were stored without `storing`."""
        self._own(function_ids, 1, 0)

    def wait(self, count: int) -> None:
        """Count stored executions that begin to wait."""
        self._waiting += count

    def released(self, count: int) -> None:
        """Count scheduled executions that begin to wait."""
        self._scheduled -= count
        self._waiting += count

    def claimed(self, count: int, *, more: bool) -> None:
        """Count waiting executions that were claimed; `more` tells whether others may wait."""
        self._waiting = self._waiting - count if more else 0

    def ended(self, function_id: str, body_bytes: int) -> None:
        """Count a queued execution, with a body of this size, that has ended."""
        self._bytes -= body_bytes
        self._own((function_id,), -1, -body_bytes)

    def _add(self, new: Storing) -> None:
        self._storing.add(new)
        self._storing_waiting += new.count * (not new.scheduled)
        self._scheduled += new.count * new.scheduled
        self._bytes += new.size_bytes
        self._scheduled_bytes += new.size_bytes * new.scheduled
        self._own(new.function_ids, 1, new.body_bytes)

    def _own(self, function_ids: Iterable[str], count: int, size_bytes: int) -> None:
        """Add to the executions and bytes that each of the functions owns."""
        for function_id in function_ids:
            owned = self._owned.setdefault(function_id, Owned())
            owned.count += count
            owned.size_bytes += size_bytes
            if owned.count <= 0:
                del self._owned[function_id]

    def _crowded(self, function_ids: Iterable[str], body_bytes: int) -> set[str]:
        counts, sizes = self._count_max // SHARES, self._bytes_max // SHARES
        return {
            function_id
            for function_id in function_ids
            if (owned := self._owned.get(function_id))
            and (
                owned.count + 1 > counts
                or (body_bytes and owned.size_bytes and owned.size_bytes + body_bytes > sizes)
            )
        }

    def _lacks(self, new: Storing) -> bool:
        """Tell whether a limit has no room for the new executions."""
        if self._crowded(new.function_ids, new.body_bytes):
            return True
        if self._bytes + new.size_bytes > self._bytes_max and new.size_bytes:
            return True
        if not new.scheduled:
            return self.full
        too_long = (
            self._scheduled_bytes + new.size_bytes > self._bytes_max // 2 and new.size_bytes > 0
        )
        return too_long or self._scheduled + new.count > self._count_max

    async def _count(self) -> None:
        self._next_count_at = self._clock() + COUNT_SECONDS
        # The writer counts between the writes: each is in its count, or in `_storing` afterwards.
        stored = await self._database.write(execution_queue.stored)
        self._waiting = stored.waiting
        self._scheduled, self._bytes, self._scheduled_bytes = (
            stored.scheduled,
            stored.size_bytes,
            stored.scheduled_bytes,
        )
        self._owned = {function_id: Owned(*owned) for function_id, owned in stored.owned.items()}
        storing, self._storing_waiting = self._storing, 0
        self._storing = set()
        for new in storing:
            self._add(new)
