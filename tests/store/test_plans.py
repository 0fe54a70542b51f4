"""A long list is read from an index, whatever a client filters or orders by."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from minifn.models import Execution, Function
from minifn.store import executions, functions, lists, plans, schema
from minifn.store.database import connect
from minifn.store.queries import Filter, Kind, Order, Query

VALUES: dict[Kind, Any] = {
    Kind.STRING: "failed",
    Kind.INTEGER: 500,
    Kind.FLOAT: 0.9,
    Kind.INSTANT: 950,
}


@pytest.fixture(scope="module")
def conn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A thousand executions of one function, nearly all alike, with thresholds in proportion."""
    connection = connect(tmp_path_factory.mktemp("plans") / "minifn.db")
    schema.migrate(connection)
    functions.insert(connection, Function(id="fn", name="fn", runtime="r"))
    connection.execute("BEGIN")
    for number in range(1000):
        execution = Execution(
            id=f"e{number}",
            function_id="fn",
            created_at=number,
            updated_at=number,
            status="completed" if number % 100 else "failed",
            response_status_code=200 if number % 100 else 500,
            duration_seconds=number / 1000,
            user_id="ann" if number % 50 == 0 else "",
        )
        executions.insert(connection, execution)
    connection.execute("COMMIT")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "FEW", 30)
        patch.setattr(plans, "TOTAL_MAX", 50)
        patch.setattr("minifn.store.paging.TOTAL_MAX", 50)
        yield connection
    connection.close()


def steps(conn: sqlite3.Connection, query: Query, user_id: str | None = None) -> list[str]:
    """Return the steps SQLite takes for a page, as EXPLAIN QUERY PLAN words them."""
    statements: list[str] = []
    conn.set_trace_callback(statements.append)
    try:
        executions.page(conn, "fn", query, user_id=user_id)
    finally:
        conn.set_trace_callback(None)
    found = [sql for sql in statements if "FROM executions" in sql]
    assert len(found) >= 2
    return [row[3] for sql in found for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}")]


def assert_no_full_scan(found: list[str]) -> None:
    for step in found:
        assert not step.startswith("SCAN executions"), found


@pytest.mark.parametrize("attribute", lists.EXECUTIONS)
@pytest.mark.parametrize("method", ["equal", "notEqual", "greaterThan", "between"])
def test_every_filter_is_served_by_its_index(
    conn: sqlite3.Connection, attribute: str, method: str
) -> None:
    item = lists.EXECUTIONS[attribute]
    values = (VALUES[item.kind],) * (2 if method == "between" else 1)
    found = steps(conn, Query(filters=(Filter(method, attribute, values),)))
    assert item.index
    assert any(f"INDEX {item.index} " in step for step in found), found
    assert_no_full_scan(found)


@pytest.mark.parametrize("attribute", ["", *lists.EXECUTIONS])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("cursor", ["", "e500"])
def test_every_order_is_read_from_its_index_without_sorting(
    conn: sqlite3.Connection, attribute: str, descending: bool, cursor: str
) -> None:
    found = steps(conn, Query(orders=(Order(attribute, descending),), cursor=cursor))
    index = lists.EXECUTIONS[attribute].index if attribute else "executions_function"
    assert any(f"INDEX {index} " in step for step in found), found
    assert_no_full_scan(found)
    # The rows of the one page may be sorted, what they are chosen from may not.
    assert sum("TEMP B-TREE FOR ORDER BY" in step for step in found) <= 1, found


def test_a_rare_value_drives_the_query_and_a_frequent_one_does_not(
    conn: sqlite3.Connection,
) -> None:
    rare = steps(
        conn, Query(filters=(Filter("equal", "status", ("failed",)),), orders=(Order("duration"),))
    )
    frequent = steps(
        conn,
        Query(filters=(Filter("equal", "status", ("completed",)),), orders=(Order("duration"),)),
    )
    assert not any("executions_duration_seconds" in step for step in rare)
    assert any("executions_duration_seconds" in step for step in frequent)


def test_the_executions_of_a_user_have_an_index(conn: sqlite3.Connection) -> None:
    found = steps(conn, Query(), user_id="ann")
    assert any("INDEX executions_user_id " in step for step in found), found
    assert_no_full_scan(found)
