"""Where the time of an execution goes: its parts alone, and the threads of a loaded server."""

import contextlib
import sqlite3
import sys
import time
from pathlib import Path

import psutil

from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.models import Execution, Function
from minifn.store import executions, schema
from minifn.store.connection import connect
from minifn.store.table import Table
from tests.benchmarks.rates import load, median
from tests.benchmarks.report import Row, at_most
from tests.benchmarks.targets import (
    PORT,
    Target,
    bare_uvicorn,
    deploy_hello,
    domain_target,
    execution_target,
    peer,
)
from tests.serving import Server

CONNECTIONS = 64
#: Rows of one transaction, and of the table before and during the measurement.
BATCH_ROWS = 32
ROWS_BEFORE, ROWS = 100_000, 32_000


def measure(data: Path, engine: str, seconds: float, rounds: int) -> list[Row]:
    """Measure the processor time of one request in each part."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(data, sandbox=engine))
        deploy_hello(server)
        python = [sys.executable, "protocol.py", PORT]
        peers = [
            stack.enter_context(peer("HTTP alone: httptools in a protocol", python)),
            stack.enter_context(peer("HTTP and a hop to a process", [*python, "hop"])),
            stack.enter_context(bare_uvicorn()),
        ]
        own = [execution_target(server, "hello-async"), domain_target(server, "hello-async")]
        for target in (*peers, *own):
            load(target, CONNECTIONS, 1)
        rates = {
            target.name: [load(target, CONNECTIONS, seconds) for _ in range(rounds)]
            for target in peers
        }
        rows = [
            Row.of(target.name, {"cpu_us": median(rates[target.name], "cpu_us")})
            for target in peers
        ]
        for target in own:
            rows += by_thread(target, seconds)
    return [*rows, *row_alone(data.with_name("rows.db"))]


def by_thread(target: Target, seconds: float) -> list[Row]:
    """Return what one request takes of the server's event loop, its other threads and workers."""
    before = spent(target.pid)
    rate = load(target, CONNECTIONS, seconds)
    after = spent(target.pid)
    return [
        Row.of(
            f"{target.name}: {part}",
            {"cpu_us": 1e6 * (after[part] - before.get(part, 0)) / rate.requests},
        )
        for part in after
    ]


def spent(pid: int) -> dict[str, float]:
    """Return processor seconds so far, by part of a server."""
    root = psutil.Process(pid)
    threads = {thread.id: thread.user_time + thread.system_time for thread in root.threads()}
    loop = threads.pop(pid)
    children = [process.cpu_times() for process in root.children(recursive=True)]
    return {
        "event loop": loop,
        "writer and other threads": sum(threads.values()),
        "worker and launcher": sum(times.user + times.system for times in children),
    }


def row_alone(path: Path) -> list[Row]:
    """Measure the commit of a record in batches, with its late indexes: time and log."""
    with contextlib.closing(connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        schema.migrate(connection)
        function = Function(id="f", name="f", runtime="python-3.11")
        Table("functions", Function).insert(connection, function)
        insert(connection, ROWS_BEFORE)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        seconds = insert(connection, ROWS)
        log_bytes = path.with_name(f"{path.name}-wal").stat().st_size
    return [
        at_most("row alone", 1e6 * seconds / ROWS, 10, "us"),
        at_most("row alone, log", log_bytes / ROWS, 2048, "bytes"),
    ]


def insert(connection: sqlite3.Connection, count: int) -> float:
    """Insert executions in transactions of BATCH_ROWS; return the seconds it took this thread."""
    total = 0.0
    for start in range(0, count, BATCH_ROWS):
        new = [execution(start + number) for number in range(BATCH_ROWS)]
        began = time.thread_time()
        connection.execute("BEGIN IMMEDIATE")
        for one in new:
            executions.insert(connection, one)
        connection.execute("COMMIT")
        total += time.thread_time() - began
    return total


def execution(number: int) -> Execution:
    """Return an execution as a call of the API leaves it; durations are scattered."""
    now = now_ms()
    return Execution(
        id=new_id(),
        created_at=now,
        updated_at=now,
        function_id="f",
        deployment_id="6616f31fcfaa55f24377",
        status="completed",
        request_headers=(("x-appwrite-client-ip", "127.0.0.1"),),
        response_status_code=200,
        response_headers=(("content-type", "application/json; charset=utf-8"),),
        duration_seconds=number * 7919 % 100_003 / 1e6,
    )
