"""The late indexes hold what the rows up to their mark hold, whatever happens to the rows."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from minifn.models import Execution, Function
from minifn.store import (
    blocks,
    executions,
    functions,
    late_indexes,
    retention,
    schema,
    settings,
    usage,
)
from minifn.store.connection import connect
from minifn.store.migrations import MIGRATIONS
from minifn.store.queries import Query
from tests.store.filling import fill

#: The last schema in which SQLite kept the index of the order of creation, and the last one in
#: which all late indexes had one mark.
BEFORE_BY_FUNCTION, BEFORE_MARKS = 14, 16


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with a function `fn`."""
    with contextlib.closing(connect(tmp_path / "minifn.db")) as connection:
        schema.migrate(connection)
        functions.insert(connection, Function(id="fn", name="fn", runtime="r"))
        yield connection


def insert(conn: sqlite3.Connection, numbers: range) -> None:
    for number in numbers:
        execution = Execution(
            id=f"e{number}",
            function_id="fn",
            created_at=number % 7,
            updated_at=number,
            request_path=f"/{number % 5}",
            duration_seconds=number % 3 / 4,
        )
        executions.insert(conn, execution)


def assert_true_copies(conn: sqlite3.Connection) -> None:
    """Compare each index with the rows up to the mark."""
    for column in late_indexes.COLUMNS:
        index = late_indexes.index_of(column)
        columns = ", ".join(dict.fromkeys(("function", column, "sequence")))
        expected = conn.execute(
            f"SELECT {columns} FROM executions WHERE sequence <= ? ORDER BY {columns}",
            (late_indexes.mark(conn, index),),
        ).fetchall()
        assert conn.execute(f"SELECT * FROM {index}").fetchall() == expected, column


def marks(conn: sqlite3.Connection) -> list[int]:
    """Return the mark of each late index."""
    return [late_indexes.mark(conn, late_indexes.index_of(one)) for one in late_indexes.COLUMNS]


def test_rows_are_filled_in_once_there_are_enough(conn: sqlite3.Connection) -> None:
    count = len(late_indexes.COLUMNS)
    insert(conn, range(9))
    assert not late_indexes.fill(conn, 10)
    assert marks(conn) == [0] * count
    insert(conn, range(9, 25))
    for filled in range(1, count + 1):
        assert late_indexes.fill(conn, 10)
        assert marks(conn) == [10] * filled + [0] * (count - filled)
        assert_true_copies(conn)
    assert fill(conn, 10) == count
    assert marks(conn) == [20] * count
    assert_true_copies(conn)


def test_inserting_rows_fills_them_in(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_indexes, "STEP_ROWS", 2)
    monkeypatch.setattr(late_indexes, "ROWS", 30)
    monkeypatch.setattr(late_indexes, "ROWS_OF", {"duration_seconds": 60})
    monkeypatch.setattr(usage.count_next, "__defaults__", (30,))
    tails = {late_indexes.index_of(one): 0 for one in late_indexes.COLUMNS}
    counted = 0
    for number in range(400):
        insert(conn, range(number, number + 1))
        for index, longest in tails.items():
            tails[index] = max(longest, number - late_indexes.mark(conn, index))
        counted = max(counted, number - int(settings.get(conn, "usage_counted", "0")))
    assert_true_copies(conn)
    assert tails.pop("executions_by_duration_seconds") < 120
    assert max(tails.values()) < 90
    assert counted < 60


def test_a_killed_process_leaves_whole_steps(conn: sqlite3.Connection, tmp_path: Path) -> None:
    """Each step is one transaction: a copy of the files within it lacks it, one after it has it."""
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA wal_autocheckpoint = 0")
    # Pages that do not fit the cache reach the log before the commit.
    conn.execute("PRAGMA cache_size = 1")
    conn.execute("BEGIN")
    insert(conn, range(3000))
    conn.execute("COMMIT")
    before = marks(conn)
    for _ in late_indexes.COLUMNS:
        conn.execute("BEGIN")
        assert late_indexes.fill(conn, 3000)
        assert found_after_kill(conn, tmp_path) == before
        conn.execute("COMMIT")
        before = marks(conn)
        assert found_after_kill(conn, tmp_path) == before
    assert before == [3000] * len(before)


def found_after_kill(conn: sqlite3.Connection, tmp_path: Path) -> list[int]:
    """Return the marks in a copy of the files, whose late indexes must be right."""
    for name in ("minifn.db", "minifn.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / f"copy-{name}")
    with contextlib.closing(connect(tmp_path / "copy-minifn.db")) as copy:
        assert_true_copies(copy)
        return marks(copy)


@pytest.mark.parametrize("filled", [1, 15, 30])
def test_changes_on_both_sides_of_the_mark_are_followed(
    conn: sqlite3.Connection, filled: int
) -> None:
    insert(conn, range(30))
    assert fill(conn, filled)
    conn.execute(
        "UPDATE executions SET status = 'failed', duration_seconds = 9, updated_at = 99,"
        " response_status_code = 500, deployment_id = 'd' WHERE sequence % 3 = 0"
    )
    assert_true_copies(conn)
    conn.execute("DELETE FROM executions WHERE sequence % 4 = 0")
    assert_true_copies(conn)
    while late_indexes.fill(conn, 2):
        assert_true_copies(conn)
    conn.execute("INSERT INTO deleted_functions SELECT sequence FROM functions")
    conn.execute("UPDATE executions SET status = 'completed'")
    retention.purge(conn, 1000)
    assert_true_copies(conn)
    assert conn.execute("SELECT count(*) FROM executions_by_status").fetchone() == (0,)


@pytest.mark.parametrize("schema_version", [BEFORE_BY_FUNCTION, BEFORE_MARKS])
def test_the_marks_of_an_older_database_move_over(tmp_path: Path, schema_version: int) -> None:
    """The index of the order of creation is filled by steps, if the database lacks it."""
    with contextlib.closing(connect(tmp_path / "older.db")) as conn:
        for migration in MIGRATIONS[:schema_version]:
            for statement in schema.statements(migration):
                conn.execute(statement)
        conn.execute(f"PRAGMA user_version = {schema_version}")
        functions.insert(conn, Function(id="fn", name="fn", runtime="r"))
        insert(conn, range(30))
        has_function = schema_version > BEFORE_BY_FUNCTION
        for column in late_indexes.COLUMNS:
            if column != "function" or has_function:
                columns = ", ".join(dict.fromkeys(("function", column, "sequence")))
                conn.execute(
                    f"INSERT INTO {late_indexes.index_of(column)} SELECT {columns}"
                    " FROM executions WHERE sequence <= 20"
                )
        if has_function:
            blocks.add(conn, 0, 20)
        settings.put(conn, "executions_indexed", "20")
        schema.migrate(conn)
        expected = [20] * (len(late_indexes.COLUMNS) - 1)
        assert marks(conn) == [*expected, 20 if has_function else 0]
        assert settings.get(conn, "executions_indexed") == ""
        while True:
            assert_true_copies(conn)
            assert [item.id for item in executions.page(conn, "fn", Query(limit=30)).items] == [
                f"e{number}" for number in range(30)
            ]
            if not late_indexes.fill(conn, 5):
                break
        assert marks(conn) == [30] * len(late_indexes.COLUMNS)


def test_every_late_index_is_a_table(conn: sqlite3.Connection) -> None:
    names = conn.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'executions_by_%'"
    )
    expected = {late_indexes.index_of(column) for column in late_indexes.COLUMNS}
    assert {name for (name,) in names} == expected
    assert all(map(late_indexes.is_late, expected))
