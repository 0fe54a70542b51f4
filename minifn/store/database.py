"""One SQLite file: a writer thread with group commit, reader threads, checkpoints in a thread of their own.

Store functions are plain `fn(conn, ...)`; `Database.write` and `Database.read` run them off the event loop. Whatever
waits when the writer is free goes into one transaction, and all callers are woken together after COMMIT: a row written
under load costs tens of microseconds, not a commit. When a job of a batch fails, the batch is undone and its jobs run
again, each in a transaction of its own; that is rare, and savepoints would cost every job a third more. So a write may
run twice, and must have no effect but on its connection.
"""

import asyncio
import contextlib
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
from minifn.store import schema
from minifn.store.cipher import VariableCipher, adopt, equip
from minifn.store.search import matches_words

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: (function, positional arguments, keyword arguments, future): what waits for a thread. None ends the thread.
Job = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], "asyncio.Future[Any]"]
#: (future, result, error): what the event loop is told.
Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]

#: Rows changed, and transactions, between two checkpoints: some 8 MB of write-ahead log.
CHECKPOINT_CHANGES = 2_000
CHECKPOINT_COMMITS = 200
#: With a log longer than this (pages of 4 KiB) the writer waits for the end of a checkpoint, so that it can start over.
LOG_PAGES_MAX = 16_384
#: Jobs of one transaction; more wait for the next, so that the first callers are not kept waiting.
BATCH_MAX = 256
READERS = 2
#: How long a list may be waited for.
LIST_SECONDS_MAX = 10.0
#: After so many steps of SQLite's machine a reader looks at the clock.
READ_STEPS = 20_000
#: Seconds between two attempts of a write that must not be given up.
INSIST_SECONDS = 1.0
#: What SQLite says of a disk that is full, broken or read-only, and of a file that another process keeps locked.
PASSING_ERRORS = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
    }
)


class DatabaseLost(sqlite3.OperationalError):
    """The file was removed or replaced: what is written from now on, nobody will ever read."""


class DatabaseClosed(RuntimeError):
    """The database was closed (or never opened): nothing can be read or written."""


def may_pass(error: BaseException) -> bool:
    """Tell whether a write failed by the state of the machine, so that the same write may succeed later."""
    # The lower byte is the kind of error, the rest says more.
    return (
        isinstance(error, sqlite3.Error)
        and getattr(error, "sqlite_errorcode", 0) & 0xFF in PASSING_ERRORS
    )


def connect(
    path: Path, *, readonly: bool = False, cipher: VariableCipher | None = None
) -> sqlite3.Connection:
    """Return a connection with minifn's settings; transactions are explicit. Raises sqlite3.Error.

    Without a `cipher` it can do everything but read and write variables.
    """
    conn = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=10
    )
    conn.execute("PRAGMA foreign_keys = ON")
    # A loss of power takes nothing that was committed. Under load it is one flush of the disk for many writes.
    conn.execute("PRAGMA synchronous = FULL")
    conn.execute("PRAGMA wal_autocheckpoint = 0")
    conn.execute("PRAGMA cache_size = -4096")
    conn.execute("PRAGMA temp_store = MEMORY")
    if readonly:
        conn.execute("PRAGMA query_only = ON")
    conn.create_function("matches_words", 2, matches_words, deterministic=True)
    if cipher is not None:
        equip(conn, cipher)
    return conn


