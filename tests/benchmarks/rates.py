"""Requests a second, latency and CPU of every target, in rounds that visit each target."""

import contextlib
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import wrk
from tests.benchmarks.report import Row
from tests.benchmarks.targets import (
    Target,
    bare_uvicorn,
    cpu_seconds,
    deploy_hello,
    domain_target,
    execution_target,
    functions_framework,
    node_peers,
)
from tests.serving import Server

LOAD = Path(__file__).with_name("load.py")
CONNECTIONS = (1, 16, 64)
#: Suffix of targets with MINIFN_DURABILITY=crash.
UNFLUSHED = " (crash)"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """One measurement of one target."""

    #: Correct answers only.
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    requests: int
    seconds: float
    errors: dict[str, int]


def load(target: Target, connections: int, seconds: float, limit: int = 0) -> Rate:
    """Load a target from another process. Raises CalledProcessError for a broken connection."""
    job = {
        "host": "127.0.0.1",
        "port": target.port,
        "request": target.request,
        "status": target.status,
        "connections": connections,
        "seconds": seconds,
        "limit": limit,
        "closes": target.closes,
    }
    before = cpu_seconds(target.pid)
    by_wrk = wrk.is_there() and not limit and not target.closes
    result = wrk.measure(job) if by_wrk else json.loads(_generate(job))
    return Rate(
        per_second=(result["requests"] - sum(result["errors"].values())) / result["seconds"],
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        cpu_us=1e6 * (cpu_seconds(target.pid) - before) / result["requests"],
        requests=result["requests"],
        seconds=result["seconds"],
        errors=result["errors"],
    )


def _generate(job: Mapping[str, object]) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(LOAD)],
        input=json.dumps(job),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def measure(server: Server, unflushed: Server, seconds: float, rounds: int) -> list[Row]:
    """Measure all targets, and return their rates with the ratios of the medians."""
    for one in (server, unflushed):
        deploy_hello(one)
    found: dict[tuple[str, int], list[Rate]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        targets = [
            stack.enter_context(bare_uvicorn()),
            stack.enter_context(functions_framework(asgi=False)),
            stack.enter_context(functions_framework(asgi=True)),
            *map(stack.enter_context, node_peers(server.data.with_name("npm"))),
            *own_targets(server),
            *own_targets(unflushed, UNFLUSHED),
        ]
        for target in targets:
            load(target, 16, 0.5)
        for _ in range(rounds):
            for connections in CONNECTIONS:
                for target in targets:
                    found[target.name, connections].append(load(target, connections, seconds))
    return [*listing(found, targets), *verdicts(found)]


def own_targets(server: Server, note: str = "") -> Iterator[Target]:
    """Yield the functions of a server: by the API, and by their domains."""
    with server.api as api:
        for name in ("hello", "hello-async", "hello-node"):
            if api.http.get(f"/functions/{name}").is_success:
                yield execution_target(server, name, note=note)
                yield domain_target(server, name, note=note)


def median(rates: Sequence[Rate], field: str) -> float:
    """Return the median of one field over the rounds."""
    return float(statistics.median(getattr(rate, field) for rate in rates))


def listing(found: dict[tuple[str, int], list[Rate]], targets: list[Target]) -> list[Row]:
    """Return one row per target and number of connections; rate and CPU also as multiples of the
    first target's.
    """
    rows = []
    for target in targets:
        for connections in CONNECTIONS:
            rates = found[target.name, connections]
            errors = sum(sum(rate.errors.values()) for rate in rates)
            figures = {
                name: median(rates, name) for name in ("per_second", "p50_ms", "p99_ms", "cpu_us")
            }
            times = {
                name: figure / median(found[targets[0].name, connections], name)
                for name, figure in figures.items()
            }
            text = (
                f"{figures['per_second']:7,.0f}/s {times['per_second']:4.2f}x"
                f"   p50 {figures['p50_ms']:6.2f} ms   p99 {figures['p99_ms']:6.2f} ms"
                f"   cpu {figures['cpu_us']:5.0f} us {times['cpu_us']:5.1f}x"
            )
            noted = text + (f"   {errors} WRONG ANSWERS" if errors else "")
            rows.append(
                Row(
                    what=f"{target.name}, {connections} connections",
                    value=noted,
                    passed=False if errors else None,
                    figures=figures,
                )
            )
    return rows


def verdicts(found: dict[tuple[str, int], list[Rate]]) -> list[Row]:
    """Return rows for the promised ratios and limits."""
    rows = []

    def ratio(name: str, peer: str, connections: int, least: float) -> None:
        value = median(found[name, connections], "per_second") / median(
            found[peer, connections], "per_second"
        )
        what = f"{name} / {peer}, {connections} connections"
        rows.append(
            Row(what=what, value=f"{value:.2f}x", target=f">= {least}x", passed=value >= least)
        )

    def limit(name: str, field: str, connections: int, most: float, unit: str) -> None:
        value = median(found[name, connections], field)
        what = f"{name} {field.rpartition('_')[0]}, {connections} connections"
        rows.append(
            Row(
                what=what,
                value=f"{value:.1f} {unit}",
                target=f"<= {most} {unit}",
                passed=value <= most,
            )
        )

    # The disk bounds single calls; the peers store nothing.
    ratio(f"minifn hello-async{UNFLUSHED}", "functions-framework", 1, 1.2)
    for connections in (16, 64):
        ratio("minifn hello", "functions-framework", connections, 4.0)
        ratio("minifn hello-async", "functions-framework --asgi", connections, 0.8)
        if ("workerd", connections) in found:
            ratio("minifn hello-async", "workerd", connections, 1.0)
        ratio("minifn hello-async domain", "minifn hello-async", connections, 1.0)
    bare = median(found["bare uvicorn", 64], "cpu_us")
    for name in ("minifn hello-async", "minifn hello-async domain"):
        limit(name, "cpu_us", 64, round(2 * bare), "us")
    peers = ("functions-framework --asgi", "workerd")
    slowest = [median(found[peer, 64], "p99_ms") for peer in peers if (peer, 64) in found]
    limit("minifn hello-async", "p99_ms", 64, round(min(slowest), 1), "ms")
    return rows
