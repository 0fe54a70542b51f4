"""The time of every filter, order and cursor of a list of executions, alone and in pairs.

Each page is read in the store, with its total, and timed as processor time of the thread: a busy
machine changes it little. The rows are as calls leave them: most are alike, and what differs lies
together. There is an outage, in which calls run into their timeout; a burst of events; a hundred
calls that still run; and a deployment for every twentieth part.
"""

import contextlib
import itertools
import sqlite3
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from minifn.models import Function
from minifn.store import executions, filling, functions, schema
from minifn.store.attributes import ALL_EXECUTIONS, EXECUTIONS
from minifn.store.connection import connect
from minifn.store.queries import Comparison, Filter, Method, Order, Query, Value
from tests.benchmarks.report import Row, at_most

#: Milliseconds of a page.
PAGE_MS = 10.0
#: Seconds after which a page is given up.
GIVE_UP_SECONDS = 3.0
#: Other functions; together they have one execution for ten of `fn`.
OTHERS = 20
#: Milliseconds from one execution to the next, and the first one's time.
STEP_MS, SINCE_MS = 8_000, 1_600_000_000_000
#: Most slow pages that are listed.
SHOWN_MAX = 60

#: SQL of a row's columns; `i` counts the rows from 1, `rows` is their number, `r` lies in 0..9999.
_COLUMNS = {
    "id": f"printf('%013x%07x', ({SINCE_MS} + i * {STEP_MS}) * 1000, r)",
    "created_at": f"{SINCE_MS} + i * {STEP_MS}",
    "updated_at": f"{SINCE_MS} + i * {STEP_MS} + iif(i % 5000 = 0, 60000000, r / 10)",
    "function": "function",
    "function_id": "function_id",
    "deployment_id": "printf('d%019d', i * 20 / rows)",
    "trigger": "CASE WHEN event THEN 'event' WHEN i % 60 = 0 THEN 'schedule' ELSE 'http' END",
    "status": "CASE WHEN failed THEN 'failed' WHEN i > rows - 100 THEN 'processing'"
    " ELSE 'completed' END",
    "user_id": "iif(i % 3 = 0, 'user' || (i % 100), '')",
    "request_method": "CASE WHEN event OR r < 6000 THEN 'POST' WHEN r < 9950 THEN 'GET'"
    " ELSE 'DELETE' END",
    "request_path": "CASE WHEN event THEN '/events' WHEN r % 10 < 5 THEN '/'"
    " ELSE '/users/' || (i * 7 % 5000) END",
    "request_headers": '\'[["user-agent","Mozilla/5.0 (X11; Linux x86_64)"]]\'',
    "response_status_code": "CASE WHEN failed THEN 500 WHEN r % 100 = 7 THEN 404"
    " WHEN r % 100 < 7 THEN 201 ELSE 200 END",
    "response_headers": '\'[["content-type","application/json"]]\'',
    "duration_seconds": "CASE WHEN outage AND failed THEN 15.0 + r / 1e6 ELSE 0.001 + r / 1e4 END",
    "scheduled_at": "0",
    "logs": "iif(r % 10 = 0, 'the function has logged a line of a hundred characters or so', '')",
    "errors": "iif(failed, 'Synchronous function execution timed out.', '')",
}
_OUTAGE = "i BETWEEN :rows * 40 / 100 AND :rows * 45 / 100"
_ROWS = (
    "WITH RECURSIVE counted(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < :rows),"
    " one AS (SELECT i, :rows AS rows, i * 7919 % 10007 % 10000 AS r,"
    f"  {_OUTAGE} AS outage, i BETWEEN :rows * 70 / 100 AND :rows * 72 / 100 AS event"
    "  FROM counted),"
    " every AS (SELECT *, (outage AND r < 9000) OR r < 100 AS failed FROM one),"
    " of_functions AS ("
    "  SELECT *, :function AS function, 'fn' AS function_id FROM every"
    "  UNION ALL SELECT *, :function + 1 + i / 10 % :others, 'other' || (i / 10 % :others)"
    "  FROM every WHERE i % 10 = 0)"
    f" INSERT INTO executions ({', '.join(_COLUMNS)}) SELECT {', '.join(_COLUMNS.values())}"
    " FROM of_functions"
)


