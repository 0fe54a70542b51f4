"""The parts of a page: ranges of the columns of its order, none of which overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from minifn.store.blocks import EVERYWHERE, Range
from minifn.store.conditions import ALWAYS, LAST, Condition, join
from minifn.store.plans import Orders
from minifn.store.queries import Comparison, Method, Query

#: Comparisons that give a column a least value, and those that give it a largest one.
_ABOVE = frozenset({Method.GREATER_THAN, Method.GREATER_THAN_EQUAL, Method.BETWEEN})
_BELOW = frozenset({Method.LESS_THAN, Method.LESS_THAN_EQUAL, Method.BETWEEN})


@dataclass(frozen=True)
class Part:
    """A part of a list: its condition, and the columns that have one value in it."""

    condition: Condition = ALWAYS
    fixed: frozenset[str] = frozenset()


def parts_of(
    query: Query, orders: Orders, row: Sequence[Any], ranges: Sequence[Range]
) -> list[Part]:
    """Return the parts of a page, none of which overlap; with a cursor those beyond its `row`.

    For keys a and b, of which no two rows share the last, they are `a = ? AND b > ?` and `a > ?`.
    A filter that compares a key decides here which parts there are: SQLite would seek by it. The
    first key lies in `ranges`.
    """
    columns = [column for column, _ in orders]
    if not row:
        return [Part(one) for within in ranges for one in further(query, *orders[0], None, within)]
    equal = _compared(query, Method.EQUAL)
    parts: list[Part] = []
    for place in reversed(range(len(orders))):
        known = dict(zip(columns[:place], row, strict=False))
        if all(equal.get(column, value) == value for column, value in known.items()):
            same = [Condition(f"{column} = ?", (value,)) for column, value in known.items()]
            parts += [
                Part(join([*same, one]), frozenset(known))
                for within in ((EVERYWHERE,) if place else ranges)
                for one in further(query, *orders[place], row[place], within)
            ]
    return parts


def further(
    query: Query, column: str, descending: bool, value: Any, within: Range
) -> list[Condition]:
    """Return the ranges of a column beyond `value`, None for all, within a range and filters."""
    beyond, before = ("<", ">") if descending else (">", "<")

    def is_beyond(bound: Any) -> bool:
        return value is None or bool(bound < value if descending else bound > value)

    equal = _compared(query, Method.EQUAL).get(column)
    if equal is not None:
        return [Condition(f"{column} = ?", (equal,))] if is_beyond(equal) else []
    least, largest = tightest(query, column, within)
    first, last = (largest, least) if descending else (least, largest)
    # SQLite seeks to the first bound of a side, so there is one of each.
    begins = [] if value is None else [Condition(f"{column} {beyond} ?", (value,))]
    if first is not None and is_beyond(first.value):
        begins = [Condition(f"{column} {beyond}{first.equal} ?", (first.value,))]
    ends = [] if last is None else [Condition(f"{column} {before}{last.equal} ?", (last.value,))]
    apart = _compared(query, Method.NOT_EQUAL).get(column)
    is_between = apart is not None and all(
        [
            is_beyond(apart),
            least is None or least.value <= apart,
            largest is None or largest.value >= apart,
        ]
    )
    if is_between:
        return [
            join([*begins, Condition(f"{column} {before} ?", (apart,))]),
            join([Condition(f"{column} {beyond} ?", (apart,)), *ends]),
        ]
    return [join([*begins, *ends])]


class Bound(NamedTuple):
    """One side of a range; `equal` is "=" when the value itself is within."""

    value: Any
    equal: str = "="


def tightest(query: Query, column: str, within: Range) -> tuple[Bound | None, Bound | None]:
    """Return the least and the largest bound of a column: of a range, and of filters'."""
    least, largest = ([] if value is None else [Bound(value)] for value in within)
    for item in query.filters:
        if isinstance(item, Comparison) and item.attribute.column == column:
            equal = "" if item.method in (Method.LESS_THAN, Method.GREATER_THAN) else "="
            if item.method is Method.EQUAL and item.values:
                least.append(Bound(min(item.values)))
                largest.append(Bound(max(item.values)))
            if item.method in _ABOVE:
                least.append(Bound(item.values[0], equal))
            if item.method in _BELOW:
                largest.append(Bound(item.values[-1], equal))
            if item.method is Method.STARTS_WITH:
                least.append(Bound(item.values[0]))
                largest.append(Bound(f"{item.values[0]}{LAST}"))
    return (
        max(least, key=lambda bound: (bound.value, not bound.equal), default=None),
        min(largest, key=lambda bound: (bound.value, bool(bound.equal)), default=None),
    )


def _compared(query: Query, method: Method) -> dict[str, Any]:
    """Return the columns that a filter compares with one value, and these values."""
    return {
        item.attribute.column: item.values[0]
        for item in query.filters
        if isinstance(item, Comparison) and item.method is method and len(item.values) == 1
    }
