"""The late indexes hold what the rows up to their mark hold, whatever happens to the rows."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from minifn.models import Execution, Function
from minifn.store import executions, functions, kinds, late_indexes, retention, schema
from minifn.store.attributes import EXECUTIONS
from minifn.store.connection import connect
from minifn.store.kinds import BY_KIND
from minifn.store.migrations import MIGRATIONS
from minifn.store.queries import Comparison, Method, Query

#: The last schema in which SQLite kept the index of the order of creation.
BEFORE_BY_FUNCTION = 14
#: The last schema in which each column of few values had an index of its own.
BEFORE_BY_KIND = 16


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
    """Compare each index with the rows up to its mark."""
    columns = ", ".join(("function", *kinds.COLUMNS))
    expected = conn.execute(
        f"SELECT {columns}, sequence FROM executions WHERE sequence <= ? ORDER BY sequence",
        (late_indexes.mark(conn, BY_KIND),),
    ).fetchall()
    told = f"SELECT {columns}, sequence FROM {kinds.ROWS} ORDER BY sequence"
    assert conn.execute(told).fetchall() == expected
    # No kind is without rows.
    assert conn.execute("SELECT count(*) FROM executions_kinds").fetchone() == (
        len({row[:-1] for row in expected}),
    )
    for column in late_indexes.COLUMNS:
        index = late_indexes.index_of(column)
        columns = ", ".join(dict.fromkeys(("function", column, "sequence")))
        expected = conn.execute(
            f"SELECT {columns} FROM executions WHERE sequence <= ? ORDER BY {columns}",
            (late_indexes.mark(conn, index),),
        ).fetchall()
        assert conn.execute(f"SELECT * FROM {index}").fetchall() == expected, column


def test_rows_are_filled_in_once_there_are_enough(conn: sqlite3.Connection) -> None:
    insert(conn, range(9))
    assert not late_indexes.fill(conn, 10)
    assert late_indexes.mark(conn) == 0
    insert(conn, range(9, 25))
    assert late_indexes.fill(conn, 10)
    assert late_indexes.mark(conn) == 10
    assert_true_copies(conn)
    assert late_indexes.fill(conn, 10)
    assert not late_indexes.fill(conn, 10)
    assert late_indexes.mark(conn) == 20
    assert_true_copies(conn)


def test_inserting_rows_fills_them_in(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_indexes, "LOOK_ROWS", 5)
    monkeypatch.setattr(late_indexes.fill, "__defaults__", (10,))
    insert(conn, range(33))
    assert late_indexes.mark(conn) == 30
    assert_true_copies(conn)


@pytest.mark.parametrize("filled", [1, 15, 30])
def test_changes_on_both_sides_of_the_mark_are_followed(
    conn: sqlite3.Connection, filled: int
) -> None:
    insert(conn, range(30))
    assert late_indexes.fill(conn, filled)
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
    assert conn.execute("SELECT count(*) FROM executions_by_kind").fetchone() == (0,)


def older(conn: sqlite3.Connection, schema_number: int) -> None:
    """Make a database of an older schema with 30 executions, 20 of which are in its indexes."""
    for migration in MIGRATIONS[:schema_number]:
        for statement in schema.statements(migration):
            conn.execute(statement)
    conn.execute(f"PRAGMA user_version = {schema_number}")
    functions.insert(conn, Function(id="fn", name="fn", runtime="r"))
    insert(conn, range(30))
    conn.execute("INSERT INTO settings VALUES (?, '20')", (late_indexes.MARK,))
    kept = conn.execute("SELECT name FROM sqlite_master WHERE name LIKE 'executions_by_%'")
    for (index,) in kept.fetchall():
        described = conn.execute(f"PRAGMA table_info({index})")
        columns = ", ".join(row[1] for row in described.fetchall())
        conn.execute(f"INSERT INTO {index} SELECT {columns} FROM executions WHERE sequence <= 20")


@pytest.mark.parametrize(
    ("schema_number", "indexes"),
    [
        (BEFORE_BY_FUNCTION, [late_indexes.BY_FUNCTION, BY_KIND]),
        (BEFORE_BY_KIND, [BY_KIND]),
    ],
)
def test_an_older_database_gets_the_indexes_that_it_lacks_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema_number: int, indexes: list[str]
) -> None:
    monkeypatch.setattr(late_indexes, "BEHIND_ROWS", 7)
    waiting = Comparison(Method.EQUAL, EXECUTIONS["status"], ("waiting",))
    with contextlib.closing(connect(tmp_path / "older.db")) as conn:
        older(conn, schema_number)
        schema.migrate(conn)
        for index in indexes:
            marks = []
            while late_indexes.mark(conn, index) < 20:
                marks.append(late_indexes.mark(conn, index))
                assert_true_copies(conn)
                for filters in ((), (waiting,)):
                    query = Query(filters=filters, limit=30)
                    page = executions.page(conn, "fn", query)
                    assert [item.id for item in page.items] == [f"e{at}" for at in range(30)]
                    assert page.total == 30
                assert late_indexes.fill(conn, 10)
            assert marks == [0, 7, 14]
        assert late_indexes.fill(conn, 10)
        assert_true_copies(conn)
        assert {late_indexes.mark(conn, index) for index in ("", *indexes)} == {30}


def test_every_late_index_is_a_table(conn: sqlite3.Connection) -> None:
    names = conn.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'executions_by_%'"
    )
    expected = {late_indexes.index_of(column) for column in late_indexes.COLUMNS} | {BY_KIND}
    assert {name for (name,) in names} == expected
    assert all(map(late_indexes.is_late, expected))