class Database:
    """The database of one server, bound to the event loop that opened it.

    `async with Database(path) as database:` creates or migrates the file, and drains and closes it. Without a `cipher`
    it can do everything but read and write variables. Unless `flushed`, a loss of power may take the last writes, some
    seconds of them, but never a part of one.
    """

    def __init__(
        self, path: Path, cipher: VariableCipher | None = None, *, flushed: bool = True
    ) -> None:
        self.path = path
        self._cipher = cipher
        self._flushed = flushed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writes: SimpleQueue[Job | None] = SimpleQueue()
        #: With the moment at which each is given up, on the monotonic clock.
        self._reads: SimpleQueue[tuple[float, Job] | None] = SimpleQueue()
        self._lists: SimpleQueue[tuple[float, Job] | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write_loop, name="minifn-writer", daemon=True)
        self._readers = [
            threading.Thread(
                target=self._read_loop,
                args=(self._reads,),
                name=f"minifn-reader-{number}",
                daemon=True,
            )
            for number in range(READERS)
        ]
        self._lister = threading.Thread(
            target=self._read_loop, args=(self._lists,), name="minifn-lists", daemon=True
        )
        self._checkpointer = threading.Thread(
            target=self._checkpoint_loop, name="minifn-checkpoints", daemon=True
        )
        self._checkpoint_due = threading.Event()
        self._closing = False
        #: Held by the writer during a transaction, and by a checkpoint that must see the end of the log.
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
        self._presence = FileIdentity(self.path, self.path.with_name(f"{self.path.name}-wal"))
        self._loop = asyncio.get_running_loop()
        for thread in (self._writer, self._checkpointer, self._lister, *self._readers):
            thread.start()

    async def close(self) -> None:
        """Finish everything that was asked for, then close the file. Calling it again does nothing."""
        if self._loop is None:
            return
        self._loop = None
        for _ in self._readers:
            self._reads.put(None)
        self._lists.put(None)
        self._closing = True
        self._checkpoint_due.set()
        # The writer's connection closes last: it moves the rest of the log into the file.
        for thread in (*self._readers, self._lister, self._checkpointer):
            await asyncio.to_thread(thread.join)
        self._writes.put(None)
        await asyncio.to_thread(self._writer.join)

    def write(
        self, fn: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        """Run `fn(conn, ...)` in a transaction; the result arrives after COMMIT.

        The write is certain from the call on: cancelling who awaits the result does not take it back. What `fn` raises
        undoes what `fn` wrote and is raised to the caller. Raises DatabaseClosed.
        """
        if self._loop is None:
            raise DatabaseClosed("the database is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._writes.put((fn, args, kwargs, future))
        return future

    async def insist(
        self, fn: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Write what must not be lost: again and again while the machine is in no state to store it.

        Raises like `write`.
        """
        told = False
        while True:
            try:
                return await self.write(fn, *args, **kwargs)
            except sqlite3.Error as error:
                if not may_pass(error):
                    raise
                if not told:
                    logger.error(
                        "cannot write to the database (%s); it is tried again until it can", error
                    )
                told = True
            await asyncio.sleep(INSIST_SECONDS)

    def read(
        self, fn: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        """Run `fn(conn, ...)` on one snapshot of what is committed. Raises DatabaseClosed and what `fn` raises."""
        return self._ask(self._reads, math.inf, (fn, args, kwargs))

    def read_list(
        self, fn: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        """Do what `read` does, for what callers can make long: it keeps no other read waiting.

        Raises DatabaseTimeout after LIST_SECONDS_MAX, too.
        """
        return self._ask(self._lists, time.monotonic() + LIST_SECONDS_MAX, (fn, args, kwargs))

    def _ask(
        self,
        queue: "SimpleQueue[tuple[float, Job] | None]",
        deadline: float,
        asked: tuple[Callable[..., T], tuple[Any, ...], dict[str, Any]],
    ) -> "asyncio.Future[T]":
        if self._loop is None:
            raise DatabaseClosed("the database is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        queue.put((deadline, (*asked, future)))
        return future

    def subscribe(self, listener: Callable[[set[str]], None]) -> None:
        """Have `listener(function_ids)` called on the loop after each commit that changed functions, variables or
        rules.

        It runs before the writer's callers are woken: who has awaited a write never sees an older cache. The id ""
        stands for the project's variables.
        """
        self._listeners.append(listener)

    def _open_writer(self) -> sqlite3.Connection:
        # It holds variables and hashes of keys, in a directory others may pass through; SQLite gives the log its mode.
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
        while (job := self._writes.get()) is not None:
            jobs = [job]
            while len(jobs) < BATCH_MAX and not self._writes.empty():
                job = self._writes.get()
                if job is None:
                    self._writes.put(None)
                    break
                jobs.append(job)
            with self._turn:
                outcomes = self._commit(conn, jobs)
            self._tell(outcomes, self._take_touched())
            commits += 1
            if conn.total_changes - changes >= CHECKPOINT_CHANGES or commits == CHECKPOINT_COMMITS:
                changes, commits = conn.total_changes, 0
                self._checkpoint_due.set()
        conn.close()

    def _commit(self, conn: sqlite3.Connection, jobs: Sequence[Job]) -> list[Outcome]:
        """Run `jobs` in one transaction, or each in its own when one of them (or the commit) fails."""
        try:
            if lost := self._presence.missing():
                raise DatabaseLost(f"{lost} was removed or replaced")
            conn.execute("BEGIN IMMEDIATE")
            outcomes: list[Outcome] = [
                (future, fn(conn, *args, **kwargs), None) for fn, args, kwargs, future in jobs
            ]
            conn.execute("COMMIT")
        except Exception as error:
            # Out of disk space, SQLite has rolled back by itself.
            if conn.in_transaction:
                # Refused on a broken disk: the next attempt comes here first, and without this thread nobody writes.
                with contextlib.suppress(sqlite3.Error):
                    conn.execute("ROLLBACK")
            if len(jobs) == 1:
                return [(jobs[0][3], None, error)]
            return [outcome for job in jobs for outcome in self._commit(conn, [job])]
        return outcomes

    def _read_loop(self, queue: "SimpleQueue[tuple[float, Job] | None]") -> None:
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
                    outcome = (future, fn(conn, *args, **kwargs), None)
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
                if _checkpoint(conn) > LOG_PAGES_MAX:
                    # The log starts over only when all of it has been moved. Twice: the second pass leaves little
                    # for the third, during which nobody can write.
                    _checkpoint(conn)
                    with self._turn:
                        _checkpoint(conn)
            except sqlite3.Error:
                logger.exception(
                    "checkpoint of %s failed; the write-ahead log grows until one succeeds",
                    self.path,
                )
        conn.close()

    def missing(self) -> str:
        """Return which of its files was removed or replaced, "" while all are there."""
        return self._presence.missing()

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
            # The loop was closed before the database: nobody waits for the outcomes any more, but they are on disk.
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


def _checkpoint(conn: sqlite3.Connection) -> int:
    """Move what can be moved from the log into the file, without making anybody wait; return the log's pages."""
    _, pages, _ = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)


def give_back(conn: sqlite3.Connection, pages: int) -> int:
    """Return up to `pages` free pages of the file to the file system; return how many."""
    (free,) = conn.execute("PRAGMA freelist_count").fetchone()
    for _ in range(min(pages, free)):
        # One at a time: the statement has no columns, so the sqlite3 module takes a single step of it.
        conn.execute("PRAGMA incremental_vacuum(1)")
    return int(min(pages, free))
