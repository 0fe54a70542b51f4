"""Ends of answers, kept for clients of 0.x, whose only way to see an answer is the list."""

import sqlite3
from collections.abc import Sequence

from minifn.models import Execution

#: Bytes kept of an answer: enough for the 4,000 characters that these clients are shown.
KEPT_BYTES = 16_000


def keep(conn: sqlite3.Connection, sequence: int, answer: bytes) -> None:
    """Keep the end of an execution's answer."""
    text = answer[-KEPT_BYTES:].decode(errors="ignore")
    conn.execute("INSERT INTO execution_answers VALUES (?, ?)", (sequence, text))


def of(conn: sqlite3.Connection, found: Sequence[Execution]) -> dict[int, str]:
    """Return the kept ends of these executions' answers, by sequence."""
    marks = ", ".join("?" * len(found))
    sql = f"SELECT execution, answer FROM execution_answers WHERE execution IN ({marks})"
    return dict(conn.execute(sql, [execution.sequence for execution in found]))
