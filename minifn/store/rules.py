"""Rules: a domain and the function, redirect or API that answers at it.

Each function has a domain of its own; the table has the rules for further domains.
"""

import sqlite3

from minifn.errors import BadRequest, RuleAlreadyExists, RuleNotFound, RuleResourceNotFound
from minifn.models import Rule
from minifn.store import functions
from minifn.store.conditions import Condition, join, within
from minifn.store.paging import Page, page as list_page
from minifn.store.plans import Scope
from minifn.store.queries import Query
from minifn.store.table import Table

TABLE = Table("rules", Rule)
#: All rules: those of the table and the functions' own, whose id is the function's.
DOMAINS = Table("domains", Rule)
#: Name of the setting with the end of the functions' own domains.
FUNCTIONS_DOMAIN = "functions_domain"


def insert(conn: sqlite3.Connection, rule: Rule) -> Rule:
    """Insert and return `rule`; for the function's own domain return the rule it has already.

    Raises RuleResourceNotFound and RuleAlreadyExists.
    """
    if rule.type != "api" and functions.get(conn, rule.function_id) is None:
        raise RuleResourceNotFound
    known = by_domain(conn, rule.domain)
    if known is None:
        return TABLE.insert(conn, rule)
    if rule.type == "deployment" and known.own and known.function_id == rule.function_id:
        return known
    raise RuleAlreadyExists


def get(conn: sqlite3.Connection, rule_id: str) -> Rule:
    """Return one rule. Raises RuleNotFound."""
    rule = DOMAINS.first(conn, "id = ?", rule_id)
    if rule is None:
        raise RuleNotFound
    return rule


def by_domain(conn: sqlite3.Connection, domain: str) -> Rule | None:
    """Return the rule of a domain (lower-case)."""
    return DOMAINS.first(conn, "domain = ?", domain)


def routes(conn: sqlite3.Connection) -> dict[str, str | Rule]:
    """Return the routes that a host name does not show, by domain: a function's id, or a rule of
    another type.

    These are the table's rules, and the functions' own domains if the id has capital letters.
    """
    found = DOMAINS.all(
        conn, "id <> function_id OR function_id <> lower(function_id) ORDER BY sequence"
    )
    return {rule.domain: rule.function_id if rule.type == "deployment" else rule for rule in found}


def delete(conn: sqlite3.Connection, rule_id: str) -> None:
    """Delete one rule. Raises RuleNotFound, and BadRequest for a function's own domain."""
    if get(conn, rule_id).own:
        raise BadRequest("A function keeps the domain of its ID for as long as it exists.")
    conn.execute("DELETE FROM rules WHERE id = ?", (rule_id,))


def page(
    conn: sqlite3.Connection, query: Query, reach: tuple[str, ...] = (), *, count: bool = True
) -> Page[Rule]:
    """Return a page of the rules of the functions within `reach`; () is every rule."""
    scope = within("function_id", reach)
    if query.search:
        words = Condition("matches_words(id || ' ' || domain, ?)", (query.search,))
        scope = join([scope, words])
    return list_page(conn, DOMAINS, query, Scope(scope), count=count)
