"""What waits to be run: how many executions, and how many bytes of their requests' bodies lie on disk for it.

No function takes more than its share, so that the guests of a public one cannot keep the others out of the queue.
Counted in memory, because every execution that is queued asks. What is deleted while it waits stays counted until a
limit is reached: before anything is refused the database is asked, now and then.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass

from minifn.errors import Overloaded
from minifn.store import execution_queue
from minifn.store.database import Database

#: Seconds between two counts of the database.
COUNT_SECONDS = 1.0
#: What takes a transaction of its own, nearly.
LONG_BYTES = 256 * 1024
#: The part of each limit that one function may take: a quarter, as of the calls that wait for a worker.
SHARES = 4


@dataclass(frozen=True, eq=False, slots=True)
class Storing:
    """Executions on their way into the database, which does not know of them yet."""

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
    """The executions of one function that are queued or run: how many, and the bytes of their bodies."""

    count: int = 0
    size_bytes: int = 0


class QueueLimits:
    """Counts what waits and what is scheduled for later; what would be too much is refused.

    `count_max` bounds both numbers, `bytes_max` the bodies of both together. What is scheduled, which may stay for
    years, leaves half of the bytes to the rest. One function has a quarter of each limit, and always room for one
    execution and for one body. `clock` returns seconds.
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
        #: A commit of many long bodies would keep everybody waiting.
        self._long = asyncio.Lock()
        #: Executions that are stored and wait for a slot, or more.
        self._waiting = 0
        self._storing_waiting = 0
        #: These count what is being stored, too.
        self._scheduled = 0
        self._bytes = 0
        self._scheduled_bytes = 0
        self._owned: dict[str, Owned] = {}

    async def open(self) -> None:
        """Count what an earlier server has left."""
        await self._count()

    @property
    def full(self) -> bool:
        """Whether as many executions wait as may."""
        return self._waiting + self._storing_waiting >= self._count_max

    @contextlib.asynccontextmanager
    async def storing(
        self, function_ids: Sequence[str], body_bytes: int, *, scheduled: bool = False
    ) -> AsyncIterator[None]:
        """Count an execution of each function, with a body of that size, that the block stores.

        Raises Overloaded before it. Long bodies take turns.
        """
        new = Storing(tuple(function_ids), body_bytes, scheduled)
        if self._lacks(new) and self._clock() >= self._next_count_at:
            await self._count()
        if self._lacks(new):
            raise Overloaded
        self._add(new)
        try:
            async with self._long if new.size_bytes > LONG_BYTES else contextlib.nullcontext():
                yield
        except Exception:
            # Not when cancelled: the write is certain all the same.
            self._scheduled -= new.count * scheduled
            self._bytes -= new.size_bytes
            self._scheduled_bytes -= new.size_bytes * scheduled
            self._own(new.function_ids, -1, -body_bytes)
            raise
        finally:
            self._storing.discard(new)
            self._storing_waiting -= new.count * (not scheduled)

    async def crowded(self, function_ids: Sequence[str], body_bytes: int) -> set[str]:
        """Return the functions among these whose share has no room for one more execution with such a body."""
        if self._crowded(function_ids, body_bytes) and self._clock() >= self._next_count_at:
            await self._count()
        return self._crowded(function_ids, body_bytes)

    def ticked(self, function_ids: Sequence[str]) -> None:
        """Tell that executions without a body were stored that no `storing` counted."""
        self._own(function_ids, 1, 0)

    def wait(self, count: int) -> None:
        """Tell that so many stored executions began to wait."""
        self._waiting += count

    def released(self, count: int) -> None:
        """Tell that so many of them were scheduled until now."""
        self._scheduled -= count

    def claimed(self, count: int, *, more: bool) -> None:
        """Tell that so many wait no longer, and whether there may be more."""
        self._waiting = self._waiting - count if more else 0

    def ended(self, function_id: str, body_bytes: int) -> None:
        """Tell that a queued execution of a function, with a body of this size, is over."""
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
        """Add to what each of the functions has."""
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
        """Tell whether there is no room for it."""
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
        stored = await self._database.read(execution_queue.stored)
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
