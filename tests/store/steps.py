"""The steps of SQLite's virtual machine that statements take."""

import contextlib
import sqlite3
from collections.abc import Iterator

#: Steps between two counts.
STEPS = 10


class Counted:
    """The number of steps so far."""

    steps = 0

    def count(self) -> int:
        self.steps += STEPS
        return 0


@contextlib.contextmanager
def counted(conn: sqlite3.Connection) -> Iterator[Counted]:
    """Count the steps of what a connection does meanwhile."""
    found = Counted()
    conn.set_progress_handler(found.count, STEPS)
    try:
        yield found
    finally:
        conn.set_progress_handler(None, 0)
