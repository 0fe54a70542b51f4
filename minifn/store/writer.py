"""The connection that writes, and the thread that commits what waits together.

All writes that wait when the thread is free go into one transaction, and their callers are woken
together after COMMIT: under load a row costs ten microseconds instead of a commit. The writes of
one turn of the event loop reach the thread together: waking it for each would cost more than a row,
and give it transactions of one row.

When a job of a batch fails, the batch is rolled back and each job runs again in its own
transaction. That is rare, and savepoints would cost every job a third more. So a write may run
twice, and must have no effect but on its connection.
"""

import asyncio
import contextlib
import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from minifn.host.identity import FileIdentity
from minifn.store import schema
from minifn.store.cipher import VariableCipher, adopt
from minifn.store.connection import BUSY_SECONDS, connect, is_held

#: A job of a thread: (function, positional arguments, keyword arguments, future). Without keyword
#: arguments the function takes the items of neighbouring jobs as one list.
Job = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any] | None, "asyncio.Future[Any]"]
#: The outcome of a job, for the event loop: (future, result, error).
Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]
#: Takes outcomes, and the ids of functions that were touched, None for none.
Settle = Callable[[list[Outcome], set[str] | None], None]

#: Changed rows between two checkpoints: some 8 MB of write-ahead log.
CHECKPOINT_CHANGES = 2_000
#: Transactions between two checkpoints: as much log if each has one row.
CHECKPOINT_COMMITS = 600
#: Pages (4 KiB) of a log beyond which the writer waits for a whole checkpoint, which restarts it.
LOG_PAGES_MAX = 16_384
#: Seconds for which a look at the files counts: looking takes a fifth of a small commit's time.
LOOK_SECONDS = 0.005
#: Seconds between two attempts of a transaction while another process holds the file.
HELD_PAUSE_SECONDS = 0.005
#: Jobs of one transaction; it is bounded so that the first callers do not wait for long.
BATCH_MAX = 256
#: Most items of one call of a function of `write_each`.
ITEMS_MAX = 64
#: Seconds of the longest usual commit on the event loop: one that is flushed holds other requests
#: up, another one is longer only when the machine is busy.
FLUSHED_COMMIT_SECONDS, LOOP_COMMIT_SECONDS = 0.001, 0.005
#: Seconds without a commit on the event loop after a longer one. Each longer one doubles them, and
#: each usual one takes a five-hundredth: they grow if more than one in 350 is longer.
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.01, 1.0
#: Least multiple of a longer commit's time that passes before the next one on the event loop.
PAUSE_TIMES = 50


class DatabaseLost(sqlite3.OperationalError):
    """The file was removed or replaced, so writes to it would be lost."""


