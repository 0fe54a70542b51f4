"""Migrations keep the rows of databases of older schemas."""

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest

from minifn.models import Function, Rule
from minifn.store import functions, rules
from minifn.store.migrations import MIGRATIONS
from minifn.store.schema import migrate, statements

#: The last schema in which every rule had a function.
BEFORE_REDIRECTS = 7


@pytest.fixture
def older() -> Iterator[sqlite3.Connection]:
    """A database of that schema: functions `hello`, `Two` and `two`, and a rule of `hello`."""
    conn = sqlite3.connect(":memory:", isolation_level=None)
    for migration in MIGRATIONS[:BEFORE_REDIRECTS]:
        for statement in statements(migration):
            conn.execute(statement)
    conn.execute(f"PRAGMA user_version = {BEFORE_REDIRECTS}")
    conn.execute("PRAGMA foreign_keys = ON")
    conn.execute("INSERT INTO settings VALUES ('functions_domain', 'fn.test')")
    columns = [(name, kind) for _, name, kind, *_ in conn.execute("PRAGMA table_info(functions)")]
    for number, function_id in enumerate(("hello", "Two", "two"), 1):
        given = {"sequence": number, "id": function_id}
        row = [given.get(name, 0 if kind == "INTEGER" else "") for name, kind in columns]
        conn.execute(f"INSERT INTO functions VALUES ({', '.join('?' * len(row))})", row)
    conn.execute("INSERT INTO rules VALUES (7, 'rule', 1, 2, 'a.test', 'hello', 'main')")
    yield conn
    conn.close()


def test_rules_and_functions_survive(older: sqlite3.Connection) -> None:
    migrate(older)
    assert older.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    rule = rules.get(older, "rule")
    assert (rule.sequence, rule.domain, rule.function_id, rule.branch) == (
        7,
        "a.test",
        "hello",
        "main",
    )
    assert (rule.created_at, rule.updated_at) == (1, 2)
    assert (rule.type, rule.redirect_url, rule.redirect_status_code) == ("deployment", "", 0)
    assert older.execute(
        "SELECT count(*) FROM functions WHERE interval_minutes = 0"
    ).fetchone() == (3,)


def test_one_of_two_ids_that_differ_in_case_keeps_the_domain(older: sqlite3.Connection) -> None:
    migrate(older)
    domains = older.execute("SELECT id, domain FROM domains ORDER BY sequence").fetchall()
    assert domains == [("hello", "hello.fn.test"), ("two", "two.fn.test"), ("rule", "a.test")]
    assert rules.routes(older) == {"a.test": "hello"}


def test_new_rules_follow_the_old_ones(older: sqlite3.Connection) -> None:
    migrate(older)
    older.execute("DELETE FROM rules")
    made = rules.insert(older, Rule(id="api", domain="api.test", type="api"))
    assert made.sequence == 8


def test_functions_that_are_not_planned_are_found_by_index(older: sqlite3.Connection) -> None:
    migrate(older)
    sql = (
        "SELECT id FROM functions WHERE (schedule <> '' OR interval_minutes > 0)"
        " AND deployment_id <> '' AND schedule_next = 0"
    )
    plan = " ".join(row[3] for row in older.execute(f"EXPLAIN QUERY PLAN {sql}"))
    assert "functions_scheduled" in plan


def test_databases_count_their_functions_from_different_numbers(
    older: sqlite3.Connection,
) -> None:
    sequences = set()
    for _ in range(8):
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
            migrate(conn)
            function = functions.insert(conn, Function(id="fn", name="fn", runtime="r"))
            sequences.add(function.sequence)
    assert len(sequences) > 1
    # A database that has functions goes on.
    migrate(older)
    third = older.execute("SELECT max(sequence) FROM functions").fetchone()[0]
    assert functions.insert(older, Function(id="fn", name="fn", runtime="r")).sequence == third + 1
