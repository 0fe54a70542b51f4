"""A database with one function."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from minifn.models import Function
from minifn.store import functions, schema
from minifn.store.connection import connect


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A migrated database file that has the function `fn`."""
    connection = connect(tmp_path / "minifn.db")
    schema.migrate(connection)
    functions.insert(connection, Function(id="fn", name="Fn", runtime="python-3.11"))
    yield connection
    connection.close()
