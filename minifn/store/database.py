"""One SQLite file: a writer thread with group commit, reader threads, a checkpoint thread.

Store functions are plain `fn(conn, ...)`, which `Database.write` and `Database.read` run off the
event loop. All writes that wait when the writer is free go into one transaction, and their callers
are woken together after COMMIT: under load a row costs ten microseconds instead of a commit. The
writes of one turn of the event loop reach the writer together: waking it for each would cost more
than a row, and give it transactions of one row.

When a job of a batch fails, the batch is rolled back and each job runs again in its own
transaction. That is rare, and savepoints would cost every job a third more. So a write may run
twice, and must have no effect but on its connection.
"""

import asyncio
import contextlib
import itertools
import logging
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from minifn.errors import DatabaseTimeout
from minifn.host.identity import FileIdentity
from minifn.limits import LIST_SECONDS_MAX
from minifn.store import schema
from minifn.store.cipher import VariableCipher, adopt
from minifn.store.connection import checkpoint, connect, may_pass

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: A job of a thread: (function, positional arguments, keyword arguments, future). Without keyword
#: arguments the function takes the items of neighbouring jobs as one list.
Job = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any] | None, "asyncio.Future[Any]"]
#: (deadline on the monotonic clock, job).
Read = tuple[float, Job]
#: The outcome of a job, for the event loop: (future, result, error).
Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]

#: Changed rows between two checkpoints: some 8 MB of write-ahead log.
CHECKPOINT_CHANGES = 2_000
#: Transactions between two checkpoints.
CHECKPOINT_COMMITS = 200
#: Pages (4 KiB) of a log beyond which the writer waits for a whole checkpoint, which restarts it.
LOG_PAGES_MAX = 16_384
#: Jobs of one transaction; it is bounded so that the first callers do not wait for long.
BATCH_MAX = 256
READERS = 2
#: Steps of SQLite's virtual machine between two looks of a reader at the clock.
READ_STEPS = 20_000
#: Seconds between two attempts of a write that must not be lost.
INSIST_SECONDS = 1.0


