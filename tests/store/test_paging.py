"""Pages compared with a reference in plain Python, for each way of reading them."""

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

from minifn.errors import ArgumentInvalid, CursorNotFound
from minifn.models import Execution, ExecutionStatus, Function
from minifn.store import executions, functions, kinds, paging, plans, schema
from minifn.store.attributes import EXECUTIONS
from minifn.store.conditions import Condition
from minifn.store.connection import connect
from minifn.store.paging import Page, page as list_page
from minifn.store.queries import (
    CREATION,
    Combination,
    Comparison,
    Filter,
    Kind,
    Method,
    Order,
    Query,
)
from tests.store.filling import fill, fill_unevenly

#: An order that names a column twice: only the first time counts.
REPEATED = tuple(
    Order(EXECUTIONS[column], descending)
    for column, descending in (("trigger", True), ("created_at", False), ("trigger", True))
)
_OTHER_ID = Comparison(Method.NOT_EQUAL, EXECUTIONS["id"], ("e00",))
#: A filter of a part of the path that no path matches, beside others.
NO_PATH = Combination(
    "and",
    (
        Combination("and", (_OTHER_ID, _OTHER_ID)),
        Comparison(Method.NOT_STARTS_WITH, EXECUTIONS["request_path"], ("/",)),
    ),
)
STATUSES: tuple[ExecutionStatus, ...] = ("completed", "failed", "waiting")
ROWS = 60
POOLS: dict[str, tuple[Any, ...]] = {
    "id": tuple(f"e{number:02d}" for number in range(0, ROWS, 7)),
    "sequence": (1, 20, 40, ROWS),
    "created_at": (0, 1000, 1005, 1010, 1029),
    "updated_at": (1000, 1010, 1020),
    "trigger": ("http", "event", "schedule", ""),
    "status": (*STATUSES, "x"),
    "response_status_code": (0, 200, 404, 500),
    "duration_seconds": (0.0, 0.25, 0.5, 2.0),
    "request_method": ("GET", "POST", "P"),
    "request_path": ("/", "/a", "/a/b", "b", ""),
    "deployment_id": ("d1", "d2", ""),
}

TESTS: dict[Method, Callable[[Any, tuple[Any, ...]], bool]] = {
    Method.EQUAL: lambda value, given: value in given,
    Method.NOT_EQUAL: lambda value, given: bool(value != given[0]),
    Method.LESS_THAN: lambda value, given: bool(operator.lt(value, given[0])),
    Method.LESS_THAN_EQUAL: lambda value, given: bool(operator.le(value, given[0])),
    Method.GREATER_THAN: lambda value, given: bool(operator.gt(value, given[0])),
    Method.GREATER_THAN_EQUAL: lambda value, given: bool(operator.ge(value, given[0])),
    Method.BETWEEN: lambda value, given: bool(given[0] <= value <= given[1]),
    Method.NOT_BETWEEN: lambda value, given: not given[0] <= value <= given[1],
    Method.STARTS_WITH: lambda value, given: bool(value.startswith(given[0])),
    Method.NOT_STARTS_WITH: lambda value, given: not value.startswith(given[0]),
    Method.ENDS_WITH: lambda value, given: bool(value.endswith(given[0])),
    Method.NOT_ENDS_WITH: lambda value, given: not value.endswith(given[0]),
    Method.CONTAINS: lambda value, given: any(part in value for part in given),
    Method.NOT_CONTAINS: lambda value, given: not any(part in value for part in given),
    Method.IS_NULL: lambda value, given: False,
    Method.IS_NOT_NULL: lambda value, given: True,
}
#: (smallest, largest) number of values of the methods that do not take exactly one.
COUNTS = {
    **dict.fromkeys((Method.EQUAL, Method.CONTAINS, Method.NOT_CONTAINS), (1, 3)),
    **dict.fromkeys((Method.BETWEEN, Method.NOT_BETWEEN), (2, 2)),
    **dict.fromkeys((Method.IS_NULL, Method.IS_NOT_NULL), (0, 0)),
}
TEXT_METHODS = [
    Method.STARTS_WITH,
    Method.NOT_STARTS_WITH,
    Method.ENDS_WITH,
    Method.NOT_ENDS_WITH,
    Method.CONTAINS,
    Method.NOT_CONTAINS,
]
OTHER_METHODS = [method for method in Method if method not in TEXT_METHODS]


