"""Calls on the nodes of a Ray cluster, beside calls of the same server alone, in one run."""

import importlib.util
import statistics
import time
from pathlib import Path

from tests.benchmarks.rates import load
from tests.benchmarks.report import Row, at_least, at_most
from tests.benchmarks.targets import Target, deploy_hello, execution_target
from tests.cluster.conftest import Cluster, deploy
from tests.serving import Server

#: Nodes, each with two processors and two workers of a function.
NODES = 4
#: Seconds that each call of the functions sleeps which show how work spreads.
SLEEP_SECONDS = 0.1


def measure(data: Path, engine: str, seconds: float, rounds: int) -> list[Row]:
    """Measure added latency, rate, the start in a running cluster, and four nodes beside one."""
    if importlib.util.find_spec("ray") is None:
        return [Row(what="calls on nodes", value="Ray is not installed: pip install 'minifn[ray]'")]
    cluster = Cluster(data.with_name("cluster"))
    try:
        for number in range(NODES):
            cluster.add(resources={f"node{number}": 1})
        with cluster.server, Server(data, sandbox=engine) as alone:
            cluster.settle()
            for server in (cluster.server, alone):
                deploy_hello(server)
            rows = [*_calls(cluster.server, alone, seconds, rounds), _spread(cluster, seconds)]
        began = time.perf_counter()
        with cluster.server.start().api as api:
            api.execute("hello-async", body='{"name":"World"}')
            took = time.perf_counter() - began
        cluster.server.stop()
    finally:
        cluster.close()
    return [*rows, at_most("start in a running cluster, to the first answer", took, 5, "s")]


def _calls(distant: Server, alone: Server, seconds: float, rounds: int) -> list[Row]:
    """Compare the two servers in turn, so that other work of the machine meets both."""
    ways = {name: execution_target(name, "hello-async") for name in (distant, alone)}
    for way in ways.values():
        load(way, 16, 0.5)
    added, rates = [], []
    for _ in range(rounds):
        p50 = {server: load(way, 1, seconds).p50_ms for server, way in ways.items()}
        added.append(p50[distant] - p50[alone])
        rates.append(load(ways[distant], 64, seconds).per_second)
    return [
        at_most("added latency of a call on a node, p50", statistics.median(added), 2, "ms"),
        at_least("calls of one server, 64 connections", statistics.median(rates), 1_000, "/s"),
    ]


def _spread(cluster: Cluster, seconds: float) -> Row:
    """Compare four nodes with one, by a function whose calls sleep and take a worker each."""
    with cluster.server.api as api:
        deploy(api, "one", {"MINIFN_NODE": "node0", "MINIFN_CONCURRENCY": "1"})
        deploy(api, "four", {"MINIFN_CONCURRENCY": "1"})
    rates = []
    for name in ("one", "four"):
        fields = {"path": f"/?seconds={SLEEP_SECONDS}"}
        way: Target = execution_target(cluster.server, name, fields=fields)
        # So few that none waits for two seconds, after which wrk gives an answer up.
        load(way, 16, 5)
        rates.append(load(way, 16, max(seconds, 5)).per_second)
    return at_least(f"{NODES} nodes, as a multiple of one", rates[1] / rates[0], 3.6, "x")
