"""The late indexes hold what the rows up to their mark hold, whatever happens to the rows."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from minifn.models import Execution, Function
from minifn.store import (
    executions,
    filling,
    functions,
    kinds,
    late_indexes,
    plans,
    retention,
    schema,
    settings,
    usage,
)
from minifn.store.attributes import EXECUTIONS
from minifn.store.connection import connect
from minifn.store.kinds import BY_KIND
from minifn.store.migrations import MIGRATIONS
from minifn.store.paging import Page
from minifn.store.queries import CREATION, Comparison, Method, Order, Query
from tests.store.filling import fill, marks

#: The last schema in which SQLite kept the index of the order of creation, the last one in which
#: all late indexes had one mark, the last one without kinds, and the last one in which indexes of
#: paths and durations began with the function.
BEFORE_BY_FUNCTION, BEFORE_MARKS, BEFORE_KINDS, BEFORE_ORDERED = 14, 16, 17, 18
#: Columns that a late index holds as they are.
COLUMNS = tuple(column for column in late_indexes.COLUMNS if column != "kind")


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with a function `fn`."""
    with contextlib.closing(connect(tmp_path / "minifn.db")) as connection:
        connection.execute("PRAGMA synchronous = OFF")
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
    """Compare the rows of each index that count with those up to its mark."""
    columns = ", ".join(("function", *kinds.COLUMNS))
    expected = conn.execute(
        f"SELECT {columns}, sequence FROM executions WHERE sequence <= ? ORDER BY sequence",
        (late_indexes.mark(conn, BY_KIND),),
    ).fetchall()
    told = f"SELECT {columns}, sequence FROM {kinds.rows(BY_KIND)} ORDER BY sequence"
    assert conn.execute(told).fetchall() == expected
    # No kind is without rows.
    (count,) = conn.execute("SELECT count(*) FROM executions_kinds").fetchone()
    assert count == len({row[:-1] for row in expected})
    for column in COLUMNS:
        index = late_indexes.index_of(column)
        columns = ", ".join(dict.fromkeys(("function", column, "sequence")))
        source = index
        if index in kinds.INDEXES:
            columns, source = f"{', '.join(kinds.COLUMNS)}, {columns}", kinds.rows(index)
        held = late_indexes.held(conn, index)
        expected = conn.execute(
            f"SELECT {columns} FROM executions WHERE sequence <= ? ORDER BY {columns}", held.values
        ).fetchall()
        found = conn.execute(
            f"SELECT {columns} FROM {source} WHERE {held.sql} ORDER BY {columns}", held.values
        )
        assert found.fetchall() == expected, column
        assert (
            conn.execute(f"SELECT count(*) FROM {source}").fetchone()
            == conn.execute(f"SELECT count(*) FROM {index}").fetchone()
        )


def test_rows_are_filled_in_once_there_are_enough(conn: sqlite3.Connection) -> None:
    count = len(late_indexes.COLUMNS)
    insert(conn, range(9))
    assert not filling.fill(conn, 10)
    assert marks(conn) == [0] * count
    insert(conn, range(9, 25))
    for filled in range(1, count + 1):
        assert filling.fill(conn, 10)
        assert marks(conn) == [10] * filled + [0] * (count - filled)
        assert_true_copies(conn)
    assert fill(conn, 10) == count
    assert marks(conn) == [20] * count
    assert_true_copies(conn)


