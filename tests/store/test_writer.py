"""Writes of one turn in one statement, and rows that the event loop commits itself."""

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from minifn.store import settings, writer
from minifn.store.connection import connect
from minifn.store.database import Database


def _put_each(conn: sqlite3.Connection, names: list[str]) -> None:
    """Store the names, each with the number of names and the thread that stored them.

    Raises IntegrityError for the name "bad".
    """
    by = f"{len(names)} by {threading.current_thread().name}"
    rows = ", ".join(["(nullif(?, 'bad'), ?)"] * len(names))
    values = [value for name in names for value in (name, by)]
    conn.execute(f"INSERT INTO settings (name, value) VALUES {rows}", values)


async def _stored(database: Database, name: str) -> str:
    return await database.read(settings.get, name)


def test_one_statement_serves_the_writes_of_a_turn(tmp_path: Path) -> None:
    async def run() -> set[str]:
        async with Database(tmp_path / "db") as database:
            names = [str(number) for number in range(5)]
            await asyncio.gather(*(database.write_each(_put_each, name) for name in names))
            return {await _stored(database, name) for name in names}

    assert asyncio.run(run()) == {"5 by minifn-writer"}


def test_writes_of_one_turn_have_statements_of_a_bounded_size(tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with Database(tmp_path / "db") as database:
            names = [str(number) for number in range(writer.ITEMS_MAX + 10)]
            await asyncio.gather(*(database.write_each(_put_each, name) for name in names))
            return [await _stored(database, name) for name in names]

    by = [f"{count} by minifn-writer" for count in (writer.ITEMS_MAX, 10)]
    assert asyncio.run(run()) == [by[0]] * writer.ITEMS_MAX + [by[1]] * 10


def test_a_bad_item_fails_alone(tmp_path: Path) -> None:
    async def run() -> tuple[list[BaseException | None], str]:
        async with Database(tmp_path / "db") as database:
            writes = [database.write_each(_put_each, name) for name in ("a", "bad", "b")]
            results = await asyncio.gather(*writes, return_exceptions=True)
            return results, await _stored(database, "b")

    results, stored = asyncio.run(run())
    assert [type(result) for result in results] == [type(None), sqlite3.IntegrityError, type(None)]
    assert stored == "1 by minifn-writer"


@pytest.mark.parametrize("flushed", [False, True])
def test_the_loop_commits_a_lone_row(tmp_path: Path, flushed: bool) -> None:
    async def run() -> str:
        async with Database(tmp_path / "db", flushed=flushed) as database:
            assert database.write_each(_put_each, "a", alone=True).done()
            return await _stored(database, "a")

    assert asyncio.run(run()) == "1 by MainThread"


def test_the_thread_commits_a_row_while_another_thread_reads(tmp_path: Path) -> None:
    async def run() -> str:
        async with Database(tmp_path / "db") as database:
            read = database.read(settings.get, "a")
            await database.write_each(_put_each, "a", alone=True)
            await read
            return await _stored(database, "a")

    assert asyncio.run(run()) == "1 by minifn-writer"


def test_a_lone_row_joins_the_writes_of_its_turn(tmp_path: Path) -> None:
    async def run() -> set[str]:
        async with Database(tmp_path / "db", flushed=False) as database:
            first = database.write_each(_put_each, "a")
            await asyncio.gather(first, database.write_each(_put_each, "b", alone=True))
            return {await _stored(database, name) for name in ("a", "b")}

    assert asyncio.run(run()) == {"2 by minifn-writer"}


@pytest.mark.parametrize(("seconds", "times"), [(60.0, 0), (0.0, 1_000_000_000)])
def test_the_loop_pauses_after_a_slow_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, times: int
) -> None:
    monkeypatch.setattr(writer, "LOOP_COMMIT_SECONDS", 0.0)
    monkeypatch.setattr(writer, "PAUSE_SECONDS_MIN", seconds)
    monkeypatch.setattr(writer, "PAUSE_SECONDS_MAX", seconds)
    monkeypatch.setattr(writer, "PAUSE_TIMES", times)

    async def run() -> list[str]:
        async with Database(tmp_path / "db", flushed=False) as database:
            for name in ("a", "b"):
                await database.write_each(_put_each, name, alone=True)
            return [await _stored(database, name) for name in ("a", "b")]

    assert asyncio.run(run()) == ["1 by MainThread", "1 by minifn-writer"]


def test_the_loop_does_not_wait_for_a_file_that_another_process_holds(tmp_path: Path) -> None:
    async def run() -> tuple[float, str]:
        async with Database(tmp_path / "db", flushed=False) as database:
            other = connect(tmp_path / "db")
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            write = database.write_each(_put_each, "a", alone=True)
            held_up = time.monotonic() - began
            assert not write.done()
            other.execute("COMMIT")
            other.close()
            await write
            return held_up, await _stored(database, "a")

    held_up, stored = asyncio.run(run())
    assert held_up < 5
    assert stored == "1 by minifn-writer"


def test_closing_finishes_what_was_just_written(tmp_path: Path) -> None:
    async def run() -> None:
        async with Database(tmp_path / "db") as database:
            write = database.write_each(_put_each, "a")
        await write

    asyncio.run(run())
    with connect(tmp_path / "db") as conn:
        assert settings.get(conn, "a") == "1 by minifn-writer"
    conn.close()
