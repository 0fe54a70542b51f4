"""A filter, an order and a cursor of one attribute together: the right rows, soon."""

import itertools
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from minifn.models import Execution, Function
from minifn.store import executions, functions, plans, schema
from minifn.store.attributes import EXECUTIONS
from minifn.store.connection import connect
from minifn.store.queries import CREATION, Comparison, Method, Order, Query
from tests.store.filling import fill
from tests.store.steps import counted

ROWS = 1000
#: Most steps of a page: to read all rows takes more.
STEPS_MAX = 5_000
COLUMNS: dict[str, Any] = {
    "status": "completed",
    "response_status_code": 200,
    "duration_seconds": 0.25,
    "request_path": "/5",
    "created_at": 500,
}
METHODS = (
    *(Method.EQUAL, Method.NOT_EQUAL, Method.LESS_THAN, Method.LESS_THAN_EQUAL),
    *(Method.GREATER_THAN, Method.GREATER_THAN_EQUAL),
)


def made(number: int) -> Execution:
    return Execution(
        id=f"e{number:04}",
        function_id="fn",
        created_at=number,
        updated_at=number,
        status="failed" if number % 10 == 3 else "completed",
        response_status_code=(200, 200, 404, 200, 500)[number % 5],
        duration_seconds=(number * 7919 % 100) / 100,
        request_path=f"/{number % 10}",
    )


@pytest.fixture(scope="module")
def conn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A database of ROWS executions, with thresholds in proportion.

    The late indexes lack the newest 30.
    """
    connection = connect(tmp_path_factory.mktemp("orders") / "minifn.db")
    schema.migrate(connection)
    functions.insert(connection, Function(id="fn", name="fn", runtime="r"))
    connection.execute("BEGIN")
    for number in range(ROWS):
        executions.insert(connection, made(number))
    assert fill(connection, ROWS - 30)
    connection.execute("COMMIT")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "FEW", 30)
        patch.setattr(plans, "TOTAL_MAX", 50)
        yield connection
    connection.close()


def holds(method: Method, value: Any, bound: Any) -> bool:
    known: dict[Method, bool] = {
        Method.EQUAL: value == bound,
        Method.NOT_EQUAL: value != bound,
        Method.LESS_THAN: value < bound,
        Method.LESS_THAN_EQUAL: value <= bound,
        Method.GREATER_THAN: value > bound,
        Method.GREATER_THAN_EQUAL: value >= bound,
    }
    return known[method]


def expected(column: str, query: Query) -> list[str]:
    """Return the ids of a page, found without a database."""
    (order,), (filtered,) = query.orders, query.filters
    assert isinstance(filtered, Comparison)

    def key(number: int) -> tuple[Any, ...]:
        first = () if order.attribute is CREATION else (getattr(made(number), column),)
        return (*first, number)

    found = sorted(range(ROWS), key=key, reverse=order.descending)
    at = found.index(int(query.cursor[1:])) if query.cursor else -1
    beyond = found[:at] if query.cursor_before else found[at + 1 :]
    kept = [
        made(number).id
        for number in beyond
        if holds(filtered.method, getattr(made(number), column), filtered.values[0])
    ]
    return kept[-query.limit :] if query.cursor_before else kept[: query.limit]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.value)
def test_the_rows_and_the_time_of_every_page(
    conn: sqlite3.Connection, column: str, method: Method
) -> None:
    attribute = EXECUTIONS[column]
    cursors = [("", False), *itertools.product(("e0003", "e0500", "e0985"), (False, True))]
    for descending, (cursor, before) in itertools.product((False, True), cursors):
        query = Query(
            filters=(Comparison(method, attribute, (COLUMNS[column],)),),
            orders=(Order(attribute, descending),),
            cursor=cursor,
            cursor_before=before,
            limit=7,
        )
        with counted(conn) as took:
            page = executions.page(conn, "fn", query, count=False)
        assert [item.id for item in page.items] == expected(column, query), query
        assert took.steps < STEPS_MAX, query
