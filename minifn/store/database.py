"""One SQLite file: a writer thread with group commit, reader threads, a checkpoint thread.

Store functions are plain `fn(conn, ...)`, which `Database.write` and `Database.read` run off the
event loop. `writer.py` tells how writes become transactions.
"""

import asyncio
import logging
import math
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from minifn.errors import DatabaseTimeout
from minifn.limits import LIST_SECONDS_MAX
from minifn.store.cipher import VariableCipher
from minifn.store.connection import checkpoint, connect, may_pass
from minifn.store.writer import LOG_PAGES_MAX, Job, Outcome, Writer

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: (deadline on the monotonic clock, job).
Read = tuple[float, Job]
READERS = 2
#: Steps of SQLite's virtual machine between two looks of a reader at the clock.
READ_STEPS = 20_000
#: Seconds between two attempts of a write that must not be lost.
INSIST_SECONDS = 1.0


class DatabaseClosed(RuntimeError):
    """The database is closed or was never opened."""


class Database:
    """The database of one server, bound to the event loop that opened it.

    `async with Database(path) as database:` creates or migrates the file; leaving finishes all jobs
    and closes it. Without a `cipher` it can neither read nor write variables. Unless `flushed`, a
    loss of power may take the writes of the last seconds, but never a part of one.
    """

    def __init__(
        self, path: Path, cipher: VariableCipher | None = None, *, flushed: bool = True
    ) -> None:
        self.path = path
        self._cipher = cipher
        self._loop: asyncio.AbstractEventLoop | None = None
        #: None in a queue ends its thread.
        self._reads: SimpleQueue[Read | None] = SimpleQueue()
        self._lists: SimpleQueue[Read | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._checkpoint_due = threading.Event()
        self._writer = Writer(
            path,
            cipher,
            flushed=flushed,
            settle=self._settle,
            tell=self._tell,
            checkpoint_due=self._checkpoint_due,
        )
        self._closing = False
        #: Reads that have no answer yet.
        self._reading = 0
        self._listeners: list[Callable[[set[str]], None]] = []

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Create or migrate the file and start the threads.

        Raises sqlite3.Error, schema.DatabaseTooNew and cipher.VariablesKeyError.
        """
        await asyncio.to_thread(self._writer.open)
        self._loop = asyncio.get_running_loop()
        self._writer.start()
        try:
            await asyncio.to_thread(self._start_threads)
        except BaseException:
            await self.close()
            raise

    def _start_threads(self) -> None:
        # Each has its connection before it starts: a thread that failed would answer no read.
        readers = [(f"minifn-reader-{number}", self._reads) for number in range(READERS)]
        for name, queue in (*readers, ("minifn-lists", self._lists)):
            conn = connect(self.path, readonly=True, cipher=self._cipher)
            self._start_thread(name, self._read_loop, conn, queue)
        self._start_thread("minifn-checkpoints", self._checkpoint_loop, connect(self.path))

    def _start_thread(self, name: str, loop: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=loop, args=args, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    async def close(self) -> None:
        """Finish all jobs, then close the file. A second call does nothing."""
        if self._loop is None:
            return
        self._loop = None
        for _ in range(READERS):
            self._reads.put(None)
        self._lists.put(None)
        self._closing = True
        self._checkpoint_due.set()
        # The writer's connection closes last and moves the rest of the log into the file.
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._writer.hand_over()
        await asyncio.to_thread(self._writer.close)

    def write(
        self, fn: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        """Run `fn(conn, ...)` in a transaction; the result arrives after COMMIT.

        A canceled caller does not cancel the write. An exception of `fn` rolls its writes back
        and is raised to the caller. Raises DatabaseClosed.
        """
        return self._write(fn, args, kwargs, alone=False)

    def write_each(
        self, fn: Callable[[sqlite3.Connection, list[T]], None], item: T, *, alone: bool = False
    ) -> "asyncio.Future[None]":
        """Do what `write` does; one call of `fn(conn, items)` serves up to ITEMS_MAX callers.

        It has the items of neighbouring writes with the same `fn`, and executes one statement,
        which may be the whole transaction. If it fails, it is called again for each item alone.
        `alone`: no neighbours are to be expected.
        """
        # A commit on the event loop would contend with the thread of a read for the interpreter.
        return self._write(fn, (item,), None, alone=alone and not self._reading)

    def _write(
        self,
        fn: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        *,
        alone: bool,
    ) -> "asyncio.Future[T]":
        if self._loop is None:
            raise DatabaseClosed("the database is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._writer.add((fn, args, kwargs, future), alone=alone)
        return future

    async def insist(
        self, fn: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do what `write` does, and repeat it while the machine cannot store it."""
        logged = False
        while True:
            try:
                return await self.write(fn, *args, **kwargs)
            except sqlite3.Error as error:
                if not may_pass(error):
                    raise
                if not logged:
                    logger.error("cannot write to the database (%s); retrying until it can", error)
                logged = True
            await asyncio.sleep(INSIST_SECONDS)

    def read(
        self, fn: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        """Run `fn(conn, ...)` on one snapshot of the committed rows.

        Raises DatabaseClosed and the exceptions of `fn`.
        """
        return self._ask(self._reads, math.inf, (fn, args, kwargs))

    def read_list(
        self, fn: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        """Do what `read` does, in a thread for reads that callers can make long.

        Raises also DatabaseTimeout, after LIST_SECONDS_MAX.
        """
        return self._ask(self._lists, time.monotonic() + LIST_SECONDS_MAX, (fn, args, kwargs))

    def _ask(
        self,
        queue: "SimpleQueue[Read | None]",
        deadline: float,
        asked: tuple[Callable[..., T], tuple[Any, ...], dict[str, Any]],
    ) -> "asyncio.Future[T]":
        if self._loop is None:
            raise DatabaseClosed("the database is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._reading += 1
        queue.put((deadline, (*asked, future)))
        return future

    def subscribe(self, listener: Callable[[set[str]], None]) -> None:
        """Call `listener(function_ids)` on the loop after commits that changed functions or their
        variables and rules.

        It runs before the writer's callers are woken, so a caller that has awaited a write never
        sees an older cache. The id "" stands for the project's variables.
        """
        self._listeners.append(listener)

    def _read_loop(self, conn: sqlite3.Connection, queue: "SimpleQueue[Read | None]") -> None:
        deadline = math.inf
        conn.set_progress_handler(lambda: time.monotonic() > deadline, READ_STEPS)
        while (asked := queue.get()) is not None:
            deadline, (fn, args, kwargs, future) = asked
            outcome: Outcome
            try:
                if time.monotonic() > deadline:
                    raise DatabaseTimeout
                conn.execute("BEGIN")
                try:
                    outcome = (future, fn(conn, *args, **kwargs or {}), None)
                finally:
                    deadline = math.inf
                    conn.execute("COMMIT")
            except Exception as error:
                interrupted = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT
                outcome = (future, None, DatabaseTimeout() if interrupted else error)
            self._tell([outcome], None, reads=1)
        conn.close()

    def _checkpoint_loop(self, conn: sqlite3.Connection) -> None:
        while not self._closing:
            self._checkpoint_due.wait()
            self._checkpoint_due.clear()
            try:
                if checkpoint(conn) > LOG_PAGES_MAX:
                    # The log restarts only when all of it was moved. The second pass leaves little
                    # for the third, which keeps the writer waiting.
                    checkpoint(conn)
                    with self._writer.turn:
                        checkpoint(conn)
            except sqlite3.Error:
                logger.exception(
                    "checkpoint of %s failed; the write-ahead log grows until one succeeds",
                    self.path,
                )
        conn.close()

    def missing(self) -> str:
        """Return the file that was removed or replaced, "" while all are there."""
        return self._writer.missing()

    def _tell(self, outcomes: list[Outcome], touched: set[str] | None, reads: int = 0) -> None:
        try:
            outcomes[0][0].get_loop().call_soon_threadsafe(self._settle, outcomes, touched, reads)
        except RuntimeError:
            # The writes are on disk, and no caller waits for them any more.
            logger.warning("the event loop ended before the database was closed")

    def _settle(self, outcomes: list[Outcome], touched: set[str] | None, reads: int = 0) -> None:
        self._reading -= reads
        try:
            if touched is not None:
                for listener in self._listeners:
                    listener(touched)
        finally:
            for future, result, error in outcomes:
                if future.done():
                    continue
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)
