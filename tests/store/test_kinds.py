"""Filters and orders of columns of few values, alone and with ranges: the right rows, soon."""

import operator
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import (
    HealthCheck,
    example,
    given,
    settings as hypothesis_settings,
    strategies as st,
)

from minifn.models import Execution, Function
from minifn.store import (
    executions,
    filling,
    functions,
    kind_count,
    kinds,
    late_indexes,
    plans,
    schema,
)
from minifn.store.attributes import ALL_EXECUTIONS
from minifn.store.chosen import choose
from minifn.store.conditions import Condition
from minifn.store.connection import connect
from minifn.store.queries import CREATION, Combination, Comparison, Filter, Method, Order, Query
from tests.store.filling import fill

ROWS, BLOCK = 600, 40
#: Largest total of a list.
TOTAL = 45
#: Values that filters compare with, by column.
POOLS: dict[str, tuple[Any, ...]] = {
    "status": ("completed", "failed", "processing", "ai"),
    "trigger": ("http", "event", "schedule"),
    "response_status_code": (200, 404, 500),
    "request_method": ("GET", "POST"),
    "deployment_id": ("d0", "d2", "d5"),
    "created_at": (0, 150, 299, 310, ROWS),
    "updated_at": (10, 300, 900),
    "id": ("e0100", "e0333", "e05"),
    "duration_seconds": (0.1, 0.5, 9.0),
    "request_path": ("/", "/7", "7"),
}
TESTS: dict[Method, Callable[[Any, Any], bool]] = {
    Method.EQUAL: operator.eq,
    Method.NOT_EQUAL: operator.ne,
    Method.LESS_THAN: operator.lt,
    Method.LESS_THAN_EQUAL: operator.le,
    Method.GREATER_THAN: operator.gt,
    Method.GREATER_THAN_EQUAL: operator.ge,
}
TEXT_TESTS: dict[Method, Callable[[Any, Any], bool]] = {
    Method.CONTAINS: operator.contains,
    Method.NOT_CONTAINS: lambda value, part: part not in value,
    Method.STARTS_WITH: str.startswith,
    Method.ENDS_WITH: str.endswith,
    Method.NOT_ENDS_WITH: lambda value, end: not value.endswith(end),
}
#: Columns to order by: most are those that kinds share.
ORDERED = (
    *("status", "trigger", "response_status_code", "request_method", "deployment_id"),
    *("duration_seconds", "created_at", "request_path"),
)


def made(number: int) -> Execution:
    """Return a row: an outage lies in the middle, and events at the end."""
    failed = number % 50 == 0 or 250 <= number < 310
    return Execution(
        id=f"e{number:04}",
        function_id="other" if number % 9 == 4 else "fn",
        created_at=number - number % 3,
        updated_at=number + (400 if number % 90 == 7 else 2),
        status="failed" if failed else "processing" if number > ROWS - 5 else "completed",
        trigger="event" if 500 <= number < 540 else "schedule" if number % 60 == 0 else "http",
        response_status_code=500 if failed else 404 if number % 20 == 11 else 200,
        request_method="GET" if number % 3 else "POST",
        request_path=f"/{number % 10}" if number % 2 else "/",
        deployment_id=f"d{number // 100}",
        duration_seconds=10 + number / 1000 if failed else number * 7 % 100 / 100,
    )


@pytest.fixture(scope="module", params=[0, 25], ids=["one mark", "marks apart"])
def rows(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[sqlite3.Connection, list[Execution]]]:
    """A database whose rows changed, with small thresholds, and its rows as a list."""
    conn = connect(tmp_path_factory.mktemp("kinds") / "minifn.db")
    schema.migrate(conn)
    for name in ("fn", "other"):
        functions.insert(conn, Function(id=name, name=name, runtime="r"))
    conn.execute("BEGIN")
    for number in range(ROWS):
        executions.insert(conn, made(number))
        if number < ROWS - 30 and number % BLOCK == BLOCK - 1:
            assert fill(conn, BLOCK)
    # The index of kinds goes ahead of the blocks.
    assert not request.param or filling.fill(conn, request.param)
    conn.execute("UPDATE executions SET status = 'failed' WHERE sequence % 77 = 5")
    conn.execute("UPDATE executions SET updated_at = 950 WHERE sequence = 123")
    conn.execute("DELETE FROM executions WHERE sequence % 61 = 7")
    conn.execute("COMMIT")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "FEW", 0)
        patch.setattr(plans, "TOTAL_MAX", TOTAL)
        patch.setattr("minifn.store.paging.TOTAL_MAX", TOTAL)
        yield conn, executions.TABLE.all(conn, "1 ORDER BY sequence")
    conn.close()


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    column = draw(st.sampled_from(list(POOLS)))
    value = draw(st.sampled_from(POOLS[column]))
    methods = [*TESTS, *(TEXT_TESTS if isinstance(value, str) else ())]
    return Comparison(draw(st.sampled_from(methods)), ALL_EXECUTIONS[column], (value,))


