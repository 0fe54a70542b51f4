"""Kinds of executions: those of one function that are alike in every column of few values.

There are some hundreds of kinds in a million executions. A condition on such columns is tested for
each kind instead of each row, so that any conditions together find exactly their rows. The late
indexes that begin with the kind find rows of a kind in order of creation, of path or of duration.
"""

import sqlite3
from collections.abc import Iterator, Sequence

from minifn.store.queries import Combination, Comparison, Filter

#: Columns of few values, in which the executions of a kind are alike.
COLUMNS = ("status", "trigger", "request_method", "response_status_code", "deployment_id")
#: The index of the executions of each kind in order of creation.
BY_KIND = "executions_by_kind"
#: Columns by which the executions of each kind are ordered as well, and the indexes.
ORDERED = {column: f"executions_by_{column}" for column in ("request_path", "duration_seconds")}
#: All indexes that begin with the kind.
INDEXES = frozenset({BY_KIND, *ORDERED.values()})

_COLUMNS = ", ".join(("function", *COLUMNS))
#: SQL of the kind of a row of executions.
_KIND = (
    "(SELECT kind FROM executions_kinds WHERE "
    + " AND ".join(
        f"executions_kinds.{column} = executions.{column}" for column in ("function", *COLUMNS)
    )
    + ")"
)
#: Kinds of the newest executions: to find each once is half of the work of the indexes.
_NOTED = "CREATE TEMP TABLE IF NOT EXISTS noted_kinds (sequence INTEGER PRIMARY KEY, kind INTEGER)"
_NOTED_FOLLOW = (
    f"""
CREATE TEMP TRIGGER IF NOT EXISTS noted_kinds_updated AFTER UPDATE OF kind ON main.{BY_KIND} BEGIN
    UPDATE noted_kinds SET kind = NEW.kind WHERE sequence = NEW.sequence;
END
""",
    f"""
CREATE TEMP TRIGGER IF NOT EXISTS noted_kinds_deleted AFTER DELETE ON main.{BY_KIND} BEGIN
    DELETE FROM noted_kinds WHERE sequence = OLD.sequence;
END
""",
)
#: Executions whose kinds were noted, as they follow FROM.
NOTED_ROWS = "noted_kinds CROSS JOIN executions USING (sequence)"


def index_of(column: str) -> str:
    """Return the index of the executions of each kind in order of a column, "" is creation."""
    return ORDERED[column] if column else BY_KIND


def rows(index: str) -> str:
    """Return the rows of an index with the columns of their kind, as they follow FROM."""
    return f"executions_kinds CROSS JOIN {index} USING (kind)"


def note(conn: sqlite3.Connection, after: int, through: int, most: int) -> bool:
    """Note the kinds of executions between two sequences, the second one included, for `add`.

    At most a number are noted at a time; tell whether there may be more. A note follows the index
    of kinds, so rows that it lacks are to be added before the transaction ends.
    """
    for statement in (_NOTED, *_NOTED_FOLLOW):
        conn.execute(statement)
    counts = ", ".join(
        f"(SELECT count(*) FROM {table} WHERE sequence > ? AND sequence <= ?)"
        for table in ("executions NOT INDEXED", "noted_kinds")
    )
    there, noted = conn.execute(f"SELECT {counts}", (after, through) * 2).fetchone()
    if there == noted:
        return False
    added = conn.execute(
        f"INSERT INTO noted_kinds SELECT sequence, {_KIND} FROM executions NOT INDEXED"
        " WHERE sequence > ? AND sequence <= ? AND NOT EXISTS"
        " (SELECT 1 FROM noted_kinds WHERE noted_kinds.sequence = executions.sequence) LIMIT ?",
        (after, through, most),
    ).rowcount
    unknown = "SELECT sequence FROM noted_kinds WHERE kind IS NULL"
    if added and conn.execute(unknown).fetchone() is not None:
        conn.execute(
            f"INSERT INTO executions_kinds ({_COLUMNS})"
            f" SELECT DISTINCT {_COLUMNS} FROM executions WHERE sequence IN ({unknown})"
        )
        conn.execute(
            f"UPDATE noted_kinds SET kind = (SELECT {_KIND} FROM executions"
            " WHERE executions.sequence = noted_kinds.sequence) WHERE kind IS NULL"
        )
    return added == most


def forget(conn: sqlite3.Connection, through: int) -> None:
    """Forget the kinds of executions up to a sequence."""
    conn.execute("DELETE FROM noted_kinds WHERE sequence <= ?", (through,))


def add(conn: sqlite3.Connection, column: str, where: str, values: Sequence[int]) -> None:
    """Add executions, whose kinds were noted, to the index of a column, "" is creation."""
    if not column:
        conn.execute(
            f"INSERT INTO {BY_KIND} SELECT kind, sequence FROM noted_kinds WHERE {where}"
            " ORDER BY kind, sequence",
            values,
        )
        return
    conn.execute(
        f"INSERT OR IGNORE INTO {ORDERED[column]} SELECT kind, {column}, sequence"
        f" FROM {NOTED_ROWS} WHERE {where}",
        values,
    )


def tells(item: Filter) -> bool:
    """Tell whether a filter holds for all executions of a kind or for none."""
    return all(one.attribute.index == BY_KIND for one in _comparisons(item))


def _comparisons(item: Filter) -> Iterator[Comparison]:
    if isinstance(item, Comparison):
        yield item
    else:
        for inner in item.filters:
            yield from _comparisons(inner)


def together(filters: tuple[Filter, ...]) -> tuple[Filter, ...]:
    """Return the filters with those that kinds tell as one."""
    told = tuple(item for item in filters if tells(item))
    if len(told) < 2:
        return filters
    return (*(item for item in filters if item not in told), Combination("and", told))
