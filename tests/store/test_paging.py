"""Pages against a reference in plain Python, and which indexes they are read from."""

import operator
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st

from minifn.errors import ArgumentInvalid, CursorNotFound
from minifn.models import Execution, ExecutionStatus, Function
from minifn.store import executions, functions, lists, paging, plans, schema
from minifn.store.conditions import Condition
from minifn.store.database import connect
from minifn.store.paging import Page, page as list_page
from minifn.store.queries import COMPARISONS, Filter, Kind, Order, Query

STATUSES: tuple[ExecutionStatus, ...] = ("completed", "failed", "waiting")
ROWS = 60
POOLS: dict[str, tuple[Any, ...]] = {
    "$id": tuple(f"e{number:02d}" for number in range(0, ROWS, 7)),
    "$sequence": (1, 20, 40, ROWS),
    "$createdAt": (0, 1000, 1005, 1010, 1029),
    "$updatedAt": (1000, 1010, 1020),
    "trigger": ("http", "event", "schedule", ""),
    "status": (*STATUSES, "x"),
    "responseStatusCode": (0, 200, 404, 500),
    "duration": (0.0, 0.25, 0.5, 2.0),
    "requestMethod": ("GET", "POST", "P"),
    "requestPath": ("/", "/a", "/a/b", "b", ""),
    "deploymentId": ("d1", "d2", ""),
}
FIELDS = {attribute: item.column for attribute, item in lists.EXECUTIONS.items()}

TESTS: dict[str, Callable[[Any, tuple[Any, ...]], bool]] = {
    "equal": lambda value, given: value in given,
    "notEqual": lambda value, given: bool(value != given[0]),
    "lessThan": lambda value, given: bool(operator.lt(value, given[0])),
    "lessThanEqual": lambda value, given: bool(operator.le(value, given[0])),
    "greaterThan": lambda value, given: bool(operator.gt(value, given[0])),
    "greaterThanEqual": lambda value, given: bool(operator.ge(value, given[0])),
    "between": lambda value, given: bool(given[0] <= value <= given[1]),
    "notBetween": lambda value, given: not given[0] <= value <= given[1],
    "startsWith": lambda value, given: bool(value.startswith(given[0])),
    "notStartsWith": lambda value, given: not value.startswith(given[0]),
    "endsWith": lambda value, given: bool(value.endswith(given[0])),
    "notEndsWith": lambda value, given: not value.endswith(given[0]),
    "contains": lambda value, given: any(part in value for part in given),
    "containsAny": lambda value, given: any(part in value for part in given),
    "notContains": lambda value, given: not any(part in value for part in given),
    "isNull": lambda value, given: False,
    "isNotNull": lambda value, given: True,
}


def sample(number: int) -> Execution:
    """A row whose attributes repeat with different periods."""
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


@pytest.fixture(scope="module")
def rows(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[sqlite3.Connection, list[Execution]]]:
    """Executions of two functions; the second part is the ones of `fn`."""
    conn = connect(tmp_path_factory.mktemp("paging") / "minifn.db")
    schema.migrate(conn)
    for function_id in ("fn", "other"):
        functions.insert(conn, Function(id=function_id, name=function_id, runtime="r"))
    for number in range(ROWS):
        executions.insert(conn, sample(number))
    yield conn, executions.TABLE.all(conn, "function_id = 'fn' ORDER BY sequence")
    conn.close()


@pytest.fixture(
    autouse=True, params=[(3000, 5000), (2, 5), (0, 1)], ids=["few", "some", "none"], scope="module"
)
def thresholds(request: pytest.FixtureRequest) -> Iterator[int]:
    """Small thresholds, so that every way of reading is taken; returns the largest total."""
    with pytest.MonkeyPatch.context() as patch:
        few, total = request.param
        patch.setattr(plans, "FEW", few)
        patch.setattr(plans, "TOTAL_MAX", total)
        patch.setattr("minifn.store.paging.TOTAL_MAX", total)
        yield total


