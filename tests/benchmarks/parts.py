"""Where the time of an execution goes: its parts alone, and the threads of a loaded server."""

import contextlib
import os
import re
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.models import Execution, Function
from minifn.store import executions, filling, schema
from minifn.store.connection import connect
from minifn.store.table import Table
from tests.benchmarks import loop_steps
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
    tree,
)
from tests.serving import Server

CONNECTIONS = 64


class Spent(msgspec.Struct, frozen=True):
    """The use of processors by threads: on one, of that in the kernel, waiting for one; switches.

    `system_us` is counted in ticks of the kernel, so it is rough.
    """

    cpu_us: float = 0.0
    system_us: float = 0.0
    queued_us: float = 0.0
    switches_x: float = 0.0

    def plus(self, other: "Spent") -> "Spent":
        """Return the sum of both."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Spent(*(one + more for one, more in pairs))

    def divided(self, count: float) -> "Spent":
        """Return the share of one of `count`."""
        return Spent(*(one / count for one in msgspec.structs.astuple(self)))

    def since(self, before: "Spent") -> "Spent":
        """Return what was spent since `before`."""
        return self.plus(before.divided(-1))


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
            rows += by_thread(target, seconds, rounds)
    steps = loop_steps.measure(data.with_name("steps"), engine)
    return [*rows, *steps, *row_alone(data.with_name("rows.db"))]


def by_thread(target: Target, seconds: float, rounds: int) -> list[Row]:
    """Return what one request takes of the server's event loop, its other threads and workers."""
    found = [during(target, seconds) for _ in range(rounds)]
    return [
        Row.of(
            f"{target.name}: {part}",
            {
                name: statistics.median(getattr(one[part], name) for one in found)
                for name in Spent.__struct_fields__
            },
        )
        for part in found[0]
    ]


def during(target: Target, seconds: float) -> dict[str, Spent]:
    """Load a target and return what each of its parts spent on a request."""
    before = spent(target.pid)
    rate = load(target, CONNECTIONS, seconds)
    return {
        part: now.since(before.get(part, Spent())).divided(rate.requests)
        for part, now in spent(target.pid).items()
    }


def spent(pid: int) -> dict[str, Spent]:
    """Return what the parts of a server have spent so far."""
    loop, others, workers = Spent(), Spent(), Spent()
    for process in tree(pid):
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            one = of_thread(thread)
            if process.pid != pid:
                workers = workers.plus(one)
            elif int(thread.name) == pid:
                loop = one
            else:
                others = others.plus(one)
    return {
        "event loop": loop,
        "writer and other threads": others,
        "worker and launcher": workers,
    }


def of_thread(thread: Path) -> Spent:
    """Return what a thread has spent; nothing if it has ended."""
    try:
        ran, waited, _ = map(int, (thread / "schedstat").read_text().split())
        system_ticks = int((thread / "stat").read_text().rpartition(")")[2].split()[12])
        status = (thread / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return Spent()
    switches = sum(int(count) for count in re.findall(r"voluntary_ctxt_switches:\s*(\d+)", status))
    return Spent(
        cpu_us=ran / 1e3,
        system_us=1e6 * system_ticks / os.sysconf("SC_CLK_TCK"),
        queued_us=waited / 1e3,
        switches_x=switches,
    )


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
    """Insert executions as the server does, in transactions of BATCH_ROWS, and fill the late
    indexes by steps between them; return the seconds it took this thread.
    """
    total, looks = 0.0, 0
    for start in range(0, count, BATCH_ROWS):
        new = [execution(start + number) for number in range(BATCH_ROWS)]
        began = time.thread_time()
        with transaction(connection):
            executions.insert_each(connection, new)
        if (start + BATCH_ROWS) // filling.LOOK_ROWS > looks:
            looks += 1
            look(connection)
        total += time.thread_time() - began
    return total


def look(connection: sqlite3.Connection) -> None:
    """Fill the late indexes as the server does after LOOK_ROWS executions."""
    for _ in range(filling.LOOK_STEPS):
        with transaction(connection):
            if not executions.fill_indexes(connection):
                break


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done within."""
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("COMMIT")


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
