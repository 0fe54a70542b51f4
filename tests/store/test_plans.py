"""A long list is read from an index for every filter and order."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minifn.models import Execution, Function
from minifn.store import executions, functions, kinds, late_indexes, plans, schema
from minifn.store.attributes import EXECUTIONS
from minifn.store.connection import connect
from minifn.store.queries import CREATION, Comparison, Kind, Method, Order, Query
from tests.store.filling import fill

VALUES: dict[Kind, Any] = {
    Kind.STRING: "failed",
    Kind.INTEGER: 500,
    Kind.FLOAT: 0.9,
    Kind.INSTANT: 950,
}


@pytest.fixture(scope="module")
def conn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A database of 1,000 executions, nearly all alike, with thresholds in proportion.

    The late indexes lack the newest 30.
    """
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
    assert fill(connection, 970)
    connection.execute("COMMIT")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "FEW", 30)
        patch.setattr(plans, "TOTAL_MAX", 50)
        patch.setattr("minifn.store.paging.TOTAL_MAX", 50)
        yield connection
    connection.close()


def steps(conn: sqlite3.Connection, query: Query, user_id: str | None = None) -> list[str]:
    """Return SQLite's steps for a page, in the words of EXPLAIN QUERY PLAN."""
    statements: list[str] = []
    conn.set_trace_callback(statements.append)
    try:
        executions.page(conn, "fn", query, user_id=user_id)
    finally:
        conn.set_trace_callback(None)
    found = [sql for sql in statements if "FROM executions" in sql]
    assert len(found) >= 2
    return [row[3] for sql in found for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}")]


def uses(index: str, found: list[str]) -> bool:
    """Tell whether an index is searched."""
    search = f"SEARCH {index} USING PRIMARY KEY" if late_indexes.is_late(index) else f"{index} ("
    return any(search in step for step in found)


def assert_no_full_scan(found: list[str]) -> None:
    for step in found:
        # The blocks are one row for thousands.
        assert step == "SCAN executions_blocks" or not step.startswith("SCAN executions"), found


@pytest.mark.parametrize("name", EXECUTIONS)
@pytest.mark.parametrize(
    "method", [Method.EQUAL, Method.NOT_EQUAL, Method.GREATER_THAN, Method.BETWEEN]
)
def test_every_filter_is_served_by_its_index(
    conn: sqlite3.Connection, name: str, method: Method
) -> None:
    attribute = EXECUTIONS[name]
    values = (VALUES[attribute.kind],) * (2 if method is Method.BETWEEN else 1)
    found = steps(conn, Query(filters=(Comparison(method, attribute, values),)))
    assert attribute.index
    assert uses(attribute.index, found), found
    assert_no_full_scan(found)


@pytest.mark.parametrize("name", ["", *EXECUTIONS])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("cursor", ["", "e500"])
def test_every_order_is_read_from_its_index_without_sorting(
    conn: sqlite3.Connection, name: str, descending: bool, cursor: str
) -> None:
    attribute = EXECUTIONS[name] if name else CREATION
    found = steps(conn, Query(orders=(Order(attribute, descending),), cursor=cursor))
    index = attribute.index or late_indexes.BY_FUNCTION
    assert uses(index, found), found
    assert_no_full_scan(found)
    # The rows of the page and those of the tail may be sorted, the others may not. A cursor has two
    # ranges in each source. If rows of kinds are merged, a page is sorted with its tail.
    tails = (2 if cursor or index in kinds.INDEXES else 1) * late_indexes.is_late(index)
    assert sum("TEMP B-TREE FOR" in step for step in found) <= 1 + tails, found


def test_a_rare_value_drives_the_query_and_a_frequent_one_does_not(
    conn: sqlite3.Connection,
) -> None:
    by_duration = (Order(EXECUTIONS["duration_seconds"]),)

    def with_status(status: str) -> list[str]:
        filters = (Comparison(Method.EQUAL, EXECUTIONS["status"], (status,)),)
        return steps(conn, Query(filters=filters, orders=by_duration))

    rare, frequent = with_status("failed"), with_status("completed")
    index = EXECUTIONS["duration_seconds"].index
    assert not uses(index, rare)
    assert uses(index, frequent)


def test_the_executions_of_a_user_have_an_index(conn: sqlite3.Connection) -> None:
    found = steps(conn, Query(), user_id="ann")
    assert any("INDEX executions_user_id " in step for step in found), found
    assert_no_full_scan(found)


def test_no_condition_is_an_exists() -> None:
    """SQLite 3.51.0 and 3.51.1 find wrong rows where they make joins of them."""
    for path in sorted(Path(plans.__file__).parent.glob("*.py")):
        code = re.sub(r"(?:NOT|IF|WHEN|no) EXISTS", "", path.read_text())
        assert not re.search(r"\bEXISTS\b", code), path.name
