"""Filters by a part of a path, found among the distinct paths: the right rows, soon."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from minifn.models import Execution, Function
from minifn.store import executions, functions, late_indexes, paths, plans, schema, settings
from minifn.store.attributes import ALL_EXECUTIONS
from minifn.store.connection import connect
from minifn.store.migrations import MIGRATIONS
from minifn.store.queries import Combination, Comparison, Filter, Method, Query
from tests.store.filling import fill
from tests.store.steps import counted

ROWS = 1000
#: Most steps of a page with its total: to read all rows takes more.
STEPS_MAX = 4_000
PATH, STATUS = ALL_EXECUTIONS["request_path"], ALL_EXECUTIONS["status"]


def made(number: int) -> Execution:
    """Return a row. The last ones have a path that no other has."""
    last = "/late%_" if number >= ROWS - 5 else f"/Users/{number % 40}"
    return Execution(
        id=f"e{number:04}",
        function_id="other" if number % 10 == 9 else "fn",
        created_at=number,
        updated_at=number,
        status="failed" if number % 7 == 3 else "completed",
        request_path="/" if number % 3 and number < ROWS - 5 else last,
    )


def filled(path: Path) -> sqlite3.Connection:
    """Return a database of ROWS executions; the late indexes lack the newest 30."""
    conn = connect(path)
    schema.migrate(conn)
    for name in ("fn", "other"):
        functions.insert(conn, Function(id=name, name=name, runtime="r"))
    conn.execute("BEGIN")
    for number in range(ROWS):
        executions.insert(conn, made(number))
    assert fill(conn, ROWS - 30)
    conn.execute("COMMIT")
    return conn


@pytest.fixture(scope="module")
def conn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    connection = filled(tmp_path_factory.mktemp("paths") / "minifn.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "FEW", 30)
        yield connection
    connection.close()


def holds(item: Filter, path: str) -> bool:
    assert isinstance(item, Comparison)
    tests: dict[Method, Any] = {
        Method.CONTAINS: lambda text: text in path,
        Method.ENDS_WITH: path.endswith,
        Method.STARTS_WITH: path.startswith,
    }
    name = item.method.value
    positive = Method(name.removeprefix("not_"))
    return any(map(tests[positive], item.values)) is not name.startswith("not_")


def found(conn: sqlite3.Connection, *filters: Filter, function_id: str = "fn") -> list[str]:
    """Return the ids that a list finds, and test its total."""
    query = Query(filters=filters, limit=ROWS)
    if function_id:
        page = executions.page(conn, function_id, query)
    else:
        page = executions.page_of_all(conn, query)
    assert page.total == len(page.items)
    return [row.id for row in page.items]


@pytest.mark.parametrize("function_id", ["fn", "other", ""])
@pytest.mark.parametrize("most", [0, 2, 32])
@pytest.mark.parametrize(
    ("method", "values"),
    [
        (Method.CONTAINS, ("users",)),
        (Method.CONTAINS, ("Users/1",)),
        (Method.CONTAINS, ("sers/7", "e%")),
        (Method.CONTAINS, ("e%_",)),
        (Method.CONTAINS, ("nothing",)),
        (Method.NOT_CONTAINS, ("sers", "late")),
        (Method.ENDS_WITH, ("7",)),
        (Method.ENDS_WITH, ("",)),
        (Method.NOT_ENDS_WITH, ("7",)),
        (Method.STARTS_WITH, ("/Users/3",)),
        (Method.NOT_STARTS_WITH, ("/Users",)),
    ],
)
def test_each_part_finds_its_rows(
    conn: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    method: Method,
    values: tuple[str, ...],
    most: int,
    function_id: str,
) -> None:
    monkeypatch.setattr(paths, "VALUES_MAX", most)
    item = Comparison(method, PATH, values)
    failed = Comparison(Method.EQUAL, STATUS, ("failed",))
    rows = [made(number) for number in range(ROWS)]
    of_function = [row for row in rows if function_id in ("", row.function_id)]
    matching = {row.id for row in of_function if holds(item, row.request_path)}
    failures = {row.id for row in of_function if row.status == "failed"}
    for filters, expected in (
        ((item,), matching),
        ((item, failed), matching & failures),
        ((Combination("or", (item, failed)),), matching | failures),
    ):
        assert found(conn, *filters, function_id=function_id) == sorted(expected)


@pytest.mark.parametrize("function_id", ["fn", ""])
@pytest.mark.parametrize(
    ("method", "value"),
    [(Method.CONTAINS, "sers/27"), (Method.ENDS_WITH, "/27"), (Method.CONTAINS, "nothing")],
)
def test_few_rows_are_read(
    conn: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    method: Method,
    value: str,
    function_id: str,
) -> None:
    # The candidates of a plan are counted so far.
    monkeypatch.setattr(plans, "TOTAL_MAX", 50)
    with counted(conn) as took:
        found(conn, Comparison(method, PATH, (value,)), function_id=function_id)
    assert took.steps < STEPS_MAX


def known(conn: sqlite3.Connection, function_id: str) -> int:
    (count,) = conn.execute(
        "SELECT count(*) FROM executions_paths"
        " WHERE function = (SELECT sequence FROM functions WHERE id = ?)",
        (function_id,),
    ).fetchone()
    return int(count)


def test_of_a_function_with_too_many_paths_one_more_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "PATHS_MAX", 20)
    conn = filled(tmp_path / "minifn.db")
    assert (known(conn, "fn"), known(conn, "other")) == (21, 5)
    for function_id in ("fn", "other"):
        expected = [
            row.id
            for number in range(ROWS)
            if "sers/3" in (row := made(number)).request_path and row.function_id == function_id
        ]
        item = Comparison(Method.CONTAINS, PATH, ("sers/3",))
        assert found(conn, item, function_id=function_id) == expected
    conn.close()


def test_the_index_of_paths_of_an_older_database_is_filled_again(tmp_path: Path) -> None:
    before = next(place for place, sql in enumerate(MIGRATIONS) if "TABLE executions_paths" in sql)
    conn = connect(tmp_path / "older.db")
    for migration in MIGRATIONS[:before]:
        for statement in schema.statements(migration):
            conn.execute(statement)
    conn.execute(f"PRAGMA user_version = {before}")
    functions.insert(conn, Function(id="fn", name="fn", runtime="r"))
    for number in range(8):
        executions.insert(conn, replace(made(number), function_id="fn"))
    index = late_indexes.index_of("request_path")
    settings.put(conn, index, "8")
    schema.migrate(conn)
    item = Comparison(Method.CONTAINS, PATH, ("sers",))
    for paths_known in (0, 4):
        assert known(conn, "fn") == paths_known
        assert found(conn, item) == ["e0000", "e0003", "e0006"]
        fill(conn, 8)
    conn.close()


def test_paths_follow_changed_rows_and_go_with_their_function(tmp_path: Path) -> None:
    conn = filled(tmp_path / "minifn.db")
    conn.execute("UPDATE executions SET request_path = '/changed' WHERE id = 'e0005'")
    assert found(conn, Comparison(Method.CONTAINS, PATH, ("hange",))) == ["e0005"]
    conn.execute("DELETE FROM executions")
    assert found(conn, Comparison(Method.CONTAINS, PATH, ("sers",))) == []
    conn.execute("DELETE FROM functions WHERE id = 'fn'")
    assert (known(conn, "fn"), known(conn, "other")) == (0, 5)
    conn.close()