@dataclass(frozen=True)
class Listing:
    """A list by name; `of_all` functions, else of `fn`."""

    name: str
    query: Query
    of_all: bool = False


def build(path: Path, rows: int) -> sqlite3.Connection:
    """Make a database with `rows` executions of `fn`, and a tenth as many of others."""
    conn = connect(path)
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA synchronous = OFF")
    schema.migrate(conn)
    for name in ("fn", *(f"other{number}" for number in range(OTHERS))):
        functions.insert(conn, Function(id=name, name=name, runtime="python-3.12"))
    (function,) = conn.execute("SELECT sequence FROM functions WHERE id = 'fn'").fetchone()
    conn.execute("BEGIN")
    conn.execute(_ROWS, {"rows": rows, "function": function, "others": OTHERS})
    conn.execute("COMMIT")
    while filling.fill(conn):
        pass
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return conn


def listings(conn: sqlite3.Connection, rows: int) -> Iterator[Listing]:
    """Yield every list: one filter or two, in every order, from the ends and from the middle."""
    middle = _id_at(conn, rows // 2)
    filters = dict(_filters(conn, rows))
    pairs = {
        f"{one}, {other}": (*filters[one], *filters[other])
        for one, other in itertools.combinations(_PAIRED, 2)
    }
    orders = [(Order(one, way),) for one in EXECUTIONS.values() for way in (False, True)]
    several = [
        tuple(Order(EXECUTIONS[name], way) for name, way in zip(names, ways, strict=True))
        for names in (("status", "duration_seconds"), ("response_status_code", "created_at"))
        for ways in ((False, False), (True, False))
    ]
    cursors = [("", False), (middle, False), (middle, True)]
    for (name, found), order, (cursor, before) in itertools.product(
        {"": (), **filters, **pairs}.items(), [*orders, *several], cursors
    ):
        query = Query(filters=found, orders=order, cursor=cursor, cursor_before=before)
        yield Listing(f"{name} {_order_name(order)} {_cursor_name(query)}", query)
        if not cursor and order[0].attribute.column in _OF_ALL:
            yield Listing(f"all: {name} {_order_name(order)}", query, of_all=True)


#: Filters that are asked in pairs, and orders in which lists of all functions are asked.
_PAIRED = (
    *("status completed", "status failed", "trigger event", "trigger schedule", "code 404"),
    *("deployment late", "method GET", "code <> 200", "duration long", "path /", "later"),
    *("first tenth", "id last half", "path contains"),
)
_OF_ALL = ("sequence", "created_at", "status", "duration_seconds", "deployment_id")


def _filters(conn: sqlite3.Connection, rows: int) -> Iterator[tuple[str, tuple[Filter, ...]]]:
    """Yield filters by name: of each attribute frequent, rare, and clumped values."""

    def at(share: float) -> int:
        return SINCE_MS + int(rows * share) * STEP_MS

    def one(name: str, method: Method, *values: Value) -> tuple[Filter, ...]:
        return (Comparison(method, ALL_EXECUTIONS[name], values),)

    half, tenth = _id_at(conn, rows // 2), _id_at(conn, rows // 10)
    for value in ("completed", "failed", "processing", "waiting"):
        yield f"status {value}", one("status", Method.EQUAL, value)
    yield "status <> completed", one("status", Method.NOT_EQUAL, "completed")
    yield "status of two", one("status", Method.EQUAL, "failed", "processing")
    yield "status contains", one("status", Method.CONTAINS, "ail")
    yield "status ends", one("status", Method.ENDS_WITH, "ing")
    for value in ("http", "event", "schedule"):
        yield f"trigger {value}", one("trigger", Method.EQUAL, value)
    yield "trigger contains", one("trigger", Method.CONTAINS, "ven")
    for number in (200, 201, 404, 500, 418):
        yield f"code {number}", one("response_status_code", Method.EQUAL, number)
    yield "code >= 400", one("response_status_code", Method.GREATER_THAN_EQUAL, 400)
    yield "code <> 200", one("response_status_code", Method.NOT_EQUAL, 200)
    yield "code between", one("response_status_code", Method.BETWEEN, 400, 499)
    for value in ("POST", "GET", "DELETE"):
        yield f"method {value}", one("request_method", Method.EQUAL, value)
    yield "method <> POST", one("request_method", Method.NOT_EQUAL, "POST")
    yield "deployment early", one("deployment_id", Method.EQUAL, f"d{1:019}")
    yield "deployment late", one("deployment_id", Method.EQUAL, f"d{19:019}")
    yield "deployments later", one("deployment_id", Method.GREATER_THAN, f"d{9:019}")
    yield "deployment ends", one("deployment_id", Method.ENDS_WITH, "18")
    for value in ("/", "/users/77", "/events"):
        yield f"path {value}", one("request_path", Method.EQUAL, value)
    yield "path starts", one("request_path", Method.STARTS_WITH, "/users/")
    yield "path contains", one("request_path", Method.CONTAINS, "users/123")
    yield "path contains no", one("request_path", Method.CONTAINS, "nothing")
    yield "path ends", one("request_path", Method.ENDS_WITH, "vents")
    yield "path not contains", one("request_path", Method.NOT_CONTAINS, "users")
    yield "duration long", one("duration_seconds", Method.GREATER_THAN, 10.0)
    yield "duration short", one("duration_seconds", Method.LESS_THAN, 0.5)
    yield "duration between", one("duration_seconds", Method.BETWEEN, 0.2, 0.3)
    yield "later", one("created_at", Method.GREATER_THAN, at(0.5))
    yield "first tenth", one("created_at", Method.LESS_THAN, at(0.1))
    yield "times between", one("created_at", Method.BETWEEN, at(0.4), at(0.6))
    yield "changed later", one("updated_at", Method.GREATER_THAN_EQUAL, at(0.7))
    yield "changed earlier", one("updated_at", Method.LESS_THAN, at(0.3))
    yield "id last half", one("id", Method.GREATER_THAN, half)
    yield "id first tenth", one("id", Method.LESS_THAN, tenth)
    yield "id starts", one("id", Method.STARTS_WITH, half[:6])
    yield "id contains", one("id", Method.CONTAINS, half[6:12])
    yield "id ends", one("id", Method.ENDS_WITH, half[-3:])


def _id_at(conn: sqlite3.Connection, place: int) -> str:
    """Return the id of the execution of `fn` at a place in order of creation."""
    found = conn.execute(
        "SELECT id FROM executions WHERE function_id = 'fn' AND created_at = ?",
        (SINCE_MS + place * STEP_MS,),
    )
    return str(found.fetchone()[0])


def _order_name(orders: tuple[Order, ...]) -> str:
    return "by " + ", ".join(
        f"{order.attribute.column}{' down' if order.descending else ''}" for order in orders
    )


def _cursor_name(query: Query) -> str:
    if not query.cursor:
        return ""
    return "before the middle" if query.cursor_before else "after the middle"


def _is_over(until: float) -> bool:
    return time.thread_time() > until


def page_ms(conn: sqlite3.Connection, listing: Listing) -> float:
    """Return the least processor time of a page; slow ones are read again."""
    best = GIVE_UP_SECONDS * 1000
    for _ in range(3):
        until = time.thread_time() + GIVE_UP_SECONDS
        conn.set_progress_handler(partial(_is_over, until), 100_000)
        began = time.thread_time()
        with contextlib.suppress(sqlite3.OperationalError):
            if listing.of_all:
                executions.page_of_all(conn, listing.query)
            else:
                executions.page(conn, "fn", listing.query)
        best = min(best, (time.thread_time() - began) * 1000)
        if best < PAGE_MS or best > 10 * PAGE_MS:
            break
    conn.set_progress_handler(None, 0)
    return best


def measure(data: Path, rows: int) -> list[Row]:
    """Time every list, and name those that take longer than PAGE_MS."""
    data.mkdir(parents=True)
    conn = build(data / "minifn.db", rows)
    conn.close()
    conn = connect(data / "minifn.db", readonly=True)
    with contextlib.closing(conn):
        found = {one.name: page_ms(conn, one) for one in listings(conn, rows)}
    slow = sorted((ms, name) for name, ms in found.items() if ms >= PAGE_MS)[::-1]
    whole = Row.of(
        f"lists of {rows:,}",
        {
            "lists_": len(found),
            "slow_": len(slow),
            "median_ms": statistics.median(found.values()),
            "p99_ms": statistics.quantiles(found.values(), n=100)[-1],
        },
    )
    return [whole, *(at_most(name, ms, PAGE_MS, "ms") for ms, name in slow[:SHOWN_MAX])]
