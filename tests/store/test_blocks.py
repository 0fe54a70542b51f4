"""A walk in the list's order leaves out the rows that a filter excludes."""

import sqlite3
from collections.abc import Iterator

import pytest

from minifn.models import Execution, Function
from minifn.store import executions, functions, plans, schema
from minifn.store.attributes import ALL_EXECUTIONS as ATTRIBUTES
from minifn.store.connection import connect
from minifn.store.queries import CREATION, Comparison, Method, Order, Query
from tests.store.filling import fill
from tests.store.steps import counted

ROWS, BLOCK = 3000, 100
FUNCTIONS = 10
#: Most steps of a page: a walk over half of the rows takes more.
STEPS_MAX = 7_000
#: Kinds of all functions, and most steps to find the first rows of one.
KINDS, STEPS_OF_KIND = 100, 80


def made(number: int) -> Execution:
    """Return a row. Every second one is of `fn`, which has a deployment for each 300 rows."""
    return Execution(
        id=f"e{number:04}",
        function_id="fn" if number % 2 else f"other{number // 2 % (FUNCTIONS - 1)}",
        created_at=number,
        updated_at=number + 5,
        duration_seconds=(number * 7919 % 1000) / 1000,
        deployment_id=f"d{number // 300}",
    )


@pytest.fixture(scope="module")
def conn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A database of ROWS executions in blocks, with thresholds in proportion and a tail."""
    connection = connect(tmp_path_factory.mktemp("blocks") / "minifn.db")
    schema.migrate(connection)
    for name in ("fn", *(f"other{number}" for number in range(FUNCTIONS - 1))):
        functions.insert(connection, Function(id=name, name=name, runtime="r"))
    connection.execute("BEGIN")
    for number in range(ROWS):
        executions.insert(connection, made(number))
        if number < ROWS - 30 and number % BLOCK == BLOCK - 1:
            assert fill(connection, BLOCK)
    connection.execute("COMMIT")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "FEW", 30)
        patch.setattr(plans, "TOTAL_MAX", 50)
        yield connection
    connection.close()


def read(conn: sqlite3.Connection, query: Query, function_id: str = "") -> tuple[list[str], int]:
    """Return the ids of a page, and the steps that SQLite took."""
    with counted(conn) as took:
        if function_id:
            page = executions.page(conn, function_id, query, count=False)
        else:
            page = executions.page_of_all(conn, query, count=False)
    return [item.id for item in page.items], took.steps


@pytest.mark.parametrize("order", ["sequence", "created_at"])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("cursor", ["", "e0901", "e2101", "e2981"])
@pytest.mark.parametrize(
    ("column", "method", "value"),
    [
        ("id", Method.GREATER_THAN, "e1500"),
        ("id", Method.LESS_THAN, "e1500"),
        ("id", Method.STARTS_WITH, "e1"),
        ("updated_at", Method.GREATER_THAN_EQUAL, 2000),
        ("updated_at", Method.LESS_THAN_EQUAL, 1000),
        ("deployment_id", Method.EQUAL, "d1"),
        ("deployment_id", Method.EQUAL, "d9"),
        ("deployment_id", Method.GREATER_THAN, "d6"),
        ("deployment_id", Method.LESS_THAN, "d2"),
    ],
)
def test_a_long_range_in_order_of_creation(
    conn: sqlite3.Connection,
    column: str,
    method: Method,
    value: str | int,
    order: str,
    descending: bool,
    cursor: str,
) -> None:
    attribute = CREATION if order == "sequence" else ATTRIBUTES[order]
    query = Query(
        filters=(Comparison(method, ATTRIBUTES[column], (value,)),),
        orders=(Order(attribute, descending),),
        cursor=cursor,
        limit=7,
    )
    tests = {
        Method.EQUAL: lambda found: found == value,
        Method.LESS_THAN: lambda found: found < value,
        Method.LESS_THAN_EQUAL: lambda found: found <= value,
        Method.GREATER_THAN: lambda found: found > value,
        Method.GREATER_THAN_EQUAL: lambda found: found >= value,
        Method.STARTS_WITH: lambda found: found.startswith(value),
    }
    every = [made(number) for number in range(1, ROWS, 2)]
    if descending:
        every.reverse()
    beyond = every[[row.id for row in every].index(cursor) + 1 :] if cursor else every
    expected = [row.id for row in beyond if tests[method](getattr(row, column))][:7]
    ids, steps = read(conn, query, "fn")
    assert ids == expected
    assert steps < STEPS_MAX


@pytest.mark.parametrize("column", ["duration_seconds", "created_at", "deployment_id"])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("cursor", ["", "e1500"])
def test_all_functions_in_the_order_of_a_column(
    conn: sqlite3.Connection, column: str, descending: bool, cursor: str
) -> None:
    query = Query(orders=(Order(ATTRIBUTES[column], descending),), cursor=cursor, limit=7)
    every = sorted(
        range(ROWS),
        key=lambda number: (getattr(made(number), column), number),
        reverse=descending,
    )
    if cursor:
        every = every[every.index(int(cursor[1:])) + 1 :]
    ids, steps = read(conn, query)
    assert ids == [made(number).id for number in every[:7]]
    assert steps < (KINDS * STEPS_OF_KIND if column == "duration_seconds" else 0) + STEPS_MAX


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    "item",
    [
        Comparison(Method.EQUAL, ATTRIBUTES["deployment_id"], ("d1", "d8")),
        Comparison(Method.BETWEEN, ATTRIBUTES["created_at"], (590, 2410)),
    ],
    ids=["two deployments", "between times"],
)
def test_all_functions_in_the_order_of_a_time_leave_out_others(
    conn: sqlite3.Connection, item: Comparison, descending: bool
) -> None:
    query = Query(
        filters=(item,),
        orders=(Order(ATTRIBUTES["created_at"], descending),),
        cursor="e2403" if descending else "e0596",
        limit=7,
    )
    every = [row for row in map(made, range(ROWS)) if holds(item, row)]
    beyond = (
        [row.id for row in reversed(every) if row.created_at < 2403]
        if descending
        else [row.id for row in every if row.created_at > 596]
    )
    ids, steps = read(conn, query)
    assert ids == beyond[:7]
    # The first row of each function is found in each range.
    assert steps < 2 * STEPS_MAX


def holds(item: Comparison, row: Execution) -> bool:
    if item.method is Method.BETWEEN:
        return 590 <= row.created_at <= 2410
    return row.deployment_id in item.values


def test_rows_far_from_the_others_cost_no_walk(conn: sqlite3.Connection) -> None:
    later = Comparison(Method.GREATER_THAN, ATTRIBUTES["updated_at"], (2500,))
    conn.execute("SAVEPOINT before")
    try:
        changed = [f"e{number:04}" for number in range(51, 1751, 200)]
        marks = ", ".join("?" * len(changed))
        conn.execute(f"UPDATE executions SET updated_at = 2900 WHERE id IN ({marks})", changed)
        expected = [*changed, *(f"e{number:04}" for number in range(2497, ROWS, 2))]
        for descending in (False, True):
            orders = (Order(CREATION, descending),)
            query = Query(filters=(later,), orders=orders, limit=len(changed) + 5)
            ids, steps = read(conn, query, "fn")
            assert ids == (expected[::-1] if descending else expected)[: query.limit]
            assert descending is False or steps < STEPS_MAX
        query = Query(filters=(later,), orders=(Order(CREATION),), cursor="e0051", limit=2)
        ids, steps = read(conn, query, "fn")
        assert ids == expected[1:3]
        assert steps < STEPS_MAX
    finally:
        conn.execute("ROLLBACK TO before")
        conn.execute("RELEASE before")


def test_blocks_follow_changes(conn: sqlite3.Connection) -> None:
    query = Query(filters=(Comparison(Method.GREATER_THAN, ATTRIBUTES["updated_at"], (9000,)),))
    conn.execute("SAVEPOINT before")
    try:
        conn.execute("UPDATE executions SET updated_at = 9999 WHERE id BETWEEN 'e0100' AND 'e0499'")
        ids, _ = read(conn, query, "fn")
        assert ids == [f"e{number:04}" for number in range(101, 151, 2)]
        conn.execute("DELETE FROM executions WHERE sequence <= 1000")
        conn.execute("UPDATE executions SET updated_at = 9999 WHERE id >= 'e2900'")
        assert fill(conn, 20)
        (first,) = conn.execute("SELECT min(first) FROM executions_blocks").fetchone()
        assert first == 1001
        ids, _ = read(conn, query, "fn")
        assert ids == [f"e{number:04}" for number in range(2901, 2951, 2)]
    finally:
        conn.execute("ROLLBACK TO before")
        conn.execute("RELEASE before")