class DatabaseLost(sqlite3.OperationalError):
    """The file was removed or replaced, so writes to it would be lost."""


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
        self._flushed = flushed
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Writes of this turn of the loop, which the writer does not have yet.
        self._written: list[Job] = []
        #: None in a queue ends its thread.
        self._writes: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._reads: SimpleQueue[Read | None] = SimpleQueue()
        self._lists: SimpleQueue[Read | None] = SimpleQueue()
        self._writer = _thread("minifn-writer", self._write_loop)
        self._readers = [
            _thread(f"minifn-reader-{number}", self._read_loop, self._reads)
            for number in range(READERS)
        ]
        self._lister = _thread("minifn-lists", self._read_loop, self._lists)
        self._checkpointer = _thread("minifn-checkpoints", self._checkpoint_loop)
        self._checkpoint_due = threading.Event()
        self._closing = False
        #: Held by the writer during a transaction, and by a checkpoint of the whole log.
        self._turn = threading.Lock()
        self._listeners: list[Callable[[set[str]], None]] = []
        self._touched: set[str] = set()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Create or migrate the file and start the threads.

        Raises sqlite3.Error, schema.DatabaseTooNew and cipher.VariablesKeyError.
        """
        self._conn = await asyncio.to_thread(self._open_writer)
        self._identity = FileIdentity(self.path, self.path.with_name(f"{self.path.name}-wal"))
        self._loop = asyncio.get_running_loop()
        for thread in (self._writer, self._checkpointer, self._lister, *self._readers):
            thread.start()

    async def close(self) -> None:
        """Finish all jobs, then close the file. A second call does nothing."""
        if self._loop is None:
            return
        self._loop = None
        for _ in self._readers:
            self._reads.put(None)
        self._lists.put(None)
        self._closing = True
        self._checkpoint_due.set()
        # The writer's connection closes last and moves the rest of the log into the file.
        for thread in (*self._readers, self._lister, self._checkpointer):
            await asyncio.to_thread(thread.join)
        self._wake_writer()
        self._writes.put(None)
        await asyncio.to_thread(self._writer.join)

    def write(
        self, fn: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        """Run `fn(conn, ...)` in a transaction; the result arrives after COMMIT.

        Cancelling the caller does not cancel the write. An exception of `fn` rolls its writes back
        and is raised to the caller. Raises DatabaseClosed.
        """
        return self._hand_over(fn, args, kwargs)

    def write_each(
        self, fn: Callable[[sqlite3.Connection, list[T]], None], item: T
    ) -> "asyncio.Future[None]":
        """Do what `write` does; one call of `fn(conn, items)` serves many callers.

        It has the items of neighbouring writes with the same `fn`. If it fails, it is called again
        for each item alone.
        """
        return self._hand_over(fn, (item,), None)

    def _hand_over(
        self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> "asyncio.Future[T]":
        if self._loop is None:
            raise DatabaseClosed("the database is closed")
        if not self._written:
            self._loop.call_soon(self._wake_writer)
        future: asyncio.Future[T] = self._loop.create_future()
        self._written.append((fn, args, kwargs, future))
        return future

    def _wake_writer(self) -> None:
        written, self._written = self._written, []
        if written:
            self._writes.put(written)

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
        queue.put((deadline, (*asked, future)))
        return future

    def subscribe(self, listener: Callable[[set[str]], None]) -> None:
        """Call `listener(function_ids)` on the loop after commits that changed functions or their
        variables and rules.

        It runs before the writer's callers are woken, so a caller that has awaited a write never
        sees an older cache. The id "" stands for the project's variables.
        """
        self._listeners.append(listener)

    def _open_writer(self) -> sqlite3.Connection:
        # The file holds variables and hashes of keys, and other users may pass its directory.
        # SQLite gives the log the same mode.
        self.path.touch(mode=0o600)
        self.path.chmod(0o600)
        conn = connect(self.path, cipher=self._cipher)
        try:
            conn.execute("PRAGMA cache_size = -8192")
            if not self._flushed:
                conn.execute("PRAGMA synchronous = NORMAL")
            conn.execute("PRAGMA auto_vacuum = INCREMENTAL")
            conn.execute("PRAGMA journal_mode = WAL")
            conn.execute(f"PRAGMA journal_size_limit = {LOG_PAGES_MAX * 4096}")
            schema.migrate(conn)
            if self._cipher is not None:
                adopt(conn, self._cipher)
            conn.create_function("touch", 1, self._touched.add)
            for trigger in schema.TOUCH_TRIGGERS:
                conn.execute(trigger)
        except BaseException:
            conn.close()
            raise
        return conn

    def _write_loop(self) -> None:
        conn = self._conn
        changes = commits = 0
        waiting: list[Job] = []
        while waiting or (waiting := self._writes.get() or []):
            while len(waiting) < BATCH_MAX and not self._writes.empty():
                more = self._writes.get()
                if more is None:
                    self._writes.put(None)
                    break
                waiting += more
            jobs, waiting = waiting[:BATCH_MAX], waiting[BATCH_MAX:]
            with self._turn:
                outcomes = self._commit(conn, jobs)
            self._tell(outcomes, self._take_touched())
            commits += 1
            if conn.total_changes - changes >= CHECKPOINT_CHANGES or commits == CHECKPOINT_COMMITS:
                changes, commits = conn.total_changes, 0
                self._checkpoint_due.set()
        conn.close()

    def _commit(self, conn: sqlite3.Connection, jobs: Sequence[Job]) -> list[Outcome]:
        """Run `jobs` in one transaction, or each in its own when a job or the commit fails."""
        try:
            if lost := self.missing():
                raise DatabaseLost(f"{lost} was removed or replaced")
            conn.execute("BEGIN IMMEDIATE")
            outcomes = _run(conn, jobs)
            conn.execute("COMMIT")
        except Exception as error:
            # Without disk space SQLite has rolled back by itself.
            if conn.in_transaction:
                # A broken disk refuses it. The writer must live on; the next job rolls back first.
                with contextlib.suppress(sqlite3.Error):
                    conn.execute("ROLLBACK")
            if len(jobs) == 1:
                return [(jobs[0][3], None, error)]
            return [outcome for job in jobs for outcome in self._commit(conn, [job])]
        return outcomes

    def _read_loop(self, queue: "SimpleQueue[Read | None]") -> None:
        conn = connect(self.path, readonly=True, cipher=self._cipher)
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
            self._tell([outcome], None)
        conn.close()

    def _checkpoint_loop(self) -> None:
        conn = connect(self.path)
        while not self._closing:
            self._checkpoint_due.wait()
            self._checkpoint_due.clear()
            try:
                if checkpoint(conn) > LOG_PAGES_MAX:
                    # The log restarts only when all of it was moved. The second pass leaves little
                    # for the third, which keeps the writer waiting.
                    checkpoint(conn)
                    with self._turn:
                        checkpoint(conn)
            except sqlite3.Error:
                logger.exception(
                    "checkpoint of %s failed; the write-ahead log grows until one succeeds",
                    self.path,
                )
        conn.close()

    def missing(self) -> str:
        """Return the file that was removed or replaced, "" while all are there."""
        return self._identity.missing()

    def _take_touched(self) -> set[str] | None:
        if not self._touched:
            return None
        touched = set(self._touched)
        self._touched.clear()
        return touched

    def _tell(self, outcomes: list[Outcome], touched: set[str] | None) -> None:
        try:
            outcomes[0][0].get_loop().call_soon_threadsafe(self._settle, outcomes, touched)
        except RuntimeError:
            # The writes are on disk, and no caller waits for them any more.
            logger.warning("the event loop ended before the database was closed")

    def _settle(self, outcomes: list[Outcome], touched: set[str] | None) -> None:
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


def _run(conn: sqlite3.Connection, jobs: Sequence[Job]) -> list[Outcome]:
    """Run jobs in their order, those of `write_each` together with their like."""
    outcomes: list[Outcome] = []
    for (fn, alone), group in itertools.groupby(jobs, lambda job: (job[0], job[2] is not None)):
        if alone:
            outcomes += [
                (future, fn(conn, *args, **kwargs or {}), None) for _, args, kwargs, future in group
            ]
            continue
        same = list(group)
        fn(conn, [job[1][0] for job in same])
        outcomes += [(job[3], None, None) for job in same]
    return outcomes


def _thread(name: str, loop: Callable[..., None], *args: object) -> threading.Thread:
    return threading.Thread(target=loop, args=args, name=name, daemon=True)
