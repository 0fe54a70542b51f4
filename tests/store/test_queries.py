"""What `queries` accepts and refuses."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from minifn.errors import ArgumentInvalid, QueryInvalid
from minifn.store import lists
from minifn.store.legacy import LegacySyntaxError, parse_legacy
from minifn.store.queries import Filter, Order, Query, parse


def one(method: str, attribute: str | None = None, *values: Any) -> str:
    item: dict[str, Any] = {"method": method}
    if attribute is not None:
        item["attribute"] = attribute
    if values:
        item["values"] = list(values)
    return json.dumps(item)


def filters(*texts: str) -> tuple[Filter, ...]:
    return parse(texts, lists.EXECUTIONS).filters


def test_without_queries_a_list_has_25_rows_from_the_oldest() -> None:
    assert parse([], lists.EXECUTIONS) == Query(limit=25)


def test_filters_are_typed_by_their_attribute() -> None:
    assert filters(one("equal", "responseStatusCode", 200, 404)) == (
        Filter("equal", "responseStatusCode", (200, 404)),
    )
    assert filters(one("greaterThan", "duration", 1)) == (
        Filter("greaterThan", "duration", (1.0,)),
    )
    assert filters(one("lessThan", "$createdAt", "1970-01-01T00:00:01+00:00"))[0].values == (1000,)
    assert filters(one("createdAfter", None, "1970-01-01"))[0] == Filter(
        "greaterThan", "$createdAt", (0,)
    )


def test_the_first_limit_offset_and_cursor_win() -> None:
    texts = [
        one("limit", None, 3),
        one("limit", None, 9),
        one("offset", None, 1),
        one("offset", None, 2),
    ]
    texts += [one("cursorBefore", None, "a"), one("cursorAfter", None, "b")]
    query = parse(texts, lists.EXECUTIONS)
    assert (query.limit, query.offset, query.cursor, query.cursor_before) == (3, 1, "a", True)


def test_orders_keep_their_sequence_and_may_lack_an_attribute() -> None:
    query = parse([one("orderDesc", "duration"), one("orderAsc", "")], lists.EXECUTIONS)
    assert query.orders == (Order("duration", True), Order("", False))


def test_conditions_nest() -> None:
    text = json.dumps(
        {
            "method": "or",
            "values": [json.loads(one("equal", "status", s)) for s in ("failed", "waiting")],
        }
    )
    (found,) = filters(text)
    assert [child.values for child in found.children] == [("failed",), ("waiting",)]


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
    assert parse([one("equal", "enabled", True)], lists.FUNCTIONS).filters[0].values == (True,)
    with pytest.raises(ArgumentInvalid):
        parse([one("equal", "enabled", 1)], lists.FUNCTIONS)


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
        "attribute": st.sampled_from([*lists.EXECUTIONS, "", "x"]) | json_values,
        "values": st.lists(json_values, max_size=3) | json_values,
    },
)


@given(st.text() | json_values.map(json.dumps) | queries_like.map(json.dumps), st.booleans())
def test_whatever_comes_is_a_query_or_a_client_error(text: str, legacy: bool) -> None:
    try:
        query = parse([text], lists.EXECUTIONS, legacy=legacy)
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
    assert parse_legacy(text) == expected


@pytest.mark.parametrize(
    "text", ["", "equal", 'equal("a"', 'equal("a", [1)', "equal(,)", 'equal("a) x', "limit(5) x"]
)
def test_broken_textual_queries(text: str) -> None:
    with pytest.raises(LegacySyntaxError):
        parse_legacy(text)


@given(st.text())
def test_any_text_survives_quoting(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_legacy(f'equal("a", "{quoted}")')["values"] == [value]
