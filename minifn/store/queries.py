"""The `queries` parameter: what a client asks of a list, checked and typed.

`parse` is pure. Grammar and limits follow utopia-php/database (`Query.php`, `Validator/Query/*.php`); the textual form
of clients before 1.5 is in `legacy.py`.
"""

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minifn import jsontext
from minifn.errors import ArgumentInvalid, QueryInvalid
from minifn.ids import is_id
from minifn.instants import parse_instant
from minifn.store.legacy import LegacySyntaxError, parse_legacy

QUERIES_MAX = 100
QUERY_CHARS_MAX = 4096
VALUES_MAX = 500
LIMIT_DEFAULT = 25
DEPTH_MAX = 3
#: SQLite's largest integer: what is larger cannot be compared.
INTEGER_MAX = 2**63 - 1


class Kind(enum.Enum):
    """What an attribute holds."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    INSTANT = "datetime"


@dataclass(frozen=True)
class Attribute:
    """An attribute of a list: its SQL expression, its kind, and the index that serves it ("" for none)."""

    column: str
    kind: Kind
    index: str = ""


Attributes = Mapping[str, Attribute]
Value = str | int | float | bool


@dataclass(frozen=True)
class Filter:
    """One condition: a comparison of an attribute with values, or `and` / `or` over `children`."""

    method: str
    attribute: str = ""
    values: tuple[Value, ...] = ()
    children: "tuple[Filter, ...]" = ()


@dataclass(frozen=True)
class Order:
    """One key of the order; the attribute "" is the order of creation."""

    attribute: str = ""
    descending: bool = False


@dataclass(frozen=True, kw_only=True)
class Query:
    """What to list. All filters hold at once; `orders` come before the order of creation, which breaks ties."""

    filters: tuple[Filter, ...] = ()
    orders: tuple[Order, ...] = ()
    limit: int = LIMIT_DEFAULT
    offset: int = 0
    #: The id the page begins after or ends before, "" for none.
    cursor: str = ""
    cursor_before: bool = False
    #: The attributes asked for; empty means all.
    select: tuple[str, ...] = ()
    search: str = ""


#: method -> (smallest, largest number of values).
COMPARISONS: dict[str, tuple[int, int]] = {
    "equal": (1, VALUES_MAX),
    "notEqual": (1, 1),
    "lessThan": (1, 1),
    "lessThanEqual": (1, 1),
    "greaterThan": (1, 1),
    "greaterThanEqual": (1, 1),
    "startsWith": (1, 1),
    "notStartsWith": (1, 1),
    "endsWith": (1, 1),
    "notEndsWith": (1, 1),
    "between": (2, 2),
    "notBetween": (2, 2),
    "contains": (1, VALUES_MAX),
    "containsAny": (1, VALUES_MAX),
    "notContains": (1, VALUES_MAX),
    "isNull": (0, VALUES_MAX),
    "isNotNull": (0, VALUES_MAX),
}
#: Methods that name their attribute themselves: method -> (the same with an attribute, the attribute).
SHORTHANDS = {
    "createdBefore": ("lessThan", "$createdAt"),
    "createdAfter": ("greaterThan", "$createdAt"),
    "createdBetween": ("between", "$createdAt"),
    "updatedBefore": ("lessThan", "$updatedAt"),
    "updatedAfter": ("greaterThan", "$updatedAt"),
    "updatedBetween": ("between", "$updatedAt"),
}
TEXT_METHODS = frozenset(
    {
        "startsWith",
        "notStartsWith",
        "endsWith",
        "notEndsWith",
        "contains",
        "containsAny",
        "notContains",
    }
)
_MODIFIERS = frozenset(
    {"orderAsc", "orderDesc", "limit", "offset", "cursorAfter", "cursorBefore", "select"}
)


def parse(
    texts: Sequence[str],
    attributes: Attributes,
    *,
    search: str = "",
    legacy: bool = False,
    selectable: Collection[str] = (),
) -> Query:
    """Return the query that `texts` (each a JSON object, or textual when `legacy`) ask of a list with `attributes`.

    `selectable` are names that may be selected besides. Raises ArgumentInvalid that says which rule
    is broken, and QueryInvalid for a full-text search of an attribute.
    """
    if len(texts) > QUERIES_MAX:
        raise _invalid(f"Value must be a valid array no longer than {QUERIES_MAX} items")
    reader = _Reader(attributes, search, selectable)
    for text in texts:
        reader.read(_decode(text, legacy))
    return reader.query()


def _invalid(rule: str) -> ArgumentInvalid:
    return ArgumentInvalid.for_param("queries", rule)


def _decode(text: object, legacy: bool) -> dict[str, Any]:
    if not isinstance(text, str):
        raise _invalid("Invalid query: each query is a JSON string")
    if len(text) > QUERY_CHARS_MAX:
        raise _invalid(f"Invalid query: a query is no longer than {QUERY_CHARS_MAX} characters")
    try:
        decoded = (
            parse_legacy(text)
            if legacy and not text.lstrip().startswith("{")
            else jsontext.decode(text)
        )
    except (LegacySyntaxError, jsontext.JsonInvalid) as exc:
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
    """Collects what the queries of one list say; the first limit, offset and cursor win."""

    attributes: Attributes
    search: str
    selectable: Collection[str]
    filters: list[Filter] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    select: list[str] = field(default_factory=list)
    limit: int | None = None
    offset: int | None = None
    cursor: tuple[str, bool] | None = None

    def query(self) -> Query:
        cursor, before = self.cursor or ("", False)
        return Query(
            filters=tuple(self.filters),
            orders=tuple(self.orders),
            limit=LIMIT_DEFAULT if self.limit is None else self.limit,
            offset=self.offset or 0,
            cursor=cursor,
            cursor_before=before,
            select=tuple(self.select),
            search=self.search,
        )

    def read(self, item: dict[str, Any]) -> None:
        method = item.get("method", "")
        if method not in _MODIFIERS:
            self.filters.append(self.filter(item, 0))
            return
        attribute, values = item.get("attribute") or "", item.get("values") or []
        if method in ("orderAsc", "orderDesc"):
            if attribute:
                self.attribute(attribute)
            self.orders.append(Order(attribute, method == "orderDesc"))
        elif method == "limit":
            number = self.number(method, values, smallest=1)
            self.limit = number if self.limit is None else self.limit
        elif method == "offset":
            number = self.number(method, values, smallest=0)
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
        method, attribute, values = (
            item.get("method", ""),
            item.get("attribute") or "",
            item.get("values") or [],
        )
        if method in ("and", "or"):
            if len(values) < 2:
                raise _invalid(
                    f"Invalid query: {method.capitalize()} queries require at least two queries"
                )
            if depth == DEPTH_MAX:
                raise _invalid(f"Invalid query: queries nest no deeper than {DEPTH_MAX}")
            children = tuple(self.filter(_check_object(value), depth + 1) for value in values)
            return Filter(method, children=children)
        if method in SHORTHANDS:
            method, attribute = SHORTHANDS[method]
        if method in ("search", "notSearch"):
            self.attribute(attribute)
            raise QueryInvalid(f"Searching by attribute {attribute!r} requires a fulltext index.")
        if method not in COMPARISONS:
            where = "nested in and/or" if depth else "a query"
            raise _invalid(f"Invalid query method: {method!r} cannot be {where}")
        return Filter(
            method, attribute, self.values(method, self.attribute(attribute), attribute, values)
        )

    def attribute(self, name: str) -> Attribute:
        if name not in self.attributes:
            raise _invalid(f"Invalid query: Attribute not found in schema: {name}")
        return self.attributes[name]

    def values(
        self, method: str, attribute: Attribute, name: str, values: list[Any]
    ) -> tuple[Value, ...]:
        smallest, largest = COMPARISONS[method]
        if method in ("isNull", "isNotNull"):
            return ()
        if len(values) < smallest:
            raise _invalid(f"Invalid query: {method} queries require {_count(smallest, largest)}.")
        if len(values) > largest:
            raise _invalid(f"Invalid query: {method} queries take no more than {largest} values.")
        if method in TEXT_METHODS and attribute.kind is not Kind.STRING:
            raise _invalid(
                f"Invalid query: Cannot query {method} on attribute {name} because it is not a string."
            )
        return tuple(_typed(value, attribute.kind, name) for value in values)

    @staticmethod
    def number(method: str, values: list[Any], *, smallest: int) -> int:
        value = values[0] if len(values) == 1 else None
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if type(value) is not int or not smallest <= value <= INTEGER_MAX:
            raise _invalid(
                f"Invalid query: Invalid {method}: Value must be a valid range between {smallest} and max"
            )
        return value


def _count(smallest: int, largest: int) -> str:
    if smallest == largest == 1:
        return "exactly one value"
    return "exactly two values" if smallest == largest else "at least one value"


def _typed(value: object, kind: Kind, name: str) -> Value:
    """Return `value` as its column stores it. Raises ArgumentInvalid when it is of another type."""
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
