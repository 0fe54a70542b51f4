"""The count of executions that match, from the indexes that begin with the kind."""

import sqlite3
from collections.abc import Sequence

from minifn.store import blocks, kinds
from minifn.store.blocks import Range
from minifn.store.chosen import Chosen, compares, of_column
from minifn.store.conditions import ALWAYS, Condition, join
from minifn.store.late_indexes import BY_FUNCTION, mark
from minifn.store.plans import Candidate, Scope, tested, where
from minifn.store.queries import INTEGER_MAX, Query


def count(
    conn: sqlite3.Connection,
    table: str,
    query: Query,
    scope: Scope,
    chosen: Chosen,
    found: Sequence[Candidate],
    most: int,
) -> int:
    """Return the number of rows of a plain scope that match, up to `most`.

    Where all rows of blocks match the filters of which the index does not tell, no row is read.
    """
    column = _column(query, found)
    index = kinds.index_of(column)
    others = [item for item in query.filters if not (kinds.tells(item) or compares(item, column))]
    matches = where(query, scope)
    test = tested(table, f"{index}.sequence", matches)
    sure, unsure = blocks.sequences(conn, others)
    # The index of creation holds rows that no block holds yet.
    unsure.append((mark(conn, BY_FUNCTION) + 1, INTEGER_MAX))
    parts = [(one, ALWAYS) for one in sure] + [(one, test) for one in unsure]
    within = [join([_between(one), test]) for one, test in parts]
    if column and column != chosen.column:
        # Each part would read the whole range of the column.
        within = [join(within, "OR")]
    held = Condition("+sequence <= ?", (chosen.through,))
    same = join([chosen.kinds, of_column(query.filters, column), held])
    number = 0
    for one in within:
        if number < most:
            number += _count(conn, kinds.rows(index), join([same, one]), most - number)
    tail = join([Condition("sequence > ?", (chosen.through,)), matches])
    return number + _count(conn, f"{table} NOT INDEXED", tail, most - number)


def _column(query: Query, found: Sequence[Candidate]) -> str:
    """Return the column that leaves the fewest rows, "" without a filter of one."""
    indexes = [candidate.index for candidate in found]
    return next(
        (
            column
            for index in indexes
            for column, of_column in kinds.ORDERED.items()
            if index == of_column and any(compares(item, column) for item in query.filters)
        ),
        "",
    )


def _between(one: Range) -> Condition:
    return Condition("sequence BETWEEN ? AND ?", one)


def _count(conn: sqlite3.Connection, source: str, rows: Condition, most: int) -> int:
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {rows.sql} LIMIT ?)"
    return int(conn.execute(sql, (*rows.values, most)).fetchone()[0])