@st.composite
def comparisons(draw: st.DrawFn) -> Filter:
    attribute = draw(st.sampled_from(list(POOLS)))
    text = lists.EXECUTIONS[attribute].kind is Kind.STRING
    methods = [
        m for m in COMPARISONS if text or not ({"With", "ontains"} & {m[-4:], m[-7:], m[-10:-3]})
    ]
    method = draw(st.sampled_from(methods))
    smallest, largest = COMPARISONS[method]
    values = draw(
        st.lists(st.sampled_from(POOLS[attribute]), min_size=smallest, max_size=min(largest, 3))
    )
    return Filter(method, attribute, () if method in ("isNull", "isNotNull") else tuple(values))


filters = st.recursive(
    comparisons(),
    lambda inner: st.builds(
        lambda method, children: Filter(method, children=tuple(children)),
        st.sampled_from(["and", "or"]),
        st.lists(inner, min_size=2, max_size=3),
    ),
    max_leaves=4,
)
orders = st.builds(Order, st.sampled_from(["", *POOLS]), st.booleans())
queries = st.builds(
    lambda filters, orders, limit: Query(filters=tuple(filters), orders=tuple(orders), limit=limit),
    st.lists(filters, max_size=3),
    st.lists(orders, max_size=3),
    st.integers(1, 20),
)


def holds(item: Filter, row: Execution) -> bool:
    if item.method in ("and", "or"):
        return (all if item.method == "and" else any)(holds(child, row) for child in item.children)
    return TESTS[item.method](getattr(row, FIELDS[item.attribute]), item.values)


def expected(query: Query, rows: list[Execution]) -> list[Execution]:
    """The whole list, ordered as documented: ties by creation, in the direction of the last order."""
    found = [row for row in rows if all(holds(item, row) for item in query.filters)]
    keys: list[tuple[str, bool]] = []
    for order in query.orders or (Order(),):
        if order.attribute in ("", "$sequence"):
            if not keys and any(item.attribute == "$createdAt" for item in query.filters):
                keys.append(("created_at", order.descending))
            keys.append(("sequence", order.descending))
            break
        if FIELDS[order.attribute] not in [key for key, _ in keys]:
            keys.append((FIELDS[order.attribute], order.descending))
    keys.append(("sequence", keys[-1][1]))
    for key, descending in reversed(keys):
        found.sort(key=operator.attrgetter(key), reverse=descending)
    return found


def changed(query: Query, **changes: Any) -> Query:
    return Query(
        **{**{name: getattr(query, name) for name in query.__dataclass_fields__}, **changes}
    )


def walk(read: Callable[[Query], Page[Execution]], query: Query, *, backwards: bool) -> list[str]:
    """Follow cursors from one end to the other; return the ids in the order of the list."""
    ids: list[str] = []
    cursor = ""
    while page := read(changed(query, cursor=cursor, cursor_before=backwards)).items:
        ids = [row.id for row in page] + ids if backwards else ids + [row.id for row in page]
        cursor = page[0].id if backwards else page[-1].id
    return ids


fixture_is_read_only = hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None
)


@fixture_is_read_only
@given(query=queries, user_id=st.sampled_from([None, "ann", "nobody", ""]))
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
    assert list(read(changed(query, offset=3)).items) == whole[3 : 3 + query.limit]
    assert executions.page(conn, "fn", query, user_id=user_id, count=False) == Page(0, first.items)
    assert walk(read, query, backwards=False) == ids
    assert walk(read, query, backwards=True) == ids


@fixture_is_read_only
@given(query=queries)
def test_a_list_without_plans_gives_the_same(
    rows: tuple[sqlite3.Connection, list[Execution]], thresholds: int, query: Query
) -> None:
    conn, _ = rows
    scope = plans.Scope(Condition("function_id = 'fn'"))
    plain = list_page(conn, executions.TABLE, lists.EXECUTIONS, query, scope)
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


def test_a_function_that_is_not_there_has_no_executions(
    rows: tuple[sqlite3.Connection, list[Execution]],
) -> None:
    assert executions.page(rows[0], "nobody", Query()) == Page(0, ())


def test_a_page_does_not_fill_the_memory(
    rows: tuple[sqlite3.Connection, list[Execution]], monkeypatch: pytest.MonkeyPatch
) -> None:
    conn, _ = rows
    monkeypatch.setattr(paging, "PAGE_CHARS_MAX", 30 * paging.ROW_CHARS)
    assert len(executions.page(conn, "fn", Query(limit=20)).items) == 20
    with pytest.raises(ArgumentInvalid, match="Ask for fewer rows"):
        executions.page(conn, "fn", Query(limit=40))