def test_tails_stay_short(conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at every LOOK_ROWS rows keep up, also with scattered values in many slices."""
    for name in ("ROWS", "SLICE_ROWS", "LOOK_ROWS"):
        monkeypatch.setattr(filling, name, getattr(filling, name) // 100)
    rows_of = {column: rows // 100 for column, rows in filling.ROWS_OF.items()}
    monkeypatch.setattr(filling, "ROWS_OF", rows_of)
    monkeypatch.setattr(usage.count_next, "__defaults__", (usage.ROWS_MAX // 100,))
    tails = dict.fromkeys(late_indexes.COLUMNS, 0)
    uncounted = 0
    for number in range(800):
        insert_scattered(conn, range(number, number + 1))
        for column in tails:
            mark = late_indexes.mark(conn, late_indexes.index_of(column))
            tails[column] = max(tails[column], number - mark)
        uncounted = max(uncounted, number - int(settings.get(conn, "usage_counted", "0")))
        if number % filling.LOOK_ROWS == 0:
            for _ in range(filling.LOOK_STEPS):
                if not executions.fill_indexes(conn):
                    break
    assert_true_copies(conn)
    for column, tail in tails.items():
        assert tail < 2 * rows_of.get(column, 40), column
    assert uncounted < 2 * 20


def insert_scattered(conn: sqlite3.Connection, numbers: range) -> None:
    """Insert executions whose paths and durations lie all over their indexes."""
    for number in numbers:
        execution = Execution(
            id=f"e{number}",
            function_id="fn",
            created_at=number,
            updated_at=number,
            request_path=f"/{number * 37 % 1009}",
            duration_seconds=number * 53 % 997 / 4,
        )
        executions.insert(conn, execution)


def queries() -> list[Query]:
    """Return queries that read late indexes, from their ends and from the middle."""
    by = [
        Query(orders=(Order(attribute, descending),), limit=7, cursor=cursor)
        for attribute in (
            CREATION,
            *(EXECUTIONS[name] for name in ("duration_seconds", "request_path", "status")),
        )
        for descending in (False, True)
        for cursor in ("", "e20")
    ]
    ranges = [
        Query(filters=(Comparison(Method.GREATER_THAN, EXECUTIONS[name], (value,)),), limit=9)
        for name, value in (("duration_seconds", 10.0), ("request_path", "/5"), ("updated_at", 30))
    ]
    return [*by, *ranges]


def answers(conn: sqlite3.Connection) -> list[Page[Execution]]:
    """Return the pages of all queries, of a function and of all of them."""
    of_one = [executions.page(conn, "fn", query) for query in queries()]
    return [*of_one, *(executions.page_of_all(conn, query) for query in queries())]


def test_lists_are_right_after_every_step(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of an index beyond its mark do not count; changed and deleted rows are followed."""
    monkeypatch.setattr(filling, "SLICE_ROWS", 11)
    monkeypatch.setattr(plans, "FEW", 3)
    monkeypatch.setattr(plans, "TOTAL_MAX", 8)
    functions.insert(conn, Function(id="other", name="other", runtime="r"))
    insert_scattered(conn, range(60))
    expected = answers(conn)
    steps = beyond = 0
    while filling.fill(conn, 30):
        steps += 1
        assert answers(conn) == expected
        assert_true_copies(conn)
        of_duration = late_indexes.index_of("duration_seconds")
        (last,) = conn.execute(f"SELECT coalesce(max(sequence), 0) FROM {of_duration}").fetchone()
        beyond += last > late_indexes.mark(conn, of_duration)
        if steps % 5 == 0:
            conn.execute("DELETE FROM executions WHERE sequence = ?", (steps,))
            conn.execute(
                "UPDATE executions SET duration_seconds = 250 - duration_seconds,"
                " request_path = '/x' || request_path WHERE sequence % 7 = ? % 7",
                (steps,),
            )
            expected = without_indexes(conn)
            assert answers(conn) == expected
    assert marks(conn) == [60] * len(late_indexes.COLUMNS)
    assert steps > 2 * len(late_indexes.COLUMNS)
    assert beyond > 3


def without_indexes(conn: sqlite3.Connection) -> list[Page[Execution]]:
    """Return the answers of a copy of the rows whose late indexes are empty."""
    with contextlib.closing(connect(Path(":memory:"))) as copy:
        conn.backup(copy)
        for column in late_indexes.COLUMNS:
            copy.execute(f"DELETE FROM {late_indexes.index_of(column)}")
            settings.remove(copy, late_indexes.index_of(column))
        copy.execute("DELETE FROM executions_blocks")
        return answers(copy)


def test_a_killed_process_leaves_whole_steps(
    conn: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step is one transaction: a copy of the files within it lacks it, one after it has it."""
    monkeypatch.setattr(filling, "SLICE_ROWS", 200)
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA wal_autocheckpoint = 0")
    # Pages that do not fit the cache reach the log before the commit.
    conn.execute("PRAGMA cache_size = 1")
    conn.execute("BEGIN")
    insert_scattered(conn, range(600))
    conn.execute("COMMIT")
    done, steps = marks(conn), 0
    while min(done) < 600:
        conn.execute("BEGIN")
        assert filling.fill(conn, 600)
        assert found_after_kill(conn, tmp_path) == done
        conn.execute("COMMIT")
        done = marks(conn)
        steps += 1
        assert found_after_kill(conn, tmp_path) == done
    assert steps > len(done)


def found_after_kill(conn: sqlite3.Connection, tmp_path: Path) -> list[int]:
    """Return the marks in a copy of the files, whose late indexes must be right."""
    for name in ("minifn.db", "minifn.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / f"copy-{name}")
    with contextlib.closing(connect(tmp_path / "copy-minifn.db")) as copy:
        copy.execute("PRAGMA synchronous = OFF")
        assert_true_copies(copy)
        found = marks(copy)
        # Rows that were lost are filled in again.
        fill(copy, 600)
        assert marks(copy) == [600] * len(found)
        assert_true_copies(copy)
    return found


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
    while filling.fill(conn, 2):
        assert_true_copies(conn)
    conn.execute("INSERT INTO deleted_functions SELECT sequence FROM functions")
    conn.execute("UPDATE executions SET status = 'completed'")
    retention.purge(conn, 1000)
    assert_true_copies(conn)
    assert conn.execute("SELECT count(*) FROM executions_by_kind").fetchone() == (0,)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE executions SET status = 'failed' WHERE sequence IN (12, 18)",
        "DELETE FROM executions WHERE sequence BETWEEN 11 AND 15",
        # Their kinds end, were it not for newer rows.
        "DELETE FROM executions WHERE sequence <= 10",
    ],
)
@pytest.mark.parametrize("is_new", [False, True], ids=["same process", "after a restart"])
def test_kinds_are_right_when_rows_change_while_they_are_noted(
    conn: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    change: str,
    is_new: bool,
) -> None:
    monkeypatch.setattr(filling, "NOTED_ROWS", 5)
    insert(conn, range(10))
    fill(conn, 10)
    insert(conn, range(10, 20))
    of_kinds = late_indexes.mark(conn, BY_KIND)
    if is_new:
        while min(marks(conn)[:4]) < 20:
            assert filling.fill(conn, 10)
        of_kinds = 20
    with contextlib.closing(connect(tmp_path / "minifn.db")) as process:
        used = process if is_new else conn
        assert filling.fill(used, 10)
        assert (late_indexes.mark(used, BY_KIND) == of_kinds) is is_new
        used.execute(change)
        while filling.fill(used, 10):
            assert_true_copies(used)
        assert marks(used) == [20] * len(late_indexes.COLUMNS)
        assert_true_copies(used)


def test_rows_of_a_deleted_function_are_filled_in_until_they_are_purged(
    conn: sqlite3.Connection,
) -> None:
    insert(conn, range(10))
    conn.execute("INSERT INTO deleted_functions SELECT sequence FROM functions")
    conn.execute("DELETE FROM functions")
    fill(conn, 10)
    assert marks(conn) == [10] * len(late_indexes.COLUMNS)
    assert_true_copies(conn)
    assert retention.purge(conn, 100) == 10
    assert_true_copies(conn)


@pytest.mark.parametrize(
    "schema_version", [BEFORE_BY_FUNCTION, BEFORE_MARKS, BEFORE_KINDS, BEFORE_ORDERED]
)
def test_the_marks_of_an_older_database_move_over(tmp_path: Path, schema_version: int) -> None:
    """Indexes of kinds and of the order of creation are filled by steps if they are new."""
    with contextlib.closing(connect(tmp_path / "older.db")) as conn:
        conn.execute("PRAGMA synchronous = OFF")
        for migration in MIGRATIONS[:schema_version]:
            for statement in schema.statements(migration):
                conn.execute(statement)
        conn.execute(f"PRAGMA user_version = {schema_version}")
        functions.insert(conn, Function(id="fn", name="fn", runtime="r"))
        insert(conn, range(30))
        has_function = schema_version > BEFORE_BY_FUNCTION
        for column in COLUMNS:
            if column != "function" or has_function:
                columns = ", ".join(dict.fromkeys(("function", column, "sequence")))
                conn.execute(
                    f"INSERT INTO {late_indexes.index_of(column)} SELECT {columns}"
                    " FROM executions WHERE sequence <= 20"
                )
        if has_function:
            conn.execute(
                "INSERT INTO executions_blocks SELECT min(sequence), max(sequence), min(id),"
                " max(id), min(created_at), max(created_at), min(updated_at), max(updated_at)"
                " FROM executions WHERE sequence <= 20"
            )
        if schema_version > BEFORE_KINDS:
            kinds.note(conn, 0, 20, 20)
            kinds.add(conn, "", "sequence <= ?", (20,))
        if schema_version < BEFORE_KINDS:
            settings.put(conn, "executions_indexed", "20")
        else:
            for column in ("kind" if schema_version > BEFORE_KINDS else "status", *COLUMNS):
                settings.put(conn, f"executions_by_{column}", "20")
        schema.migrate(conn)
        has_kind = schema_version > BEFORE_KINDS
        assert marks(conn) == [20 * has_kind, 20 * has_function, 20, 20, 0, 0]
        assert settings.get(conn, "executions_indexed") == ""
        assert settings.get(conn, "executions_by_status") == ""
        waiting = Comparison(Method.EQUAL, EXECUTIONS["status"], ("waiting",))
        while True:
            assert_true_copies(conn)
            for query in (Query(limit=30), Query(limit=30, filters=(waiting,))):
                page = executions.page(conn, "fn", query)
                assert [item.id for item in page.items] == [f"e{number}" for number in range(30)]
                assert page.total == 30
            if not filling.fill(conn, 5):
                break
        assert marks(conn) == [30] * len(late_indexes.COLUMNS)


def test_every_late_index_is_a_table(conn: sqlite3.Connection) -> None:
    names = conn.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'executions_by_%'"
    )
    expected = {late_indexes.index_of(column) for column in late_indexes.COLUMNS}
    assert {name for (name,) in names} == expected
    assert all(map(late_indexes.is_late, expected))