class Writer:
    """Runs jobs in transactions, on a thread of its own.

    `settle` is called on the event loop, `tell` on the thread, which has the loop call `settle`.
    `checkpoint_due` is set when the log has grown.
    """

    def __init__(
        self,
        path: Path,
        cipher: VariableCipher | None,
        *,
        flushed: bool,
        settle: Settle,
        tell: Settle,
        checkpoint_due: threading.Event,
    ) -> None:
        self._path = path
        self._cipher = cipher
        self._flushed = flushed
        self._settle = settle
        self._tell = tell
        self._checkpoint_due = checkpoint_due
        #: Held during a transaction, and by a checkpoint of the whole log.
        self.turn = threading.Lock()
        #: Jobs of this turn of the loop, which the thread does not have yet.
        self._new: list[Job] = []
        #: None ends the thread.
        self._queue: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="minifn-writer", daemon=True)
        self._touched: set[str] = set()
        #: Changed rows at the last checkpoint, and commits since.
        self._changes = self._commits = 0
        #: When the files are looked at again, on the monotonic clock.
        self._look_at = 0.0
        #: When the loop may commit again, on the monotonic clock, and the length of its last pause.
        self._loop_commits_from = self._pause_seconds = 0.0

    def open(self) -> None:
        """Create or migrate the file. Raises what `Database.open` raises."""
        self._conn = self._connect()
        self._identity = FileIdentity(self._path, self._path.with_name(f"{self._path.name}-wal"))

    def start(self) -> None:
        """Start the thread; call it on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def add(self, job: Job, *, alone: bool) -> None:
        """Have a job run; call it on the event loop.

        `alone`: no other job is to be expected soon, so that this one gains nothing by waiting.
        """
        if alone and not self._new and self._commit_here(job):
            return
        if not self._new:
            self._loop.call_soon(self.hand_over)
        self._new.append(job)

    def hand_over(self) -> None:
        """Give the jobs of this turn of the loop to the thread."""
        jobs, self._new = self._new, []
        if jobs:
            self._queue.put(jobs)

    def close(self) -> None:
        """Finish all jobs that were handed over, then close the file."""
        self._queue.put(None)
        self._thread.join()

    def missing(self) -> str:
        """Return the file that was removed or replaced, "" while all are there."""
        return self._identity.missing()

    def _connect(self) -> sqlite3.Connection:
        # The file holds variables and hashes of keys, and other users may pass its directory.
        # SQLite gives the log the same mode.
        self._path.touch(mode=0o600)
        self._path.chmod(0o600)
        conn = connect(self._path, cipher=self._cipher)
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
            # The event loop does not wait while another process holds the file; `_commit` does.
            conn.execute("PRAGMA busy_timeout = 0")
        except BaseException:
            conn.close()
            raise
        return conn

    def _run(self) -> None:
        waiting: list[Job] = []
        while waiting or (waiting := self._queue.get() or []):
            while len(waiting) < BATCH_MAX and not self._queue.empty():
                more = self._queue.get()
                if more is None:
                    self._queue.put(None)
                    break
                waiting += more
            jobs, waiting = waiting[:BATCH_MAX], waiting[BATCH_MAX:]
            with self.turn:
                outcomes = self._commit(jobs, time.monotonic() + BUSY_SECONDS)
                self._count()
            self._tell(outcomes, self._take_touched())
        self._conn.close()

    def _commit_here(self, job: Job) -> bool:
        """Commit one item of `write_each` on the event loop; tell whether it was done.

        To wake the thread and to be woken by it takes longer than to leave a row in the page cache,
        and about as long as a quick disk takes to flush it. A slow one is the last for a while.
        """
        began = time.monotonic()
        if (
            job[2] is not None
            or began < self._loop_commits_from
            or not self._queue.empty()
            or not self.turn.acquire(blocking=False)
        ):
            return False
        try:
            outcomes = self._commit([job], began)
            self._count()
        finally:
            self.turn.release()
        self._note_loop_commit(began, time.monotonic())
        if outcomes[0][2] is not None:
            return False
        self._settle(outcomes, None)
        return True

    def _note_loop_commit(self, began: float, ended: float) -> None:
        usual = FLUSHED_COMMIT_SECONDS if self._flushed else LOOP_COMMIT_SECONDS
        if ended - began <= usual:
            self._pause_seconds *= 0.998
            return
        doubled = max(2 * self._pause_seconds, PAUSE_SECONDS_MIN)
        self._pause_seconds = min(doubled, PAUSE_SECONDS_MAX)
        # A disk that takes a second now and then holds up a fiftieth of the requests, not half.
        held = PAUSE_TIMES * (ended - began)
        self._loop_commits_from = ended + max(self._pause_seconds, held)

    def _count(self) -> None:
        """Count a commit, and have a checkpoint made when it is due."""
        self._commits += 1
        changes = self._conn.total_changes
        if changes - self._changes >= CHECKPOINT_CHANGES or self._commits >= CHECKPOINT_COMMITS:
            self._changes, self._commits = changes, 0
            self._checkpoint_due.set()

    def _commit(self, jobs: Sequence[Job], until: float) -> list[Outcome]:
        """Run `jobs` in one transaction, or each in its own when a job or the commit fails.

        Wait up to `until` (monotonic clock) while another process holds the file.
        """
        conn = self._conn
        while True:
            try:
                return self._attempt(jobs)
            except Exception as error:
                # Without disk space SQLite has rolled back by itself.
                if conn.in_transaction:
                    # A broken disk refuses it. The writer must live on; the next job rolls back
                    # first.
                    with contextlib.suppress(sqlite3.Error):
                        conn.execute("ROLLBACK")
                if not is_held(error) or time.monotonic() >= until:
                    if len(jobs) == 1:
                        return [(jobs[0][3], None, error)]
                    return [outcome for job in jobs for outcome in self._commit([job], until)]
            time.sleep(HELD_PAUSE_SECONDS)

    def _attempt(self, jobs: Sequence[Job]) -> list[Outcome]:
        now = time.monotonic()
        if now >= self._look_at:
            if lost := self.missing():
                raise DatabaseLost(f"{lost} was removed or replaced")
            self._look_at = now + LOOK_SECONDS
        if _is_one_statement(jobs):
            return _results(self._conn, jobs)
        self._conn.execute("BEGIN IMMEDIATE")
        outcomes = _results(self._conn, jobs)
        self._conn.execute("COMMIT")
        return outcomes

    def _take_touched(self) -> set[str] | None:
        if not self._touched:
            return None
        touched = set(self._touched)
        self._touched.clear()
        return touched


def _results(conn: sqlite3.Connection, jobs: Sequence[Job]) -> list[Outcome]:
    """Run jobs in their order, those of `write_each` together with their like."""
    outcomes: list[Outcome] = []
    for (fn, alone), group in itertools.groupby(jobs, lambda job: (job[0], job[2] is not None)):
        if alone:
            outcomes += [
                (future, fn(conn, *args, **kwargs or {}), None) for _, args, kwargs, future in group
            ]
            continue
        same = list(group)
        for at in range(0, len(same), ITEMS_MAX):
            fn(conn, [job[1][0] for job in same[at : at + ITEMS_MAX]])
        outcomes += [(job[3], None, None) for job in same]
    return outcomes


def _is_one_statement(jobs: Sequence[Job]) -> bool:
    """Tell whether jobs are of one `write_each`, so that they need no transaction around them.

    A statement is a transaction by itself. For each that it runs, a thread lets go of Python's lock
    twice, and waits for the event loop to let go of it.
    """
    fn = jobs[0][0]
    return len(jobs) <= ITEMS_MAX and all(job[2] is None and job[0] is fn for job in jobs)
