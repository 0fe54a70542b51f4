"""Group commit, cancellation, listeners, deadlines, checkpoints, migrations and kills."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from minifn.errors import DatabaseTimeout
from minifn.ids import new_id
from minifn.models import Execution, Function
from minifn.store import (
    database as database_module,
    executions,
    functions,
    schema,
    settings,
    writer,
)
from minifn.store.connection import connect, give_back
from minifn.store.database import Database, DatabaseClosed
from tests.patience import patient


def _fail(conn: sqlite3.Connection, name: str) -> None:
    settings.put(conn, name, "half done")
    raise ValueError(name)


def _names(conn: sqlite3.Connection) -> set[str]:
    return {row[0] for row in conn.execute("SELECT name FROM settings")}


def test_a_failing_write_leaves_the_others_of_its_batch_alone(tmp_path: Path) -> None:
    async def run() -> tuple[list[BaseException | None], set[str]]:
        async with Database(tmp_path / "db") as database:
            writes = [database.write(settings.put, f"good {n}", "v") for n in range(3)]
            writes.insert(1, database.write(_fail, "bad"))
            return await asyncio.gather(*writes, return_exceptions=True), await database.read(
                _names
            )

    results, names = asyncio.run(run())
    assert [type(result) for result in results] == [type(None), ValueError, type(None), type(None)]
    assert names == {"good 0", "good 1", "good 2"}


def test_a_write_is_not_cancelled_with_its_caller(tmp_path: Path) -> None:
    async def run() -> str:
        async with Database(tmp_path / "db") as database:

            async def caller() -> None:
                await database.write(settings.put, "name", "value")

            task = asyncio.create_task(caller())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await database.read(settings.get, "name") or await database.write(
                settings.get, "name"
            )

    assert asyncio.run(run()) == "value"


def test_closing_finishes_all_jobs(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(tmp_path / "db")
        await database.open()
        writes = [database.write(settings.put, f"n{n}", "v") for n in range(1000)]
        await database.close()
        assert all(write.done() and write.exception() is None for write in writes)
        with pytest.raises(DatabaseClosed):
            database.write(settings.put, "late", "v")
        await database.close()
        async with Database(tmp_path / "db") as again:
            assert len(await again.read(_names)) == 1000

    asyncio.run(run())
    assert not (tmp_path / "db-wal").exists()


def test_listeners_are_called_before_the_writer_is_woken(tmp_path: Path) -> None:
    async def run() -> None:
        async with Database(tmp_path / "db") as database:
            heard: list[set[str]] = []
            database.subscribe(heard.append)
            await database.write(functions.insert, Function(id="a", name="A", runtime="r"))
            assert heard == [{"a"}]
            heard.clear()
            await database.write(settings.put, "unrelated", "v")
            assert heard == []
            await database.write(functions.mark_stale, "a")
            assert heard == [{"a"}]
            await database.write(functions.delete, "a")
            assert heard == [{"a"}, {"a"}]

    asyncio.run(run())


@pytest.mark.parametrize(("flushed", "pragma"), [(True, 2), (False, 1)])
def test_each_commit_is_flushed_unless_configured_otherwise(
    tmp_path: Path, flushed: bool, pragma: int
) -> None:
    """tests/crash/test_power.py tests a loss of power itself."""

    async def run() -> int:
        async with Database(tmp_path / "db", flushed=flushed) as database:
            return int(
                await database.write(lambda conn: conn.execute("PRAGMA synchronous").fetchone()[0])
            )

    assert asyncio.run(run()) == pragma


def test_a_read_sees_one_snapshot(tmp_path: Path) -> None:
    async def run() -> tuple[int, int]:
        async with Database(tmp_path / "db") as database:
            loop = asyncio.get_running_loop()

            def count_twice(conn: sqlite3.Connection) -> tuple[int, int]:
                before = len(_names(conn))
                asyncio.run_coroutine_threadsafe(_put(database), loop).result(10)
                return before, len(_names(conn))

            return await database.read(count_twice)

    async def _put(database: Database) -> None:
        await database.write(settings.put, "meanwhile", "v")

    assert asyncio.run(run()) == (0, 0)


def _for_ever(conn: sqlite3.Connection) -> None:
    conn.execute(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    ).fetchone()


def test_a_list_ends_at_its_deadline_and_delays_no_other_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "LIST_SECONDS_MAX", 2.0)

    async def run() -> None:
        async with Database(tmp_path / "db") as database:
            lists = [database.read_list(_for_ever) for _ in range(3)]
            await database.write(settings.put, "name", "value")
            assert await database.read(settings.get, "name") == "value"
            assert not any(one.done() for one in lists)
            ends = await asyncio.gather(*lists, return_exceptions=True)
            assert [type(end) for end in ends] == [DatabaseTimeout] * 3
            assert await database.read_list(settings.get, "name") == "value"

    asyncio.run(run())


@pytest.mark.parametrize("opened", range(database_module.READERS + 2))
def test_a_database_whose_threads_cannot_all_connect_is_closed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: int
) -> None:
    left = iter([connect] * opened)
    monkeypatch.setattr(
        database_module, "connect", lambda *args, **named: next(left, _no_memory)(*args, **named)
    )
    before = set(threading.enumerate())

    async def run() -> None:
        with pytest.raises(MemoryError):
            await Database(tmp_path / "db").open()
        names = {thread.name for thread in set(threading.enumerate()) - before}
        assert not {name for name in names if name.startswith("minifn")}

    asyncio.run(run())


def _no_memory(*_: object, **__: object) -> sqlite3.Connection:
    raise MemoryError


def test_readers_cannot_write(tmp_path: Path) -> None:
    async def run() -> None:
        async with Database(tmp_path / "db") as database:
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                await database.read(settings.put, "name", "value")

    asyncio.run(run())


def test_the_log_restarts_under_steady_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "LOG_PAGES_MAX", 64)
    monkeypatch.setattr(writer, "CHECKPOINT_COMMITS", 8)

    def restarts() -> int:
        # The header's fourth word counts the restarts of the log
        # (https://sqlite.org/walformat.html).
        return int.from_bytes((tmp_path / "db-wal").read_bytes()[12:16])

    async def run() -> None:
        async with Database(tmp_path / "db") as database:
            deadline = time.monotonic() + patient(20)
            while restarts() < 2:
                await database.write(settings.put, new_id(), "v" * 5000)
                assert time.monotonic() < deadline

    asyncio.run(run())


def test_a_file_of_a_newer_minifn_is_refused_and_not_changed(tmp_path: Path) -> None:
    conn = connect(tmp_path / "db")
    conn.execute("PRAGMA user_version = 1000")
    conn.close()

    async def run() -> None:
        async with Database(tmp_path / "db"):
            raise AssertionError("unreachable")

    with pytest.raises(schema.DatabaseTooNew, match="upgrade minifn"):
        asyncio.run(run())
    with contextlib.closing(connect(tmp_path / "db")) as conn:
        assert conn.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)


def test_free_pages_can_be_given_back(tmp_path: Path) -> None:
    async def run() -> tuple[int, int]:
        async with Database(tmp_path / "db") as database:
            await database.write(settings.put, "long", "v" * 1_000_000)
            await database.write(settings.put, "long", "")
            before = await database.read(_pages)
            await database.write(give_back, 1000)
            return before, await database.read(_pages)

    def _pages(conn: sqlite3.Connection) -> int:
        return int(conn.execute("PRAGMA page_count").fetchone()[0])

    before, after = asyncio.run(run())
    assert after < before - 200


_WRITER = """
import asyncio, sys
from pathlib import Path
from minifn.models import Execution
from minifn.store import executions
from minifn.store.database import Database
from minifn.values import new_id

