"""Cold starts, and the server's start, memory and idle CPU."""

import http.client
import json
import statistics
import sys
import time
from pathlib import Path

from tests.benchmarks.empty import as_multiple, starts
from tests.benchmarks.report import Row, at_most
from tests.benchmarks.targets import cpu_seconds, deploy_hello, rss_mib
from tests.serving import Server, free_port, wait_until

SAMPLES = 5


def measure_server(data: Path, engine: str) -> list[Row]:
    """Measure the time from `minifn serve` to an answer, memory with 0 and 1 workers, idle CPU."""
    with Server(data, sandbox=engine) as server:
        deploy_hello(server)
    seconds = [first_answer(Server(data, sandbox=engine)) for _ in range(SAMPLES)]
    with Server(data, sandbox=engine) as running:
        pid = running.process.pid
        # A start goes on for a second after the first answer: languages are found, for one.
        started = time.monotonic()
        wait_until(lambda: time.monotonic() - started > 4, 5, "the end of the start")
        before, began = cpu_seconds(pid), time.monotonic()
        wait_until(lambda: time.monotonic() - began > 10, 11, "ten idle seconds")
        idle_cpu = 100 * (cpu_seconds(pid) - before) / (time.monotonic() - began)
        idle_mib = rss_mib(pid)
        with running.api as api:
            api.execute("hello", body='{"name":"World"}')
        worker_mib = rss_mib(pid)
    middle = statistics.median(seconds)
    bare = starts(sys.executable, ["-c", "import uvicorn"], SAMPLES)
    return [
        at_most("serve to first answer", middle, 0.6, "s"),
        as_multiple("serve to first answer", 1000 * middle, bare, "a program that imports uvicorn"),
        at_most("memory of all processes, idle", idle_mib, 60, "MiB"),
        at_most("memory of all processes, one Python worker", worker_mib, 80, "MiB"),
        at_most("CPU idle", idle_cpu, 0.5, "%"),
    ]


def first_answer(server: Server) -> float:
    """Return seconds from launching the server to its first answer."""
    server.port = free_port()
    began = time.perf_counter()
    server.launch()
    try:
        while True:
            try:
                get(server.port, "/v1/health/version")
            except OSError:
                assert time.perf_counter() - began < 20, server.log_tail()
                time.sleep(0.002)
            else:
                return time.perf_counter() - began
    finally:
        server.stop()


def get(port: int, path: str) -> None:
    """Send one GET. Raises OSError when nothing listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        connection.getresponse().read()
    finally:
        connection.close()


def measure_cold(data: Path, engine: str) -> list[Row]:
    """Measure calls without a live worker, Python and Node.js: the first, and later ones.

    The server has neither templates nor spares; `templates` measures those.
    """
    with Server(data, sandbox=engine) as server:
        deploy_hello(server)
    rows = []
    empty = {"Python": (sys.executable, ["-c", "0"]), "Node.js": ("node", ["-e", "0"])}
    for function_id, language, most in (("hello", "Python", 60), ("hello-node", "Node.js", 90)):
        with Server(data, sandbox=engine, idle_seconds=1) as server, server.api as api:
            if api.http.get(f"/functions/{function_id}").is_error:
                continue
            samples, bare = [], []
            for _ in range(SAMPLES):
                bare += starts(*empty[language], 1)
                wait_until(lambda: not server.workers(), 20, "idle workers are stopped")
                began = time.perf_counter()
                api.call(
                    "POST",
                    f"/functions/{function_id}/executions",
                    201,
                    json={"body": json.dumps({"name": "x"})},
                )
                samples.append(1000 * (time.perf_counter() - began))
        rows.append(at_most(f"cold start {language}, first", samples[0], most, "ms"))
        rows.append(
            at_most(
                f"cold start {language}, median of the next",
                statistics.median(samples[1:]),
                most,
                "ms",
            )
        )
        what = f"cold start {language}, median of the next"
        rows.append(as_multiple(what, statistics.median(samples[1:]), bare))
    return rows
