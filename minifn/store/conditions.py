"""SQL of filters: identifiers come from attributes, values are bound to `?`."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from minifn.store.queries import Combination, Comparison, Filter, Method

_OPERATORS = {
    Method.NOT_EQUAL: "<> ?",
    Method.LESS_THAN: "< ?",
    Method.LESS_THAN_EQUAL: "<= ?",
    Method.GREATER_THAN: "> ?",
    Method.GREATER_THAN_EQUAL: ">= ?",
    Method.BETWEEN: "BETWEEN ? AND ?",
    Method.NOT_BETWEEN: "NOT BETWEEN ? AND ?",
    Method.IS_NULL: "IS NULL",
    Method.IS_NOT_NULL: "IS NOT NULL",
}
_NULL_METHODS = (Method.IS_NULL, Method.IS_NOT_NULL)
_NEGATED = frozenset({Method.NOT_STARTS_WITH, Method.NOT_ENDS_WITH, Method.NOT_CONTAINS})
#: The largest code point. It is not a character, so texts with the prefix p sort before p + LAST.
LAST = "\U0010ffff"


@dataclass(frozen=True)
class Condition:
    """An SQL expression that is true or false, with its values."""

    sql: str
    values: tuple[Any, ...] = ()


ALWAYS = Condition("1")


def join(conditions: Sequence[Condition], operator: str = "AND") -> Condition:
    """Return the conjunction of conditions, or with `operator` OR their disjunction.

    Without conditions the result always holds.
    """
    if not conditions:
        return ALWAYS
    sql = f" {operator} ".join(f"({item.sql})" for item in conditions)
    return Condition(sql, tuple(value for item in conditions for value in item.values))


def exists(rows: str) -> str:
    """Return the condition that there are `rows`, as they follow FROM.

    It is no EXISTS: SQLite 3.51.0 and 3.51.1 make joins of these, some of which find wrong rows.
    """
    return f"(SELECT 1 FROM {rows} LIMIT 1)"


def within(column: str, reach: Iterable[str]) -> Condition:
    """Return the condition that a column's function id is within `reach` (`ids.reaches`)."""
    return join([_named(column, item.split()) for item in reach])


def _named(column: str, patterns: list[str]) -> Condition:
    return join(
        [
            Condition(f"{column} BETWEEN ? AND ?", (pattern[:-1], pattern[:-1] + LAST))
            if pattern.endswith("*")
            else Condition(f"{column} = ?", (pattern,))
            for pattern in patterns
        ],
        "OR",
    )


def literal(text: str) -> str:
    """Return `text` as SQL, for an attribute with a fixed value."""
    return "'" + text.replace("'", "''") + "'"


def holds(conn: sqlite3.Connection, filters: Sequence[Filter]) -> bool:
    """Tell whether filters hold whose attributes are literals."""
    test = join([condition(item) for item in filters])
    return conn.execute(f"SELECT 1 WHERE {test.sql}", test.values).fetchone() is not None


def condition(item: Filter, unsought: Collection[str] = ()) -> Condition:
    """Return the SQL of one filter. SQLite does not seek by the columns that are `unsought`."""
    if isinstance(item, Combination):
        inner = [condition(one, unsought) for one in item.filters]
        return join(inner, item.operator.upper())
    column, values = item.attribute.column, item.values
    if column in unsought:
        column = f"+{column}"
    if item.method is Method.EQUAL:
        if not values:
            # Not `IN ()`: SQLite takes all that it is combined with as false, and an index's WHERE.
            return Condition(f"{column} = ?", (None,))
        test = "= ?" if len(values) == 1 else f"IN ({', '.join('?' * len(values))})"
        return Condition(f"{column} {test}", values)
    if item.method in _OPERATORS:
        return Condition(f"{column} {_OPERATORS[item.method]}", values)
    return _text_condition(item.method, column, values)


def range_parts(item: Filter) -> list[tuple[str, Condition]]:
    """Return the filter as (index, condition) pairs, one of which must hold.

    The list is empty when no index can serve the filter.
    """
    if isinstance(item, Comparison):
        return _comparison_parts(item)
    parts = [range_parts(inner) for inner in item.filters]
    if item.operator == "and":
        return next((part for part in parts if part), [])
    return [pair for part in parts for pair in part] if all(parts) else []


def _comparison_parts(item: Comparison) -> list[tuple[str, Condition]]:
    index, column = item.attribute.index, item.attribute.column
    if not index or item.method in _NULL_METHODS:
        return []
    if item.method is Method.NOT_BETWEEN and item.values[0] > item.values[-1]:  # type: ignore[operator]
        # It holds for every row, and both parts would have some.
        return []
    if item.method in (Method.NOT_EQUAL, Method.NOT_BETWEEN):
        return [
            (index, Condition(f"{column} < ?", item.values[:1])),
            (index, Condition(f"{column} > ?", item.values[-1:])),
        ]
    return [(index, condition(item))]


def _text_condition(method: Method, column: str, values: tuple[Any, ...]) -> Condition:
    """Return a case-sensitive test of a part of a text.

    LIKE ignores the case of letters and would need escapes.
    """
    if method in (Method.STARTS_WITH, Method.NOT_STARTS_WITH):
        test, values = f"{column} BETWEEN ? AND ?", (values[0], values[0] + LAST)
    elif method in (Method.ENDS_WITH, Method.NOT_ENDS_WITH):
        # substr(x, -0) is the whole text, so an empty end is tested apart.
        test, values = f"(? = '' OR substr({column}, -length(?)) = ?)", (values[0],) * 3
    else:
        test = " OR ".join([f"instr({column}, ?) > 0"] * len(values))
    return Condition(f"NOT ({test})" if method in _NEGATED else test, values)