async def main():
    async with Database(Path(sys.argv[1])) as database:
        async def client():
            while True:
                execution = Execution(id=new_id(), function_id="fn", status="completed")
                await database.write(executions.insert, execution)
                sys.stdout.write(execution.id + "\\n")
                sys.stdout.flush()
        await asyncio.gather(*(client() for _ in range(16)))

asyncio.run(main())
"""


def test_acknowledged_writes_survive_a_kill(tmp_path: Path) -> None:
    async def prepare() -> None:
        async with Database(tmp_path / "db") as database:
            await database.write(functions.insert, Function(id="fn", name="Fn", runtime="r"))

    asyncio.run(prepare())
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path / "db")], stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline() for _ in range(2000)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += writer.stdout.readlines()
    writer.stdout.close()
    writer.wait()
    ids = {line.decode().strip() for line in acknowledged if line.endswith(b"\n")}

    async def check() -> set[str]:
        async with Database(tmp_path / "db") as database:
            return await database.read(
                lambda conn: {row[0] for row in conn.execute("SELECT id FROM executions")}
            )

    assert ids <= asyncio.run(check())


def test_ids_of_executions_are_unique_within_a_function(conn: sqlite3.Connection) -> None:
    execution = Execution(id=new_id(), function_id="fn", status="completed")
    executions.insert(conn, execution)
    with pytest.raises(sqlite3.IntegrityError):
        executions.insert(conn, execution)
