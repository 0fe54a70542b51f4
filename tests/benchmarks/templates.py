"""Cold starts and growth with and without templates, in turns; Node.js with and without spares."""

import http.client
import json
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil

from tests.benchmarks.empty import as_multiple, starts
from tests.benchmarks.report import Row, at_most
from tests.serving import PROJECT, Server, pack, wait_until

#: Calls that block, at once, and the seconds of each.
BLOCKING, BLOCK_SECONDS = 32, 0.5
#: Cold starts of each function in a round.
STARTS = 3
PLAIN = "def main(context):\n    return context.res.json({'ok': True})\n"
#: Function -> family, files, and the most milliseconds of a cold start with a template.
FUNCTIONS: dict[str, tuple[str, dict[str, str], float]] = {
    "python": ("python", {"main.py": PLAIN}, 15),
    "pandas": (
        "python",
        {"main.py": f"import pandas\n{PLAIN}", "requirements.txt": "pandas\n"},
        30,
    ),
    "node": ("node", {"main.js": "module.exports = (context) => context.res.json({});\n"}, 50),
}
BLOCKS = PLAIN.replace("\n", f"\n    __import__('time').sleep({BLOCK_SECONDS})\n", 1)
BESIDE = f"async {PLAIN}"

Samples = dict[tuple[str, str], list[float]]


def measure(data: Path, engine: str, rounds: int) -> list[Row]:
    """Measure a server without templates and one with them, in turns.

    Times are milliseconds from a request to its answer, through the API and recorded.
    """
    samples: Samples = defaultdict(list)
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(
                Server(data.with_name(name), sandbox=engine, idle_seconds=1, template_memory=room)
            )
            for name, room in (("without", 0), ("with", -1))
        }
        functions = {name: list(deploy(server)) for name, server in servers.items()}
        for name, server in servers.items():
            for function_id in ("blocks", "beside", *functions[name]):
                warm_up(server, function_id, name == "with")
        for _ in range(rounds):
            for name, server in servers.items():
                for function_id in functions[name]:
                    samples[name, function_id] += cold_starts(server, function_id)
                alone, waits, beside = growth(server)
                samples[name, "alone"] += alone
                samples[name, "growth"] += waits
                samples[name, "beside"] += beside
                samples[name, "pss"].append(pss_mib(server))
            samples["bare", "node"] += starts("node", ["-e", "0"], STARTS)
    return list(rows(samples))


def rows(samples: Samples) -> Iterator[Row]:
    """Yield a row for each pair of samples."""
    for function_id, (_, _, most) in FUNCTIONS.items():
        if (before := samples["without", function_id]) and (now := samples["with", function_id]):
            note = f" (without {statistics.median(before):,.1f})"
            yield at_most(f"{function_id} after idle{note}", statistics.median(now), most, "ms")
    if (bare := samples["bare", "node"]) and samples["with", "node"]:
        yield as_multiple("node after idle", statistics.median(samples["with", "node"]), bare)
    for name in ("without", "with"):
        waits, beside = sorted(samples[name, "growth"]), sorted(samples[name, "beside"])
        alone = sorted(samples[name, "alone"])
        yield Row(
            what=f"{BLOCKING} blocking calls at once, {name} templates: wait of median, last",
            value=f"{statistics.median(waits):,.0f}, {waits[-1]:,.0f} ms",
        )
        # The machine's own delays are in both.
        for what, times in (("before", alone), ("beside", beside)):
            yield Row(
                what=f"calls {what} them, {name} templates: p50, p99",
                value=f"{statistics.median(times):,.1f}, {times[int(0.99 * len(times))]:,.1f} ms",
            )
        yield Row(
            what=f"memory of a worker then, {name} templates",
            value=f"{statistics.median(samples[name, 'pss']):,.1f} MiB PSS",
        )


def deploy(server: Server) -> Iterator[str]:
    """Deploy the functions; yield the names of those that can be measured."""
    with server.api as api:
        for name, text in (("blocks", BLOCKS), ("beside", BESIDE)):
            api.create(name, api.runtime("python"), entrypoint="main.py")
            api.deploy(name, pack(extra={"main.py": text.encode()}))
        for name, (family, files, _) in FUNCTIONS.items():
            try:
                runtime = api.runtime(family)
            except LookupError:
                continue
            api.create(name, runtime, entrypoint=next(iter(files)), timeout=60)
            code = pack(extra={path: text.encode() for path, text in files.items()})
            deployment = api.built(name, api.upload(name, code)["$id"], 300)
            if deployment["status"] == "ready":
                yield name


def call(server: Server, function_id: str) -> float:
    """Call a function and return the milliseconds until its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {
        "content-type": "application/json",
        "x-appwrite-project": PROJECT,
        "x-appwrite-key": server.key,
    }
    try:
        connection.connect()
        began = time.perf_counter()
        connection.request("POST", f"/v1/functions/{function_id}/executions", "{}", headers)
        answer = json.load(connection.getresponse())
        assert answer["status"] == "completed", answer
        return 1000 * (time.perf_counter() - began)
    finally:
        connection.close()


def wrappers(server: Server) -> list[psutil.Process]:
    """Return the processes that run a wrapper: workers and templates."""
    found = []
    for process in server.workers():
        try:
            words = process.cmdline()
        except psutil.NoSuchProcess:
            continue
        # The programs that confine it have these words after their own.
        if any(word.startswith("/runtime/") for word in words[:3]):
            found.append(process)
    return found


def warm_up(server: Server, function_id: str, templates: int) -> None:
    """Call a function first, and wait until its worker has ended and its templates are there."""
    before = len(wrappers(server))
    call(server, function_id)
    wait_until(lambda: len(wrappers(server)) >= before + templates + 1, 60, "a template")
    wait_until(lambda: len(wrappers(server)) == before + templates, 60, "an idle worker ends")


def cold_starts(server: Server, function_id: str) -> list[float]:
    """Return the times of calls that find no worker."""
    idle = len(wrappers(server))
    times = []
    for _ in range(STARTS):
        times.append(call(server, function_id))
        wait_until(lambda: len(wrappers(server)) == idle, 60, "idle workers are stopped")
    return times


def growth(server: Server) -> tuple[list[float], list[float], list[float]]:
    """Return the times of calls of a function before calls of another one block, how long those
    wait, and the times of the function's calls beside them.
    """
    over, beside = threading.Event(), list[float]()

    def call_beside() -> None:
        while not over.is_set():
            beside.append(call(server, "beside"))

    call(server, "blocks")
    call(server, "beside")
    until = time.monotonic() + 2 * BLOCK_SECONDS
    alone = []
    while time.monotonic() < until:
        alone.append(call(server, "beside"))
    with ThreadPoolExecutor(BLOCKING + 1) as pool:
        other = pool.submit(call_beside)
        calls = [pool.submit(call, server, "blocks") for _ in range(BLOCKING)]
        waits = [one.result() - 1000 * BLOCK_SECONDS for one in calls]
        over.set()
        other.result()
    return alone, waits, beside


def pss_mib(server: Server) -> float:
    """Return the mean PSS of the wrappers that run."""
    sizes = [process.memory_full_info().pss / 2**20 for process in wrappers(server)]
    return statistics.mean(sizes)
