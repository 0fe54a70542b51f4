"""A query of a list, typed: filters, order and page.

`minifn.api.wire.queries` reads it from a client's texts.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

LIMIT_DEFAULT = 25
#: SQLite's largest integer: larger numbers cannot be compared.
INTEGER_MAX = 2**63 - 1

Value = str | int | float | bool


class Kind(enum.Enum):
    """The type of an attribute's values."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    INSTANT = "datetime"


@dataclass(frozen=True)
class Attribute:
    """An attribute of a list: its SQL expression, its kind, and the index that serves it.

    An attribute without an index has "" there.
    """

    column: str
    kind: Kind
    index: str = ""


#: By snake_case name.
Attributes = Mapping[str, Attribute]

#: The order of creation; every table has it.
CREATION = Attribute("sequence", Kind.INTEGER)


class Method(enum.Enum):
    """A comparison of an attribute with values."""

    EQUAL = "equal"
    NOT_EQUAL = "not_equal"
    LESS_THAN = "less_than"
    LESS_THAN_EQUAL = "less_than_equal"
    GREATER_THAN = "greater_than"
    GREATER_THAN_EQUAL = "greater_than_equal"
    BETWEEN = "between"
    NOT_BETWEEN = "not_between"
    STARTS_WITH = "starts_with"
    NOT_STARTS_WITH = "not_starts_with"
    ENDS_WITH = "ends_with"
    NOT_ENDS_WITH = "not_ends_with"
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    IS_NULL = "is_null"
    IS_NOT_NULL = "is_not_null"


#: Comparisons of a part of a text that is not its beginning, and their opposites.
PARTS_OF_TEXTS = frozenset(
    {
        *(Method.CONTAINS, Method.NOT_CONTAINS, Method.ENDS_WITH, Method.NOT_ENDS_WITH),
        Method.NOT_STARTS_WITH,
    }
)


@dataclass(frozen=True)
class Comparison:
    """A condition on one attribute. EQUAL and CONTAINS hold when one of the values does."""

    method: Method
    attribute: Attribute
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Combination:
    """Filters that hold together (`and`), or one of which holds (`or`)."""

    operator: Literal["and", "or"]
    filters: "tuple[Filter, ...]"


Filter = Comparison | Combination


@dataclass(frozen=True)
class Order:
    """One key of the order."""

    attribute: Attribute = CREATION
    descending: bool = False


@dataclass(frozen=True, kw_only=True)
class Query:
    """A page of a list.

    All filters hold. Rows that are equal by `orders` come in order of creation.
    """

    filters: tuple[Filter, ...] = ()
    orders: tuple[Order, ...] = ()
    limit: int = LIMIT_DEFAULT
    offset: int = 0
    #: The id the page begins after or ends before, "" for none.
    cursor: str = ""
    cursor_before: bool = False
    #: Words to search for, "" for all rows.
    search: str = ""
