"""Queries that the `queries` parameter accepts and refuses."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from minifn.api.wire.formats import Shape
from minifn.api.wire.list_attributes import EXECUTIONS, FUNCTIONS
from minifn.api.wire.queries import read_query, read_selection
from minifn.api.wire.textual_queries import TextualSyntaxError, parse_textual
from minifn.errors import ArgumentInvalid, QueryInvalid
from minifn.store.queries import Combination, Comparison, Filter, Method, Order, Query


def one(method: str, attribute: str | None = None, *values: Any) -> str:
    item: dict[str, Any] = {"method": method}
    if attribute is not None:
        item["attribute"] = attribute
    if values:
        item["values"] = list(values)
    return json.dumps(item)


def filters(*texts: str) -> tuple[Filter, ...]:
    return read_query(texts, EXECUTIONS, Shape.FULL).filters


def values(*texts: str) -> list[tuple[Any, ...]]:
    found = filters(*texts)
    return [item.values for item in found if isinstance(item, Comparison)]


def test_without_queries_a_list_has_25_rows_from_the_oldest() -> None:
    assert read_query([], EXECUTIONS, Shape.FULL) == Query(limit=25)


def test_filters_are_typed_by_their_attribute() -> None:
    assert filters(one("equal", "responseStatusCode", 200, 404)) == (
        Comparison(Method.EQUAL, EXECUTIONS["responseStatusCode"], (200, 404)),
    )
    assert filters(one("greaterThan", "duration", 1)) == (
        Comparison(Method.GREATER_THAN, EXECUTIONS["duration"], (1.0,)),
    )
    assert values(one("lessThan", "$createdAt", "1970-01-01T00:00:01+00:00")) == [(1000,)]
    assert filters(one("createdAfter", None, "1970-01-01"))[0] == Comparison(
        Method.GREATER_THAN, EXECUTIONS["$createdAt"], (0,)
    )


def test_the_first_limit_offset_and_cursor_win() -> None:
    texts = [
        one("limit", None, 3),
        one("limit", None, 9),
        one("offset", None, 1),
        one("offset", None, 2),
    ]
    texts += [one("cursorBefore", None, "a"), one("cursorAfter", None, "b")]
    query = read_query(texts, EXECUTIONS, Shape.FULL)
    assert (query.limit, query.offset, query.cursor, query.cursor_before) == (3, 1, "a", True)


def test_orders_keep_their_sequence_and_may_lack_an_attribute() -> None:
    texts = [one("orderDesc", "duration"), one("orderAsc", "")]
    query = read_query(texts, EXECUTIONS, Shape.FULL)
    assert query.orders == (Order(EXECUTIONS["duration"], descending=True), Order())


def test_conditions_nest() -> None:
    text = json.dumps(
        {
            "method": "or",
            "values": [json.loads(one("equal", "status", s)) for s in ("failed", "waiting")],
        }
    )
    status = EXECUTIONS["status"]
    assert filters(text) == (
        Combination(
            "or",
            (
                Comparison(Method.EQUAL, status, ("failed",)),
                Comparison(Method.EQUAL, status, ("waiting",)),
            ),
        ),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "equal",
        "[]",
        "null",
        '"equal"',
        '{"method": 1}',
        '{"method": "equal", "attribute": 1, "values": []}',
        '{"method": "equal", "attribute": "status", "values": "failed"}',
        one("nothing", "status", "x"),
        one("equal", "status"),
        one("equal", "unknown", "x"),
        one("equal", None, "x"),
        one("equal", "status", 1),
        one("equal", "status", None),
        one("equal", "responseStatusCode", "200"),
        one("equal", "responseStatusCode", True),
        one("equal", "responseStatusCode", 2**63),
        one("equal", "duration", "1"),
        one("equal", "$createdAt", "yesterday"),
        one("equal", "$createdAt", 5),
        one("greaterThan", "duration", 1, 2),
        one("between", "duration", 1),
        one("between", "duration", 1, 2, 3),
        one("contains", "duration", 1.0),
        one("startsWith", "responseStatusCode", 2),
        one("isNull", "unknown"),
        one("limit", None, 0),
        one("limit", None, -1),
        one("limit", None, "x"),
        one("limit", None),
        one("limit", None, 1.5),
        one("offset", None, -1),
        one("cursorAfter", None, ""),
        one("cursorAfter", None, "not an id"),
        one("cursorAfter", None, 5),
        one("orderAsc", "unknown"),
        one("select"),
        one("select", None, "unknown"),
        one("and", None, {"method": "equal", "attribute": "status", "values": ["x"]}),
        one("or", None, 1, 2),
        one("or", None, {"method": "limit", "values": [1]}, {"method": "limit", "values": [1]}),
        one("equal", "status", *["x"] * 501),
        one("equal", "status", "x" * 5000),
    ],
)
def test_bad_queries_are_refused_with_the_name_of_the_parameter(text: str) -> None:
    with pytest.raises(ArgumentInvalid, match=r"^Invalid `queries` param: ") as raised:
        filters(text)
    assert raised.value.code == 400


def test_an_unknown_attribute_is_named() -> None:
    with pytest.raises(ArgumentInvalid, match="Attribute not found in schema: colour"):
        filters(one("equal", "colour", "red"))


def test_more_than_a_hundred_queries_are_refused() -> None:
    with pytest.raises(ArgumentInvalid, match="100"):
        filters(*[one("equal", "status", "x")] * 101)


def test_full_text_search_of_an_attribute_has_an_error_of_its_own() -> None:
    with pytest.raises(QueryInvalid):
        filters(one("search", "status", "x"))


def test_booleans_are_not_numbers() -> None:
    query = read_query([one("equal", "enabled", True)], FUNCTIONS, Shape.FULL)
    assert query.filters == (Comparison(Method.EQUAL, FUNCTIONS["enabled"], (True,)),)
    with pytest.raises(ArgumentInvalid):
        read_query([one("equal", "enabled", 1)], FUNCTIONS, Shape.FULL)


def test_only_deployments_can_be_selected() -> None:
    texts = [one("select", None, "status", "*"), one("select", None, "$id")]
    query, select = read_selection(texts, Shape.FULL)
    assert (query, select) == (Query(), ("status", "*", "$id"))
    with pytest.raises(ArgumentInvalid, match="Invalid query method: select"):
        read_selection(texts, Shape.V1_8)
    with pytest.raises(ArgumentInvalid, match="Invalid query method: select"):
        read_query([one("select", None, "status")], EXECUTIONS, Shape.FULL)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
queries_like = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(
            ["equal", "and", "or", "limit", "cursorAfter", "between", "select"]
        )
        | json_values,
        "attribute": st.sampled_from([*EXECUTIONS, "", "x"]) | json_values,
        "values": st.lists(json_values, max_size=3) | json_values,
    },
)


@given(
    st.text() | json_values.map(json.dumps) | queries_like.map(json.dumps),
    st.sampled_from([Shape.FULL, Shape.V1_4]),
)
def test_any_text_is_a_query_or_a_client_error(text: str, shape: Shape) -> None:
    try:
        query = read_query([text], EXECUTIONS, shape)
    except (ArgumentInvalid, QueryInvalid):
        return
    assert isinstance(query, Query)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'equal("name", ["A", "B"])',
            {"method": "equal", "attribute": "name", "values": ["A", "B"]},
        ),
        ("equal('name', 'it\\'s')", {"method": "equal", "attribute": "name", "values": ["it's"]}),
        ('between("size", 1, 2.5)', {"method": "between", "attribute": "size", "values": [1, 2.5]}),
        ('equal("enabled", true)', {"method": "equal", "attribute": "enabled", "values": [True]}),
        ("limit(5)", {"method": "limit", "values": [5]}),
        ('cursorAfter("id")', {"method": "cursorAfter", "values": ["id"]}),
        ('orderDesc("")', {"method": "orderDesc", "attribute": "", "values": []}),
        (' equal( "a" , "b,(c)]" ) ', {"method": "equal", "attribute": "a", "values": ["b,(c)]"]}),
    ],
)
def test_textual_queries(text: str, expected: dict[str, Any]) -> None:
    assert parse_textual(text) == expected


@pytest.mark.parametrize(
    "text", ["", "equal", 'equal("a"', 'equal("a", [1)', "equal(,)", 'equal("a) x', "limit(5) x"]
)
def test_broken_textual_queries(text: str) -> None:
    with pytest.raises(TextualSyntaxError):
        parse_textual(text)


@given(st.text())
def test_any_text_survives_quoting(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_textual(f'equal("a", "{quoted}")')["values"] == [value]
