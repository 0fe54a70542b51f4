"""Every method of the package's Query class, on functions with timeouts of 11, 12 and 13 s."""

import os

from appwrite.query import Query
from client import refused

PAST, FUTURE = "2000-01-01T00:00:00.000+00:00", "2999-01-01T00:00:00.000+00:00"

#: Methods for attributes that no list of this API has.
UNSERVED = {
    **dict.fromkeys(
        (
            "distance_equal",
            "distance_not_equal",
            "distance_greater_than",
            "distance_less_than",
            "intersects",
            "not_intersects",
            "crosses",
            "not_crosses",
            "overlaps",
            "not_overlaps",
            "touches",
            "not_touches",
            "covers",
            "not_covers",
            "spatial_equals",
            "not_spatial_equals",
        ),
        "for attributes that are shapes",
    ),
    **dict.fromkeys(
        ("vector_dot", "vector_cosine", "vector_euclidean"), "for attributes that are vectors"
    ),
    **dict.fromkeys(
        (
            "count",
            "count_distinct",
            "sum",
            "avg",
            "min",
            "max",
            "stddev",
            "stddev_pop",
            "stddev_samp",
            "variance",
            "var_pop",
            "var_samp",
            "bit_and",
            "bit_or",
            "bit_xor",
            "group_by",
            "having",
            "distinct",
        ),
        "for reports on tables",
    ),
    **dict.fromkeys(
        (
            "elem_match",
            "relationship",
            "on",
            "join",
            "left_join",
            "right_join",
            "full_outer_join",
            "cross_join",
        ),
        "for rows that belong to others",
    ),
    "page": "makes limit and offset of a page number",
    "builder": "another way to write the same queries",
    "Builder": "another way to write the same queries",
}


def expected(ids, prefix):
    """Yield (method, its arguments, the found functions of a, b and c in order)."""
    a, _, c = ids
    yield "equal", ("timeout", 11), "a"
    yield "equal", ("timeout", [11, 13]), "ac"
    yield "not_equal", ("timeout", 12), "ac"
    yield "less_than", ("timeout", 12), "a"
    yield "less_than_equal", ("timeout", 12), "ab"
    yield "greater_than", ("timeout", 12), "c"
    yield "greater_than_equal", ("timeout", 12), "bc"
    yield "between", ("timeout", 12, 13), "bc"
    yield "equal", ("enabled", False), "c"
    yield "starts_with", ("name", f"{prefix} b"), "b"
    yield "ends_with", ("name", " c"), "c"
    yield "contains", ("name", [f"{prefix} b", " c"]), "bc"
    yield "is_null", ("name",), ""
    yield "is_not_null", ("name",), "abc"
    yield "order_asc", ("timeout",), "abc"
    yield "order_desc", ("timeout",), "cba"
    yield "order_desc", ("",), "cba"
    yield "limit", (2,), "ab"
    yield "offset", (1,), "bc"
    yield "cursor_after", (a,), "bc"
    yield "cursor_before", (c,), "ab"
    yield "or_queries", ([Query.equal("timeout", 11), Query.equal("$id", c)],), "ac"
    yield "and_queries", ([Query.less_than("timeout", 13), Query.not_equal("$id", a)],), "b"
    yield "contains_any", ("name", [f"{prefix} b", " c"]), "bc"
    yield "not_contains", ("name", [f"{prefix} b", " c"]), "a"
    yield "not_between", ("timeout", 12, 13), "a"
    yield "not_starts_with", ("name", f"{prefix} b"), "ac"
    yield "not_ends_with", ("name", " c"), "ab"
    yield "created_before", (FUTURE,), "abc"
    yield "created_before", (PAST,), ""
    yield "created_after", (PAST,), "abc"
    yield "created_between", (PAST, FUTURE), "abc"
    yield "updated_before", (PAST,), ""
    yield "updated_after", (PAST,), "abc"
    yield "updated_between", (PAST, FUTURE), "abc"


#: Methods without a fitting attribute of functions -> (arguments, type of the error).
REFUSED = {
    "search": (("name", "word"), "general_query_invalid"),
    "not_search": (("name", "word"), "general_query_invalid"),
    "select": ((["name"],), "general_argument_invalid"),
    "regex": (("name", "^a"), "general_argument_invalid"),
    "exists": ((["name"],), "general_argument_invalid"),
    "not_exists": ((["name"],), "general_argument_invalid"),
    "contains_all": (("name", ["a"]), "general_argument_invalid"),
    "order_random": ((), "general_argument_invalid"),
}


def check(functions, prefix):
    """Try every query on new functions whose names begin with `prefix`."""
    ids = [f"{prefix}-{letter}" for letter in "abc"]
    for number, function_id in enumerate(ids):
        name = f"{prefix} {function_id[-1]}"
        functions.create(
            function_id, name, os.environ["RUNTIME"], timeout=11 + number, enabled=number < 2
        )
    tried = set()
    mine = Query.starts_with("name", prefix)
    for method, arguments, letters in expected(ids, prefix):
        if not hasattr(Query, method):
            continue
        tried.add(method)
        found = functions.list([mine, getattr(Query, method)(*arguments)])
        assert "".join(row["$id"][-1] for row in found["functions"]) == letters, (
            method,
            arguments,
            found,
        )
        paged = method in ("limit", "offset", "cursor_after", "cursor_before")
        assert found["total"] == (3 if paged else len(letters)), (method, found["total"])
    for method, (arguments, kind) in REFUSED.items():
        if hasattr(Query, method):
            tried.add(method)
            refused(400, kind, functions.list, [getattr(Query, method)(*arguments)])
    methods = {
        name
        for name, value in vars(Query).items()
        if name[0] != "_" and isinstance(value, staticmethod | type)
    }
    assert tried | set(UNSERVED) >= methods, methods - tried - set(UNSERVED)

    page = functions.list(
        [mine, Query.order_desc("timeout"), Query.cursor_after(ids[1]), Query.limit(1)]
    )
    assert [row["$id"] for row in page["functions"]] == [ids[0]]
    page = functions.list(
        [mine, Query.order_desc("timeout"), Query.cursor_before(ids[0]), Query.limit(1)]
    )
    assert [row["$id"] for row in page["functions"]] == [ids[1]]
    refused(400, "general_cursor_not_found", functions.list, [Query.cursor_after("nothing")])
    refused(400, "general_argument_invalid", functions.list, [Query.equal("unknown", "x")])
    refused(400, "general_argument_invalid", functions.list, [Query.equal("timeout", "text")])
    refused(400, "general_argument_invalid", functions.list, [Query.limit(0)])
    refused(400, "general_argument_invalid", functions.list, ["nonsense"])
    assert [row["$id"] for row in functions.list(search=f'"{ids[1]}"')["functions"]] == [ids[1]]
    for function_id in ids:
        functions.delete(function_id)