filters = st.lists(
    st.one_of(
        comparisons(),
        st.builds(
            lambda operator, inner: Combination(operator, tuple(inner)),
            st.sampled_from(["and", "or"]),
            st.lists(comparisons(), min_size=2, max_size=2),
        ),
    ),
    max_size=4,
)


#: A page of a part of a text, counted in an index that has fewer rows than others.
WITHIN_PATHS: dict[str, Any] = {
    "found": [Comparison(Method.CONTAINS, ALL_EXECUTIONS["request_path"], ("/",))],
    "columns": [],
    "ways": [False] * 3,
    "place": 0,
    "before": False,
    "function_id": "fn",
    "limit": 6,
}


def holds(item: Filter, row: Execution) -> bool:
    if isinstance(item, Combination):
        return (all if item.operator == "and" else any)(holds(one, row) for one in item.filters)
    return (TESTS | TEXT_TESTS)[item.method](getattr(row, item.attribute.column), item.values[0])


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@example(**WITHIN_PATHS)
@given(
    found=filters,
    columns=st.lists(st.sampled_from(ORDERED), max_size=2, unique=True),
    ways=st.lists(st.booleans(), min_size=3, max_size=3),
    place=st.integers(0, ROWS),
    before=st.booleans(),
    function_id=st.sampled_from(["fn", ""]),
    limit=st.sampled_from([6, ROWS]),
)
def test_rows_and_totals_of_every_page(
    rows: tuple[sqlite3.Connection, list[Execution]],
    found: list[Filter],
    columns: list[str],
    ways: list[bool],
    place: int,
    before: bool,
    function_id: str,
    limit: int,
) -> None:
    conn, every = rows
    # Without a kind's column, a filter of the time would put the time first.
    kind = Comparison(Method.NOT_EQUAL, ALL_EXECUTIONS["status"], ("waiting",))
    orders = [
        Order(ALL_EXECUTIONS[column], way) for column, way in zip(columns, ways, strict=False)
    ]
    listed = [row for row in every if function_id in ("", row.function_id)]
    for column, way in reversed([*zip(columns, ways, strict=False), ("sequence", ways[-1])]):
        listed.sort(key=operator.attrgetter(column), reverse=way)
    at = min(place, len(listed) - 1)
    query = Query(
        filters=(*found, kind),
        orders=(*orders, Order(CREATION, ways[-1])),
        cursor=listed[at].id if place else "",
        cursor_before=before and place > 0,
        limit=limit,
        offset=place % 2,
    )
    matching = [row for row in listed if all(holds(item, row) for item in found)]
    beyond = [row for row in listed[at + 1 :] if row in matching] if place else matching
    expected = beyond[place % 2 :][:limit]
    if query.cursor_before:
        nearer = [row for row in listed[:at] if row in matching][::-1]
        expected = nearer[place % 2 :][:limit][::-1]
    if function_id:
        page = executions.page(conn, function_id, query)
    else:
        page = executions.page_of_all(conn, query)
    assert [row.id for row in page.items] == [row.id for row in expected]
    assert page.total == min(TOTAL, len(matching))
    if function_id:
        assert counted(conn, query) == len(matching)


def counted(conn: sqlite3.Connection, query: Query) -> int:
    """Return the count of rows of `fn` without the bound of a list's total."""
    prefix = Condition("function = (SELECT sequence FROM functions WHERE id = 'fn')")
    scope = plans.Scope(prefix, prefix, late_indexes.BY_FUNCTION)
    query = replace(query, filters=kinds.together(query.filters))
    found = plans.candidates(conn, "executions", query, scope)
    chosen = choose(conn, query, prefix)
    return len(kind_count.sequences(conn, "executions", query, scope, chosen, found, ROWS))


def test_a_range_has_rows_that_no_block_holds_yet(
    rows: tuple[sqlite3.Connection, list[Execution]],
) -> None:
    conn, every = rows
    later = Comparison(Method.GREATER_THAN, ALL_EXECUTIONS["created_at"], (310,))
    status = Comparison(Method.NOT_EQUAL, ALL_EXECUTIONS["status"], ("waiting",))
    page = executions.page(conn, "fn", Query(filters=(later, status), limit=ROWS))
    expected = [row.id for row in every if row.function_id == "fn" and row.created_at > 310]
    assert [row.id for row in page.items] == expected
