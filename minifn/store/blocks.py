"""Where executions that match may lie, so that a walk leaves out the others.

Ids and times nearly follow the order of creation, and the longest durations often lie together:
`executions_blocks` has the least and the largest of each block of rows. `filling` adds a block
whenever it fills functions in, and a trigger widens it when one of its rows changes. Of the kinds
of executions that may match (`chosen`) the index tells the first and the last row of each. Rows
beyond the last block (the tail) are read.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from minifn.store.chosen import Chosen
from minifn.store.conditions import ALWAYS, LAST, Condition, join
from minifn.store.queries import INTEGER_MAX, Comparison, Filter, Method

#: Columns of which a block has the least and the largest value.
_ENDS = {
    "sequence": ("first", "last"),
    **{
        column: (f"{column}_min", f"{column}_max")
        for column in ("id", "created_at", "updated_at", "duration_seconds")
    },
}
#: Most kinds whose rows are looked for.
KINDS_MAX = 1_000
#: Tests of whether a block may have a matching value: `{0}` is its least value, `{1}` the largest.
_OVERLAPS = {
    Method.LESS_THAN: "{0} < ?",
    Method.LESS_THAN_EQUAL: "{0} <= ?",
    Method.GREATER_THAN: "{1} > ?",
    Method.GREATER_THAN_EQUAL: "{1} >= ?",
    Method.BETWEEN: "{1} >= ? AND {0} <= ?",
}
_METHODS = frozenset({*_OVERLAPS, Method.EQUAL, Method.STARTS_WITH})
#: Tests of whether all values of a block match.
_WITHIN = {
    Method.LESS_THAN: "{1} < ?",
    Method.LESS_THAN_EQUAL: "{1} <= ?",
    Method.GREATER_THAN: "{0} > ?",
    Method.GREATER_THAN_EQUAL: "{0} >= ?",
    Method.BETWEEN: "{0} >= ? AND {1} <= ?",
}

#: The least and the largest value of a column, None where it is unknown.
Range = tuple[Any, Any]
EVERYWHERE: Range = (None, None)
#: Most ranges of a walk: each is a part of its query.
RANGES_MAX = 8


def add(conn: sqlite3.Connection, after: int, through: int) -> None:
    """Add the block of the executions between two sequences, the second one included."""
    values = ", ".join(
        f"min({column}) AS {least}, max({column}) AS {largest}"
        for column, (least, largest) in _ENDS.items()
    )
    names = ", ".join(name for ends in _ENDS.values() for name in ends)
    conn.execute(
        f"INSERT INTO executions_blocks ({names}) SELECT {names} FROM (SELECT {values}"
        "  FROM executions NOT INDEXED WHERE sequence > ? AND sequence <= ?)"
        " WHERE first IS NOT NULL",
        (after, through),
    )
    conn.execute(
        "DELETE FROM executions_blocks WHERE last < (SELECT min(sequence) FROM executions)"
    )


def ranges(
    conn: sqlite3.Connection,
    column: str,
    filters: Sequence[Filter],
    *,
    chosen: Chosen | None = None,
    tail: Condition | None = None,
) -> list[Range]:
    """Return ranges of `column` in which the rows that match lie, in order.

    The rows are of the `chosen` kinds, if these are given. `tail` selects those that no block
    holds, if they count.
    """
    compared = _compared(filters)
    if column not in _ENDS:
        return [EVERYWHERE]
    overlaps = [*map(_overlap, compared)]
    if chosen is not None and chosen.is_told:
        overlaps.append(_presence(conn, chosen))
    overlaps = [one for one in overlaps if one is not ALWAYS]
    if not overlaps:
        return [EVERYWHERE]
    least, largest = _ENDS[column]
    blocks = join(overlaps)
    found = conn.execute(
        f"SELECT {least}, {largest} FROM executions_blocks WHERE {blocks.sql}", blocks.values
    ).fetchall()
    if tail is not None:
        found += conn.execute(
            f"SELECT min({column}), max({column}) FROM ({tail.sql})", tail.values
        ).fetchall()
    # Without rows, the tail's range is empty.
    return _merged(sorted(one for one in found if one[0] is not None))


def sequences(
    conn: sqlite3.Connection, filters: Sequence[Filter]
) -> tuple[list[Range], list[Range]]:
    """Return the ranges of sequences whose rows all match, and those in which some may."""
    compared = _compared(filters)
    surely = join([_surely(item) for item in compared])
    if len(compared) < len(filters):
        surely = Condition("0")
    blocks = join([*map(_overlap, compared)])
    found = conn.execute(
        f"SELECT first, last, {surely.sql} FROM executions_blocks WHERE {blocks.sql} ORDER BY last",
        (*surely.values, *blocks.values),
    ).fetchall()
    sure = _joined(row[:2] for row in found if row[2])
    return sure, _joined(row[:2] for row in found if not row[2])


def _compared(filters: Sequence[Filter]) -> list[Comparison]:
    """Return the filters of which blocks tell."""
    return [
        item
        for item in filters
        if isinstance(item, Comparison)
        and item.method in _METHODS
        and item.attribute.column in _ENDS
    ]


def _joined(found: Iterable[Range]) -> list[Range]:
    """Return the ranges that sorted ones cover together."""
    merged: list[Range] = []
    for least, largest in found:
        if merged and (
            least <= merged[-1][1] or (isinstance(least, int) and least == merged[-1][1] + 1)
        ):
            merged[-1] = merged[-1][0], max(largest, merged[-1][1])
        else:
            merged.append((least, largest))
    return merged


def _merged(found: Iterable[Range]) -> list[Range]:
    """Return ranges that cover sorted ones, at most RANGES_MAX."""
    merged = _joined(found)
    if len(merged) > RANGES_MAX:
        # A page begins at either end.
        half = RANGES_MAX // 2
        middle = merged[half - 1][0], merged[-half][1]
        return [*merged[: half - 1], middle, *merged[len(merged) - half + 1 :]]
    return merged


def _overlap(item: Comparison) -> Condition:
    """Return the condition that a block may have a value for which the filter holds."""
    ends = _ENDS[item.attribute.column]
    between = _OVERLAPS[Method.BETWEEN].format(*ends)
    if item.method is Method.EQUAL:
        return join([Condition(between, (value, value)) for value in item.values], "OR")
    if item.method is Method.STARTS_WITH:
        (prefix,) = item.values
        return Condition(between, (prefix, f"{prefix}{LAST}"))
    return Condition(_OVERLAPS[item.method].format(*ends), item.values)


def _surely(item: Comparison) -> Condition:
    """Return the condition that the filter holds for all rows of a block."""
    ends = _ENDS[item.attribute.column]
    if item.method is Method.EQUAL:
        return Condition("0")
    if item.method is Method.STARTS_WITH:
        (prefix,) = item.values
        return Condition(_WITHIN[Method.BETWEEN].format(*ends), (prefix, f"{prefix}{LAST}"))
    return Condition(_WITHIN[item.method].format(*ends), item.values)


def _presence(conn: sqlite3.Connection, chosen: Chosen) -> Condition:
    """Return the condition that a block may have rows of kinds that are chosen.

    It always holds when there are many kinds.
    """
    index = chosen.index
    same = f" AND {index}.{chosen.column} = given.value" if chosen.values else ""
    ends = ", ".join(
        f"(SELECT {end}(sequence) FROM {index} WHERE {index}.kind = executions_kinds.kind{same})"
        for end in ("min", "max")
    )
    values = " CROSS JOIN json_each(?) AS given" if chosen.values else ""
    found = conn.execute(
        f"SELECT {ends} FROM executions_kinds{values} WHERE {chosen.kinds.sql} LIMIT ?",
        (*([json.dumps(chosen.values)] if values else ()), *chosen.kinds.values, KINDS_MAX + 1),
    ).fetchall()
    if len(found) > KINDS_MAX:
        return ALWAYS
    spans = _merged(sorted(one for one in found if one[0] is not None))
    # Kinds do not tell of the rows beyond.
    spans.append((chosen.through + 1, INTEGER_MAX))
    return join([Condition("last >= ? AND first <= ?", one) for one in spans], "OR")