def sample(number: int) -> Execution:
    """Return a row; its attributes repeat with different periods."""
    return Execution(
        id=f"e{(number * 37) % 100:02d}" if number % 2 else f"f{number:02d}",
        function_id="fn" if number % 5 else "other",
        # Rows are not always stored in the order of their times.
        created_at=1000 + number // 2 - number % 3,
        updated_at=1000 + number // 3,
        status=STATUSES[number % 3],
        trigger="http" if number % 4 else "event",
        user_id=("", "ann", "bob")[number % 3],
        response_status_code=(200, 404, 500)[number % 3],
        duration_seconds=(number % 9) / 4,
        request_method="POST" if number % 2 else "GET",
        request_path=("/", "/a", "/a/b", "/b")[number % 4],
        deployment_id=f"d{number // 20}",
    )


#: Rows in the late indexes, and thresholds that lead to each way of reading with the largest total.
WAYS = [
    pytest.param(
        (filled, few, total),
        id=f"{name}-{filled} filled in",
        # Each of them once is quick; all together are for depth.
        marks=() if at == turn else pytest.mark.slow,
    )
    for turn, (name, few, total) in enumerate((("few", 3000, 5000), ("some", 2, 5), ("none", 0, 1)))
    for at, filled in enumerate((0, 33, ROWS))
]


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> tuple[int, int, int]:
    """How many rows are in the late indexes, the limit of few rows and the largest total."""
    found: tuple[int, int, int] = request.param
    return found


