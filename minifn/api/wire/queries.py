"""The `queries` parameter: texts of a client, checked and made a typed query of the store.

Grammar and limits follow utopia-php/database (`Query.php`, `Validator/Query/*.php`).
`textual_queries.py` reads the textual form of clients before 1.5.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from minifn import jsontext
from minifn.api.wire import responses
from minifn.api.wire.formats import Shape
from minifn.api.wire.list_attributes import DEPLOYMENTS
from minifn.api.wire.textual_queries import TextualSyntaxError, parse_textual
from minifn.errors import ArgumentInvalid, QueryInvalid
from minifn.ids import is_id
from minifn.instants import parse_instant
from minifn.limits import QUERIES_MAX, QUERY_CHARS_MAX, QUERY_LEVELS_MAX, QUERY_VALUES_MAX
from minifn.models import Deployment
from minifn.store.queries import (
    INTEGER_MAX,
    LIMIT_DEFAULT,
    Attribute,
    Attributes,
    Combination,
    Comparison,
    Filter,
    Kind,
    Method,
    Order,
    Query,
    Value,
)

#: wire name -> (method, smallest and largest number of values).
COMPARISONS: dict[str, tuple[Method, int, int]] = {
    "equal": (Method.EQUAL, 1, QUERY_VALUES_MAX),
    "notEqual": (Method.NOT_EQUAL, 1, 1),
    "lessThan": (Method.LESS_THAN, 1, 1),
    "lessThanEqual": (Method.LESS_THAN_EQUAL, 1, 1),
    "greaterThan": (Method.GREATER_THAN, 1, 1),
    "greaterThanEqual": (Method.GREATER_THAN_EQUAL, 1, 1),
    "startsWith": (Method.STARTS_WITH, 1, 1),
    "notStartsWith": (Method.NOT_STARTS_WITH, 1, 1),
    "endsWith": (Method.ENDS_WITH, 1, 1),
    "notEndsWith": (Method.NOT_ENDS_WITH, 1, 1),
    "between": (Method.BETWEEN, 2, 2),
    "notBetween": (Method.NOT_BETWEEN, 2, 2),
    "contains": (Method.CONTAINS, 1, QUERY_VALUES_MAX),
    "containsAny": (Method.CONTAINS, 1, QUERY_VALUES_MAX),
    "notContains": (Method.NOT_CONTAINS, 1, QUERY_VALUES_MAX),
    "isNull": (Method.IS_NULL, 0, QUERY_VALUES_MAX),
    "isNotNull": (Method.IS_NOT_NULL, 0, QUERY_VALUES_MAX),
}
#: Methods that name their attribute themselves: wire name -> (the same with an attribute, the
#: attribute).
SHORTHANDS = {
    "createdBefore": ("lessThan", "$createdAt"),
    "createdAfter": ("greaterThan", "$createdAt"),
    "createdBetween": ("between", "$createdAt"),
    "updatedBefore": ("lessThan", "$updatedAt"),
    "updatedAfter": ("greaterThan", "$updatedAt"),
    "updatedBetween": ("between", "$updatedAt"),
}
_NULL_METHODS = frozenset({Method.IS_NULL, Method.IS_NOT_NULL})
TEXT_METHODS = frozenset(
    {
        Method.STARTS_WITH,
        Method.NOT_STARTS_WITH,
        Method.ENDS_WITH,
        Method.NOT_ENDS_WITH,
        Method.CONTAINS,
        Method.NOT_CONTAINS,
    }
)
_MODIFIERS = frozenset(
    {"orderAsc", "orderDesc", "limit", "offset", "cursorAfter", "cursorBefore", "select"}
)
#: The keys of a deployment, which clients may select.
_DEPLOYMENT_KEYS = frozenset(responses.deployment(Deployment(id="", function_id=""), Shape.FULL))


def read_query(
    texts: Sequence[str], attributes: Attributes, shape: Shape, search: str = ""
) -> Query:
    """Return the query that `texts` ask of a list with `attributes`, by wire name.

    Clients before 1.5 write textual queries. Raises ArgumentInvalid that says which rule is broken,
    also for `select`, and QueryInvalid for a full-text search of an attribute.
    """
    query, select = _parse(texts, attributes, shape, search)
    if select:
        raise _invalid("Invalid query method: select")
    return query


def read_selection(
    texts: Sequence[str], shape: Shape, search: str = ""
) -> tuple[Query, tuple[str, ...]]:
    """Return the query of a list of deployments and the keys it selects; () selects all.

    Raises ArgumentInvalid, also for `select` before 1.9, and QueryInvalid.
    """
    query, select = _parse(texts, DEPLOYMENTS, shape, search, _DEPLOYMENT_KEYS)
    if select and shape < Shape.V1_9:
        raise _invalid("Invalid query method: select")
    return query, select


def _parse(
    texts: Sequence[str],
    attributes: Attributes,
    shape: Shape,
    search: str,
    selectable: Collection[str] = (),
) -> tuple[Query, tuple[str, ...]]:
    if len(texts) > QUERIES_MAX:
        raise _invalid(f"Value must be a valid array no longer than {QUERIES_MAX} items")
    reader = _Reader(attributes, selectable)
    for text in texts:
        reader.read(_decode(text, textual=shape < Shape.V1_5))
    return reader.query(search), tuple(reader.select)


def _invalid(rule: str) -> ArgumentInvalid:
    return ArgumentInvalid.for_param("queries", rule)


def _decode(text: object, *, textual: bool) -> dict[str, Any]:
    """Return one query as an object. Raises ArgumentInvalid."""
    if not isinstance(text, str):
        raise _invalid("Invalid query: each query is a JSON string")
    if len(text) > QUERY_CHARS_MAX:
        raise _invalid(f"Invalid query: a query is no longer than {QUERY_CHARS_MAX} characters")
    textual = textual and not text.lstrip().startswith("{")
    try:
        decoded = parse_textual(text) if textual else jsontext.decode(text)
    except (TextualSyntaxError, jsontext.JsonInvalid) as exc:
        raise _invalid(f"Invalid query: Syntax error: {exc}") from exc
    return _check_object(decoded)


def _check_object(decoded: object) -> dict[str, Any]:
    if not isinstance(decoded, dict):
        raise _invalid(f"Invalid query. Must be an array, got {type(decoded).__name__}")
    if not isinstance(decoded.get("method", ""), str):
        raise _invalid("Invalid query method. Must be a string")
    if not isinstance(decoded.get("attribute") or "", str):
        raise _invalid("Invalid query attribute. Must be a string")
    if not isinstance(decoded.get("values") or [], list):
        raise _invalid("Invalid query values. Must be an array")
    return decoded


@dataclass
class _Reader:
    """Collects the queries of one list. The first limit, offset and cursor win."""

    attributes: Attributes
    selectable: Collection[str]
    filters: list[Filter] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    select: list[str] = field(default_factory=list)
    limit: int | None = None
    offset: int | None = None
    cursor: tuple[str, bool] | None = None

    def query(self, search: str) -> Query:
        cursor, before = self.cursor or ("", False)
        return Query(
            filters=tuple(self.filters),
            orders=tuple(self.orders),
            limit=LIMIT_DEFAULT if self.limit is None else self.limit,
            offset=self.offset or 0,
            cursor=cursor,
            cursor_before=before,
            search=search,
        )

    def read(self, item: dict[str, Any]) -> None:
        method = item.get("method", "")
        if method not in _MODIFIERS:
            self.filters.append(self.filter(item, 0))
            return
        name, values = item.get("attribute") or "", item.get("values") or []
        if method in ("orderAsc", "orderDesc"):
            descending = method == "orderDesc"
            self.orders.append(
                Order(self.attribute(name), descending) if name else Order(descending=descending)
            )
        elif method == "limit":
            number = _number(method, values, smallest=1)
            self.limit = number if self.limit is None else self.limit
        elif method == "offset":
            number = _number(method, values, smallest=0)
            self.offset = number if self.offset is None else self.offset
        elif method == "select":
            self.read_select(values)
        else:
            if len(values) != 1 or not isinstance(values[0], str) or not is_id(values[0]):
                raise _invalid(f"Invalid query: Invalid cursor: {method} takes the id of one row")
            self.cursor = self.cursor or (values[0], method == "cursorBefore")

    def read_select(self, values: list[Any]) -> None:
        if not values:
            raise _invalid("Invalid query: No attributes selected")
        for value in values:
            if not isinstance(value, str):
                raise _invalid("Invalid query: Selected attributes are strings")
            if value != "*" and value not in self.selectable:
                self.attribute(value)
            self.select.append(value)

    def filter(self, item: dict[str, Any], depth: int) -> Filter:
        method = item.get("method", "")
        values = item.get("values") or []
        if method in ("and", "or"):
            return self.combination(method, values, depth)
        method, name = SHORTHANDS.get(method, (method, item.get("attribute") or ""))
        if method in ("search", "notSearch"):
            self.attribute(name)
            raise QueryInvalid(f"Searching by attribute {name!r} requires a fulltext index.")
        if method not in COMPARISONS:
            where = "nested in and/or" if depth else "a query"
            raise _invalid(f"Invalid query method: {method!r} cannot be {where}")
        attribute = self.attribute(name)
        return Comparison(
            COMPARISONS[method][0], attribute, _values(method, attribute, name, values)
        )

    def combination(self, method: Any, values: list[Any], depth: int) -> Combination:
        if len(values) < 2:
            raise _invalid(
                f"Invalid query: {method.capitalize()} queries require at least two queries"
            )
        if depth == QUERY_LEVELS_MAX:
            raise _invalid(f"Invalid query: queries nest no deeper than {QUERY_LEVELS_MAX}")
        return Combination(
            method, tuple(self.filter(_check_object(value), depth + 1) for value in values)
        )

    def attribute(self, name: str) -> Attribute:
        if name not in self.attributes:
            raise _invalid(f"Invalid query: Attribute not found in schema: {name}")
        return self.attributes[name]


def _values(method: str, attribute: Attribute, name: str, values: list[Any]) -> tuple[Value, ...]:
    """Return the values of a comparison, typed. `name` is the wire name of the attribute."""
    comparison, smallest, largest = COMPARISONS[method]
    if comparison in _NULL_METHODS:
        return ()
    if len(values) < smallest:
        raise _invalid(f"Invalid query: {method} queries require {_count(smallest, largest)}.")
    if len(values) > largest:
        raise _invalid(f"Invalid query: {method} queries take no more than {largest} values.")
    if comparison in TEXT_METHODS and attribute.kind is not Kind.STRING:
        raise _invalid(
            f"Invalid query: Cannot query {method} on attribute {name} because it is not a string."
        )
    return tuple(_typed(value, attribute.kind, name) for value in values)


def _number(method: str, values: list[Any], *, smallest: int) -> int:
    value = values[0] if len(values) == 1 else None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is not int or not smallest <= value <= INTEGER_MAX:
        raise _invalid(
            f"Invalid query: Invalid {method}: Value must be a valid range"
            f" between {smallest} and max"
        )
    return value


def _count(smallest: int, largest: int) -> str:
    if smallest == largest == 1:
        return "exactly one value"
    return "exactly two values" if smallest == largest else "at least one value"


def _typed(value: object, kind: Kind, name: str) -> Value:
    """Return `value` as its column stores it. Raises ArgumentInvalid if it has another type."""
    wrong = _invalid(f'Invalid query: Query value is invalid for attribute "{name}"')
    if kind is Kind.STRING and isinstance(value, str):
        return value
    if kind is Kind.BOOLEAN and isinstance(value, bool):
        return value
    if kind is Kind.INTEGER and type(value) is int and abs(value) <= INTEGER_MAX:
        return value
    if kind is Kind.FLOAT and (
        type(value) is float or (type(value) is int and abs(value) <= INTEGER_MAX)
    ):
        return float(value)
    if kind is Kind.INSTANT and isinstance(value, str):
        try:
            return parse_instant(value)
        except ValueError as exc:
            raise wrong from exc
    raise wrong
