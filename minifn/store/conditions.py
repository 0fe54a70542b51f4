"""SQL of filters: identifiers come from the lists' column maps, values only through `?`."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minifn.store.queries import Attributes, Filter

_OPERATORS = {
    "notEqual": "<>",
    "lessThan": "<",
    "lessThanEqual": "<=",
    "greaterThan": ">",
    "greaterThanEqual": ">=",
}
#: The largest code point: no text that begins with p sorts after p followed by it (in practice: it is no character).
_LAST = "\U0010ffff"


@dataclass(frozen=True)
class Condition:
    """A piece of SQL that holds or not, with its values."""

    sql: str
    values: tuple[Any, ...] = ()


ALWAYS = Condition("1")


def join(conditions: Sequence[Condition], word: str = "AND") -> Condition:
    """Return the conjunction (or, with `word` OR, the disjunction) of conditions; none at all always holds."""
    if not conditions:
        return ALWAYS
    sql = f" {word} ".join(f"({item.sql})" for item in conditions)
    return Condition(sql, tuple(value for item in conditions for value in item.values))


def literal(text: str) -> str:
    """Return `text` as SQL, for an attribute that has one value."""
    return "'" + text.replace("'", "''") + "'"


def holds(conn: sqlite3.Connection, filters: Sequence[Filter], attributes: Attributes) -> bool:
    """Tell whether filters hold for the one item whose attributes are literals."""
    test = join([condition(item, attributes) for item in filters])
    return conn.execute(f"SELECT 1 WHERE {test.sql}", test.values).fetchone() is not None


def condition(item: Filter, attributes: Attributes) -> Condition:
    """Return the SQL of one filter."""
    if item.method in ("and", "or"):
        return join([condition(child, attributes) for child in item.children], item.method.upper())
    column = attributes[item.attribute].column
    values = item.values
    if item.method == "equal":
        test = "= ?" if len(values) == 1 else f"IN ({', '.join('?' * len(values))})"
        return Condition(f"{column} {test}", values)
    if item.method in _OPERATORS:
        return Condition(f"{column} {_OPERATORS[item.method]} ?", values)
    if item.method == "between":
        return Condition(f"{column} BETWEEN ? AND ?", values)
    if item.method == "notBetween":
        return Condition(f"{column} NOT BETWEEN ? AND ?", values)
    if item.method in ("isNull", "isNotNull"):
        return Condition(f"{column} {'IS' if item.method == 'isNull' else 'IS NOT'} NULL")
    return _text_condition(item.method, column, values)


def range_parts(item: Filter, attributes: Attributes) -> list[tuple[str, Condition]]:
    """Return the filter as parts (index, condition), one of which must hold; none when no index can serve it."""
    if item.method == "and":
        return next(
            (parts for child in item.children if (parts := range_parts(child, attributes))), []
        )
    if item.method == "or":
        of_children = [range_parts(child, attributes) for child in item.children]
        return [part for parts in of_children for part in parts] if all(of_children) else []
    attribute = attributes[item.attribute]
    if not attribute.index or item.method in ("isNull", "isNotNull"):
        return []
    if item.method in ("notEqual", "notBetween"):
        sides = (
            (f"{attribute.column} < ?", item.values[:1]),
            (f"{attribute.column} > ?", item.values[-1:]),
        )
        return [(attribute.index, Condition(sql, values)) for sql, values in sides]
    return [(attribute.index, condition(item, attributes))]


def _text_condition(method: str, column: str, values: tuple[Any, ...]) -> Condition:
    """Tests of a text's parts, case-sensitive: LIKE is not, and would need escapes."""
    if method in ("startsWith", "notStartsWith"):
        test, values = f"{column} BETWEEN ? AND ?", (values[0], values[0] + _LAST)
    elif method in ("endsWith", "notEndsWith"):
        # substr(x, -0) is the whole text, hence the separate case of an empty end.
        test, values = f"(? = '' OR substr({column}, -length(?)) = ?)", (values[0],) * 3
    else:
        test = " OR ".join([f"instr({column}, ?) > 0"] * len(values))
    return Condition(f"NOT ({test})" if method.startswith("not") else test, values)
