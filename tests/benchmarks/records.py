"""Speed of the queue, and of a list page over a million executions."""

import contextlib
import json
import sqlite3
import statistics
import time
from pathlib import Path

from minifn.store import filling
from tests.benchmarks.rates import load
from tests.benchmarks.report import Row, at_most
from tests.benchmarks.targets import deploy_hello, execution_target
from tests.serving import Api, Server, wait_until

#: Most queued executions that the API can count.
QUEUED = 5000
QUERIES: dict[str, list[dict[str, object]]] = {
    "newest first": [{"method": "orderDesc", "attribute": "$createdAt"}],
    "status": [{"method": "equal", "attribute": "status", "values": ["failed"]}],
    "trigger": [{"method": "equal", "attribute": "trigger", "values": ["schedule"]}],
    "response status code": [
        {"method": "equal", "attribute": "responseStatusCode", "values": [404]}
    ],
    "duration": [{"method": "greaterThan", "attribute": "duration", "values": [0.9]}],
    "path": [{"method": "equal", "attribute": "requestPath", "values": ["/77"]}],
    "created between": [
        {
            "method": "lessThan",
            "attribute": "$createdAt",
            "values": ["2020-01-02T00:00:00.000+00:00"],
        }
    ],
    "status, newest first": [
        {"method": "equal", "attribute": "status", "values": ["failed"]},
        {"method": "orderDesc", "attribute": "$createdAt"},
    ],
    "status and path": [
        {"method": "equal", "attribute": "status", "values": ["failed"]},
        {"method": "equal", "attribute": "requestPath", "values": ["/77"]},
    ],
    "long range of ids, newest first": [
        {"method": "lessThan", "attribute": "$id", "values": [f"{500_000:020x}"]},
        {"method": "orderDesc", "attribute": "$createdAt"},
    ],
    "long range of times, oldest first": [
        {
            "method": "greaterThan",
            "attribute": "$updatedAt",
            "values": ["2021-06-01T00:00:00.000+00:00"],
        }
    ],
    "nothing matches": [{"method": "equal", "attribute": "status", "values": ["processing"]}],
    "frequent status, by duration": [
        {"method": "equal", "attribute": "status", "values": ["completed"]},
        {"method": "orderAsc", "attribute": "duration"},
    ],
    **{
        f"{direction} {attribute}": [{"method": direction, "attribute": attribute}]
        for direction in ("orderAsc", "orderDesc")
        for attribute in (
            *("$id", "$updatedAt", "status", "trigger", "responseStatusCode", "requestMethod"),
            *("requestPath", "deploymentId", "duration"),
        )
    },
}
#: Those that are also asked of all functions.
OF_ALL = ("newest first", "status", "orderAsc duration", "orderDesc duration", "orderAsc status")
#: A row in the middle, behind which a second page is read by each query that has an order.
CURSOR = f"{500_000:020x}"


def measure_queue(data: Path, engine: str) -> list[Row]:
    """Queue executions of a trivial function, and wait until all have run."""
    with Server(data, sandbox=engine) as server, server.api as api:
        deploy_hello(server)
        api.execute("hello-async", body='{"name":"World"}')
        began = time.perf_counter()
        queued = load(execution_target(server, "hello-async", queued=True), 64, 60, QUEUED)
        left, at = unfinished(api), time.perf_counter()
        wait_until(lambda: unfinished(api) == 0, 60, "the queue is empty")
        ended = time.perf_counter()
    rows = [
        Row(
            what=f"async executions queued ({queued.requests})", value=f"{queued.per_second:,.0f}/s"
        )
    ]
    rows.append(
        Row(
            what="async executions queued and run",
            value=f"{queued.requests / (ended - began):,.0f}/s",
        )
    )
    rate = left / (ended - at) if left > QUEUED / 5 else queued.requests / (ended - began)
    rows.append(
        Row(
            what=f"async executions drained ({left} left)",
            value=f"{rate:,.0f}/s",
            target=">= 4000/s",
            passed=rate >= 4000,
        )
    )
    return rows


def unfinished(api: Api) -> int:
    """Return the number of executions that wait or run."""
    query = json.dumps(
        {"method": "equal", "attribute": "status", "values": ["waiting", "processing"]}
    )
    page = api.call("GET", "/functions/hello-async/executions", 200, params={"queries[0]": query})
    return int(page["total"])


def measure_lists(data: Path, rows: int) -> list[Row]:
    """Time one page of 25 executions out of `rows`, by each filter."""
    with Server(data) as server, server.api as api:
        deploy_hello(server)
        api.execute("hello", body='{"name":"World"}')
    fill(data, rows)
    results = []
    with Server(data) as server, server.api as api:
        cursor: dict[str, object] = {"method": "cursorAfter", "values": [CURSOR]}
        paged = {
            f"{name}, from the middle": [*queries, cursor]
            for name, queries in QUERIES.items()
            if name.startswith("order") and rows > int(CURSOR, 16)
        }
        places = {name: "/functions/hello/executions" for name in (*QUERIES, *paged)}
        of_all = {f"{name}, all functions": QUERIES[name] for name in OF_ALL}
        places |= dict.fromkeys(of_all, "/minifn/executions")
        for name, queries in {**QUERIES, **paged, **of_all}.items():
            parameters = {
                f"queries[{index}]": json.dumps(query) for index, query in enumerate(queries)
            }
            samples = []
            for _ in range(5):
                began = time.perf_counter()
                page = api.call("GET", places[name], 200, params=parameters)
                samples.append(1000 * (time.perf_counter() - began))
            what = f"list page of {rows:,}: {name} ({page['total']} found)"
            results.append(at_most(what, statistics.median(samples), 10, "ms"))
    return results


def fill(data: Path, rows: int) -> None:
    """Copy a stopped server's only execution `rows` times, over 1,000 days from 2020 on."""
    varied = {
        "sequence": "NULL",
        "id": "printf('%020x', i)",
        "created_at": f"1577836800000 + i * {1000 * 86_400_000 // rows}",
        "updated_at": f"1577836800500 + i * {1000 * 86_400_000 // rows}",
        "status": "iif(i % 100 = 0, 'failed', 'completed')",
        "trigger": "iif(i % 1000 = 0, 'schedule', 'http')",
        "response_status_code": "iif(i % 500 = 0, 404, 200)",
        "duration_seconds": "(i % 1000) / 1000.0",
        "request_path": "'/' || (i % 5000)",
    }
    with contextlib.closing(sqlite3.connect(data / "minifn.db")) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(executions)")]
        values = ", ".join(varied.get(column, column) for column in columns)
        connection.execute(
            f"INSERT INTO executions SELECT {values} FROM (SELECT * FROM executions LIMIT 1),"
            " (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
            f" WHERE i < {rows}) SELECT i FROM n)"
        )
        # The times of the first one are not in order with the others.
        connection.execute("DELETE FROM executions WHERE created_at > 1700000000000")
        while filling.fill(connection):
            pass
