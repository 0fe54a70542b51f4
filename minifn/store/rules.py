"""Rules: domains of one's own that answer as a function."""

import sqlite3

from minifn.errors import RuleAlreadyExists, RuleResourceNotFound
from minifn.models import Rule
from minifn.store import lists
from minifn.store.conditions import ALWAYS, Condition
from minifn.store.paging import Page, page as list_page
from minifn.store.plans import Scope
from minifn.store.queries import Query
from minifn.store.table import Table

TABLE = Table("rules", Rule)


def insert(conn: sqlite3.Connection, rule: Rule) -> Rule:
    """Insert and return `rule` with its sequence. Raises RuleResourceNotFound and RuleAlreadyExists."""
    if not conn.execute("SELECT 1 FROM functions WHERE id = ?", (rule.function_id,)).fetchone():
        raise RuleResourceNotFound
    try:
        return TABLE.insert(conn, rule)
    except sqlite3.IntegrityError as exc:
        raise RuleAlreadyExists from exc


def get(conn: sqlite3.Connection, rule_id: str) -> Rule | None:
    """Return one rule."""
    return TABLE.first(conn, "id = ?", rule_id)


def by_domain(conn: sqlite3.Connection, domain: str) -> Rule | None:
    """Return the rule of a domain (lower-case)."""
    return TABLE.first(conn, "domain = ?", domain)


def every(conn: sqlite3.Connection) -> list[Rule]:
    """Return all rules in order of creation."""
    return TABLE.all(conn, "1 ORDER BY sequence")


def delete(conn: sqlite3.Connection, rule_id: str) -> bool:
    """Delete one rule; tell whether it was there."""
    return conn.execute("DELETE FROM rules WHERE id = ?", (rule_id,)).rowcount > 0


def page(conn: sqlite3.Connection, query: Query, *, count: bool = True) -> Page[Rule]:
    """Return a page of the rules."""
    scope = ALWAYS
    if query.search:
        scope = Condition("matches_words(id || ' ' || domain, ?)", (query.search,))
    return list_page(conn, TABLE, lists.RULES, query, Scope(scope), count=count)
