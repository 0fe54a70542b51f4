"""Executions that match, found for a count in the indexes that begin with the kind."""

import sqlite3
from collections.abc import Sequence

from minifn.store import blocks, kinds
from minifn.store.blocks import Range
from minifn.store.chosen import Chosen, compares, of_column
from minifn.store.conditions import ALWAYS, Condition, join
from minifn.store.late_indexes import BY_FUNCTION, mark
from minifn.store.plans import Candidate, Scope, tested, where
from minifn.store.queries import INTEGER_MAX, Query


def sequences(
    conn: sqlite3.Connection,
    table: str,
    query: Query,
    scope: Scope,
    chosen: Chosen,
    found: Sequence[Candidate],
    most: int,
) -> list[int]:
    """Return the sequences of rows of a plain scope that match, up to `most`.

    Where all rows of blocks match the filters of which the index does not tell, no row is read.
    """
    column = _column(query, found, chosen)
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
    tail = join([Condition("sequence > ?", (chosen.through,)), matches])
    sources = [(kinds.rows(index), join([same, one])) for one in within]
    read: list[int] = []
    for source, rows in (*sources, (f"{table} NOT INDEXED", tail)):
        if len(read) < most:
            sql = f"SELECT sequence FROM {source} WHERE {rows.sql} LIMIT ?"
            read += [row[0] for row in conn.execute(sql, (*rows.values, most - len(read)))]
    return read


def _column(query: Query, found: Sequence[Candidate], chosen: Chosen) -> str:
    """Return the column whose filters leave the fewest rows, "" without a filter of one.

    Of the same number, rows of few values are read in order of creation, so their pages are near.
    """
    rows = {candidate.index: candidate.rows for candidate in reversed(found)}
    compared = [
        (rows[index], column != chosen.column, column)
        for column, index in kinds.ORDERED.items()
        if index in rows and any(compares(item, column) for item in query.filters)
    ]
    return min(compared)[-1] if compared else ""


def _between(one: Range) -> Condition:
    return Condition("sequence BETWEEN ? AND ?", one)