@pytest.fixture(scope="module")
def rows(
    way: tuple[int, int, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[sqlite3.Connection, list[Execution]]]:
    """A database with executions of two functions, and those of `fn` as a list."""
    conn = connect(tmp_path_factory.mktemp("paging") / "minifn.db")
    schema.migrate(conn)
    for function_id in ("fn", "other"):
        functions.insert(conn, Function(id=function_id, name=function_id, runtime="r"))
    for number in range(ROWS):
        executions.insert(conn, sample(number))
    if way[0] == ROWS:
        assert fill(conn, ROWS // 6)
    elif way[0]:
        fill_unevenly(conn, way[0])
    yield conn, executions.TABLE.all(conn, "function_id = 'fn' ORDER BY sequence")
    conn.close()


@pytest.fixture(autouse=True, scope="module")
def thresholds(way: tuple[int, int, int]) -> Iterator[int]:
    """Set the thresholds; return the largest total."""
    with pytest.MonkeyPatch.context() as patch:
        _, few, total = way
        patch.setattr(plans, "FEW", few)
        patch.setattr(plans, "TOTAL_MAX", total)
        patch.setattr("minifn.store.paging.TOTAL_MAX", total)
        yield total


@st.composite
def comparisons(draw: st.DrawFn) -> Filter:
    name = draw(st.sampled_from(list(POOLS)))
    attribute = EXECUTIONS[name]
    texts = TEXT_METHODS if attribute.kind is Kind.STRING else []
    method = draw(st.sampled_from(OTHER_METHODS + texts))
    smallest, largest = COUNTS.get(method, (1, 1))
    values = draw(st.lists(st.sampled_from(POOLS[name]), min_size=smallest, max_size=largest))
    return Comparison(method, attribute, tuple(values))


filters = st.recursive(
    comparisons(),
    lambda inner: st.builds(
        Combination,
        st.sampled_from(["and", "or"]),
        st.lists(inner, min_size=2, max_size=3).map(tuple),
    ),
    max_leaves=4,
)
orders = st.builds(
    Order, st.sampled_from([CREATION, *(EXECUTIONS[name] for name in POOLS)]), st.booleans()
)
queries = st.builds(
    lambda filters, orders, limit: Query(filters=tuple(filters), orders=tuple(orders), limit=limit),
    st.lists(filters, max_size=3),
    st.lists(orders, max_size=3),
    st.integers(1, 20),
)


def holds(item: Filter, row: Execution) -> bool:
    if isinstance(item, Combination):
        return (all if item.operator == "and" else any)(holds(inner, row) for inner in item.filters)
    return TESTS[item.method](getattr(row, item.attribute.column), item.values)


def compares_time(item: Filter) -> bool:
    return isinstance(item, Comparison) and item.attribute.column == "created_at"


def expected(query: Query, rows: list[Execution], *, by_time: bool = True) -> list[Execution]:
    """Return the whole list in order; ties by creation, in the direction of the last order.

    With `by_time`, a filter of the time of creation makes time come before creation, unless a
    filter is one that kinds tell.
    """
    by_time = by_time and not any(map(kinds.tells, query.filters))
    found = [row for row in rows if all(holds(item, row) for item in query.filters)]
    keys: list[tuple[str, bool]] = []
    for order in query.orders or (Order(),):
        column = order.attribute.column
        if column == "sequence":
            if by_time and not keys and any(map(compares_time, query.filters)):
                keys.append(("created_at", order.descending))
            keys.append(("sequence", order.descending))
            break
        if column not in [key for key, _ in keys]:
            keys.append((column, order.descending))
    keys.append(("sequence", keys[-1][1]))
    for key, descending in reversed(keys):
        found.sort(key=operator.attrgetter(key), reverse=descending)
    return found


def walk(read: Callable[[Query], Page[Execution]], query: Query, *, backwards: bool) -> list[str]:
    """Follow cursors from one end to the other; return the ids in the order of the list."""
    ids: list[str] = []
    cursor = ""
    while page := read(replace(query, cursor=cursor, cursor_before=backwards)).items:
        ids = [row.id for row in page] + ids if backwards else ids + [row.id for row in page]
        cursor = page[0].id if backwards else page[-1].id
    return ids


fixture_is_read_only = hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100
)


@fixture_is_read_only
@given(query=queries, user_id=st.sampled_from([None, "ann", "unknown", ""]))
@example(query=Query(orders=REPEATED), user_id=None)
@example(query=Query(filters=(NO_PATH,), limit=1), user_id="ann")
def test_pages_and_cursors_visit_every_row_once_in_order(
    rows: tuple[sqlite3.Connection, list[Execution]],
    thresholds: int,
    query: Query,
    user_id: str | None,
) -> None:
    conn, every = rows
    visible = [row for row in every if user_id is None or (user_id and row.user_id == user_id)]
    whole = expected(query, visible)

    def read(query: Query) -> Page[Execution]:
        return executions.page(conn, "fn", query, user_id=user_id)

    first = read(query)
    ids = [row.id for row in whole]
    assert [row.id for row in first.items] == ids[: query.limit]
    assert list(first.items) == whole[: query.limit]
    assert first.total == min(len(whole), thresholds)
    assert list(read(replace(query, offset=3)).items) == whole[3 : 3 + query.limit]
    assert executions.page(conn, "fn", query, user_id=user_id, count=False) == Page(0, first.items)
    assert walk(read, query, backwards=False) == ids
    assert walk(read, query, backwards=True) == ids


@hypothesis_settings(fixture_is_read_only, max_examples=25)
@given(query=queries)
def test_pages_of_all_functions_visit_every_row_once_in_order(
    rows: tuple[sqlite3.Connection, list[Execution]], thresholds: int, query: Query
) -> None:
    conn, _ = rows
    whole = expected(query, executions.TABLE.all(conn, "1 ORDER BY sequence"), by_time=False)

    def read(query: Query) -> Page[Execution]:
        return executions.page_of_all(conn, query)

    first = read(query)
    ids = [row.id for row in whole]
    assert [row.id for row in first.items] == ids[: query.limit]
    assert first.total == min(len(whole), thresholds)
    assert walk(read, query, backwards=False) == ids
    assert walk(read, query, backwards=True) == ids


@fixture_is_read_only
@given(query=queries)
@example(
    query=Query(
        filters=(Comparison(Method.NOT_BETWEEN, EXECUTIONS["id"], ("e07", "e00")),), limit=1
    )
)
def test_a_list_without_plans_has_the_same_pages(
    rows: tuple[sqlite3.Connection, list[Execution]], thresholds: int, query: Query
) -> None:
    conn, _ = rows
    scope = plans.Scope(Condition("function_id = 'fn'"))
    plain = list_page(conn, executions.TABLE, query, scope)
    assert plain == executions.page(conn, "fn", query)


def test_a_cursor_must_be_a_row_the_caller_may_see(
    rows: tuple[sqlite3.Connection, list[Execution]],
) -> None:
    conn, every = rows
    of_bob = next(row for row in every if row.user_id == "bob")
    of_other = sample(0)
    for function_id, cursor, user_id in (
        ("fn", "unknown", None),
        ("fn", of_other.id, None),
        ("fn", of_bob.id, "ann"),
    ):
        with pytest.raises(CursorNotFound):
            executions.page(conn, function_id, Query(cursor=cursor), user_id=user_id)


def test_an_unknown_function_has_no_executions(
    rows: tuple[sqlite3.Connection, list[Execution]],
) -> None:
    assert executions.page(rows[0], "unknown", Query()) == Page(0, ())


def test_a_page_has_a_limit_of_characters(
    rows: tuple[sqlite3.Connection, list[Execution]], monkeypatch: pytest.MonkeyPatch
) -> None:
    conn, _ = rows
    monkeypatch.setattr(paging, "PAGE_CHARS_MAX", 30 * paging.ROW_CHARS)
    assert len(executions.page(conn, "fn", Query(limit=20)).items) == 20
    with pytest.raises(ArgumentInvalid, match="Ask for fewer rows"):
        executions.page(conn, "fn", Query(limit=40))
