"""Where executions that match may lie, so that a walk leaves out the others.

Ids and times nearly follow the order of creation: `executions_blocks` has the least and the largest
of each block of rows. `filling` adds a block whenever it fills functions in, and a trigger
widens it when one of its rows changes. Of a column with few values, such as the deployment, the
index tells the first and the last row of each value. Rows beyond the last block (the tail) are
read.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from minifn.store.conditions import ALWAYS, LAST, Condition, condition, join
from minifn.store.queries import Comparison, Filter, Method

#: Columns of which a block has the least and the largest value.
_ENDS = {
    "sequence": ("first", "last"),
    **{column: (f"{column}_min", f"{column}_max") for column in ("id", "created_at", "updated_at")},
}
#: Columns with few values. Their late indexes hold all rows that the blocks hold.
OF_FEW_VALUES = frozenset(
    {"deployment_id", "status", "trigger", "response_status_code", "request_method"}
)
#: Most values of such a column whose rows are looked for.
VALUES_MAX = 32
#: Tests of whether a block may have a matching value: `{0}` is its least value, `{1}` the largest.
_OVERLAPS = {
    Method.LESS_THAN: "{0} < ?",
    Method.LESS_THAN_EQUAL: "{0} <= ?",
    Method.GREATER_THAN: "{1} > ?",
    Method.GREATER_THAN_EQUAL: "{1} >= ?",
    Method.BETWEEN: "{1} >= ? AND {0} <= ?",
}
_METHODS = frozenset({*_OVERLAPS, Method.EQUAL, Method.STARTS_WITH})

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
    table: str,
    column: str,
    filters: Sequence[Filter],
    matches: Condition,
    prefix: Condition | None,
    through: int,
) -> list[Range]:
    """Return ranges of `column` in which the rows that match lie, in order.

    Blocks hold the rows up to the sequence `through`. `prefix` fixes the first column of the
    indexes; without it they are not asked.
    """
    compared = [
        item for item in filters if isinstance(item, Comparison) and item.method in _METHODS
    ]
    if column not in _ENDS or column in [item.attribute.column for item in compared]:
        return [EVERYWHERE]
    overlaps = [_overlap(item) for item in compared if item.attribute.column in _ENDS]
    if prefix is not None:
        spans = (_span(conn, item, prefix) for item in compared)
        overlaps += [span for span in spans if span is not ALWAYS]
    if not overlaps:
        return [EVERYWHERE]
    least, largest = _ENDS[column]
    blocks = join(overlaps)
    tail = join([Condition("sequence > ?", (through,)), matches])
    found = conn.execute(
        f"SELECT {least}, {largest} FROM executions_blocks WHERE {blocks.sql}"
        f" UNION ALL SELECT min(found), max(found) FROM (SELECT {column} AS found FROM {table}"
        f" NOT INDEXED WHERE {tail.sql})",
        (*blocks.values, *tail.values),
    )
    # Without rows, the tail's range is empty.
    return _merged(sorted(one for one in found if one[0] is not None))


def _merged(found: Iterable[Range]) -> list[Range]:
    """Return the ranges that sorted ones cover together, at most RANGES_MAX."""
    merged: list[Range] = []
    for least, largest in found:
        if merged and (
            least <= merged[-1][1] or (isinstance(least, int) and least == merged[-1][1] + 1)
        ):
            merged[-1] = merged[-1][0], max(largest, merged[-1][1])
        else:
            merged.append((least, largest))
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


def _span(conn: sqlite3.Connection, item: Comparison, prefix: Condition) -> Condition:
    """Return the condition that a block has rows between the first and the last with such values.

    It always holds when the column has many values.
    """
    column, index = item.attribute.column, item.attribute.index
    if column not in OF_FEW_VALUES:
        return ALWAYS
    wanted = join([prefix, condition(item)])
    count, first, last = conn.execute(
        "WITH RECURSIVE found(value) AS ("
        f"  SELECT min({column}) FROM {index} WHERE {wanted.sql}"
        f"  UNION ALL SELECT (SELECT min({column}) FROM {index}"
        f"    WHERE {column} > found.value AND {wanted.sql}) FROM found"
        f"  WHERE value IS NOT NULL LIMIT {VALUES_MAX + 2}"
        ") SELECT count(value),"
        f"  min((SELECT min(sequence) FROM {index} WHERE {prefix.sql} AND {column} = value)),"
        f"  max((SELECT max(sequence) FROM {index} WHERE {prefix.sql} AND {column} = value))"
        " FROM found",
        (*wanted.values, *wanted.values, *prefix.values, *prefix.values),
    ).fetchone()
    if count > VALUES_MAX:
        return ALWAYS
    return Condition("last >= ? AND first <= ?", (first, last)) if count else Condition("0")
