"""The isolation rows of the table of hostile programs, by a function on a node."""

import contextlib
import functools
import itertools
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from minifn.sandbox.launcher.confine import landlock_version
from tests.cluster.conftest import Cluster, deploy
from tests.cluster.test_troubles import node_directory
from tests.hostile.driver import belongings, build
from tests.hostile.test_verdicts import COLUMNS, NEEDS_SCOPES, VERDICTS, WORDS
from tests.serving import Api, pack, wait_until

pytestmark = pytest.mark.slow

PROGRAMS = Path(__file__).parents[1] / "hostile" / "programs"
#: Attacks that are judged by the harm after their end, and one on limits of the driver's own.
ELSEWHERE = {"plant_links", "signal_everybody", "signal_by_descriptor", "raise_limits"}
#: Runs a hostile program as a process of the function, and answers with its output.
ATTACKER = b"""import json, os, subprocess, sys

BOOT = "import sys; sys.path.append(sys.argv.pop(1)); from programs.attack import main; main()"

def main(context):
    given = context.req.body_json
    argv = [sys.executable, "-I", "-S", "-B", "-c", BOOT, os.path.dirname(__file__)]
    argv += [given["attack"], json.dumps(given["targets"])]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    return context.res.text(done.stdout or f"no answer {done.returncode} {done.stderr[-300:]}")
"""


def attacks() -> list[str]:
    """The hostile programs that reach for others, and for rights."""
    lines = [line for name in ("reach", "rights") for line in _lines(PROGRAMS / f"{name}.py")]
    names = [
        after.removeprefix("def ").partition("(")[0]
        for line, after in itertools.pairwise(lines)
        if line == "@attack"
    ]
    return [name for name in names if name not in ELSEWHERE]


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.fixture(scope="module")
def spoils(cluster: Cluster) -> Iterator[dict[str, str]]:
    """The output of each attack on the actor of a node and on another function there."""
    with cluster.server.api as api, ThreadPoolExecutor(1) as pool:
        deploy(api, "victim", {"MINIFN_NODE": "first"})
        calls = pool.submit(api.execute, "victim", path="/?seconds=25")
        actor, victim = wait_until(functools.partial(found, cluster), 10, "the victim runs")
        data = node_directory(actor)
        terminal = os.ttyname(os.openpty()[1])
        with belongings(data, terminal) as targets:
            targets |= {
                "other_build": str(build(data, "other")),
                "server": str(actor.pid),
                "launcher": str(actor.children()[0].pid),
                "other": str(victim.pid),
                "mark": f"mark-{os.getpid()}",
            }
            files = {f"programs/{one.name}": one.read_bytes() for one in PROGRAMS.glob("*.py")}
            api.create("hostile", api.runtime("python"), entrypoint="main.py", timeout=30)
            variable = {"key": "MINIFN_NODE", "value": "first"}
            api.call("POST", "/functions/hostile/variables", 201, json=variable)
            api.deploy("hostile", pack(extra={"main.py": ATTACKER, **files}))
            yield {name: attacked(api, {"attack": name, "targets": targets}) for name in attacks()}
        assert calls.result()["status"] == "completed"


def found(cluster: Cluster) -> tuple[psutil.Process, psutil.Process] | None:
    """The actor that runs the victim, and the victim's process; None before it runs."""
    for actor in cluster.actors():
        for one in actor.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if one.username() != actor.username() or "wrapper" in " ".join(one.cmdline()):
                    return actor, one
    return None


def attacked(api: Api, order: dict[str, Any]) -> str:
    execution = api.execute("hostile", body=json.dumps(order))
    return str(execution["responseBody"] or execution["errors"])


@pytest.mark.parametrize("attack", attacks())
def test_verdict(cluster: Cluster, spoils: dict[str, str], attack: str) -> None:
    engine = next(one["engine"] for one in cluster.nodes().values() if one["engine"])
    name = f"{engine} host {'user' if os.geteuid() else 'root'}"
    if name not in COLUMNS or (engine == "process" and landlock_version() < 6):
        pytest.skip(f"the table has no column for {name} on this kernel")
    if attack in NEEDS_SCOPES and landlock_version() < 6 and engine != "bwrap":
        pytest.skip("this kernel's Landlock has no scopes: use Linux 6.12 or newer")
    seen = spoils[attack]
    assert seen.startswith(("BREACHED", "HELD")), seen
    verdict = "open" if seen.startswith("BREACHED") else "stopped"
    letters = VERDICTS[attack].split()[COLUMNS.index(name)]
    assert verdict in {WORDS[letter] for letter in letters}, seen
