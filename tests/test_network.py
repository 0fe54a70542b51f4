"""Networks of functions: the server's limit, and functions that want less or more."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minifn.config import Config
from minifn.doctor import examine
from minifn.sandbox.command import Command, EngineUnavailable, Network
from minifn.sandbox.engines.argv import Programs
from minifn.sandbox.engines.bwrap import OWN_PROC, PASTA_OPTIONS, BwrapEngine, Layout
from minifn.sandbox.engines.none import NoEngine
from minifn.sandbox.engines.process import ProcessEngine
from minifn.sandbox.launcher import addresses
from minifn.sandbox.protections import USE_HOST
from minifn.workers.specs import network_of
from tests.serving import Server, pack

#: Answers what happened when it called the server that runs it.
CALLS = b"""
import os, urllib.request
def main(context):
    try:
        url = os.environ["APPWRITE_FUNCTION_API_ENDPOINT"] + "/health/version"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return context.res.json({"reached": answer.status})
    except OSError as error:
        return context.res.json({"refused": str(error)})
"""
LAYOUT = Layout(visible=("/usr",), links=())


def bwrap_engine(pasta: str = "") -> BwrapEngine:
    return BwrapEngine(
        bwrap="/usr/bin/bwrap",
        programs=Programs(),
        layout=LAYOUT,
        seccomp=b"",
        uid=1000,
        nested=True,
        pasta=pasta,
        closed=Path("/run/closed"),
    )


def refused(data: Path, **settings: object) -> str:
    """Return the log of a server that must not start."""
    server = Server(data, **settings)
    server.launch()
    assert server.ended(30) == 1
    return server.log_tail()


@pytest.mark.parametrize(
    ("ceiling", "wanted", "given"),
    [
        ("host", None, "host"),
        ("host", "host", "host"),
        ("host", "isolated", "isolated"),
        ("host", "none", "none"),
        ("isolated", None, "isolated"),
        ("isolated", "host", "isolated"),
        ("isolated", "none", "none"),
        ("none", None, "none"),
        ("none", "host", "none"),
        ("none", "isolated", "none"),
        ("host", "NONE", "none"),
        ("host", "", "none"),
        ("isolated", "everything", "none"),
    ],
)
def test_a_function_gets_less_and_never_more(ceiling: str, wanted: str | None, given: str) -> None:
    variables = {} if wanted is None else {"MINIFN_NETWORK": wanted}
    assert network_of(ceiling, variables) is Network(given)


@pytest.mark.parametrize("network", [Network.NONE, Network.ISOLATED])
def test_engines_without_namespaces_refuse(network: Network) -> None:
    command = Command(argv=("/bin/true",), env={}, network=network)
    for engine in (ProcessEngine(programs=Programs(), root=False), NoEngine()):
        with pytest.raises(EngineUnavailable, match="cannot take the network away"):
            engine.wrap(command)


def test_an_isolated_command_runs_inside_pasta() -> None:
    command = Command(argv=("/bin/true",), env={}, network=Network.ISOLATED)
    wrapped = bwrap_engine("/usr/bin/pasta").wrap(command)
    start = (
        *("/usr/bin/pasta", *PASTA_OPTIONS, "--", sys.executable, "-I", "-S"),
        *(addresses.__file__, "/run/closed", *addresses.own_addresses(), "--"),
        *(*OWN_PROC, "/usr/bin/bwrap"),
    )
    assert wrapped.argv[: len(start)] == start
    assert not wrapped.namespaced
    with pytest.raises(EngineUnavailable, match="for the whole server"):
        bwrap_engine().wrap(command)


@pytest.mark.usefixtures("bwrap")
def test_a_server_without_network_for_functions(data: Path) -> None:
    """No variable of the function or the project gives it one; its build has the machine's."""
    code = "import os, urllib.request as r; print('build got', r.urlopen(os.environ['URL']).status)"
    build = f'python3 -c "{code}"'
    with Server(data, network="none", sandbox="bwrap") as server, server.api as api:
        api.create("fn", api.runtime("python"), entrypoint="main.py", execute=["any"])
        for key, value in (
            ("URL", f"{server.endpoint}/health/version"),
            ("MINIFN_NETWORK", "host"),
        ):
            api.call("POST", "/functions/fn/variables", 201, json={"key": key, "value": value})
        log = api.deploy("fn", pack(extra={"main.py": CALLS}), commands=build)
        assert "build got 200" in log["buildLogs"]
        assert list(json.loads(api.execute("fn")["responseBody"])) == ["refused"]


@pytest.mark.usefixtures("bwrap")
def test_a_function_gives_up_its_network(data: Path) -> None:
    with Server(data, sandbox="bwrap") as server, server.api as api:
        api.create("fn", api.runtime("python"), entrypoint="main.py", execute=["any"])
        api.deploy("fn", pack(extra={"main.py": CALLS}))
        assert json.loads(api.execute("fn")["responseBody"]) == {"reached": 200}
        variable = {"key": "MINIFN_NETWORK", "value": "none"}
        api.call("POST", "/functions/fn/variables", 201, json=variable)
        assert list(json.loads(api.execute("fn")["responseBody"])) == ["refused"]


def test_a_network_that_the_engine_lacks_stops_the_start(data: Path) -> None:
    for engine in ("process", "none"):
        log = refused(data, sandbox=engine, network="none")
        assert f"the engine {engine} cannot take the network away; use bwrap" in log
        assert "Traceback" not in log


def test_with_the_process_engine_such_a_function_fails_and_says_why(data: Path) -> None:
    with Server(data, sandbox="process") as server, server.api as api:
        api.create("fn", api.runtime("python"), entrypoint="main.py", execute=["any"])
        api.call(
            "POST", "/functions/fn/variables", 201, json={"key": "MINIFN_NETWORK", "value": "none"}
        )
        api.deploy("fn", pack(extra={"main.py": CALLS}))
        execution = api.execute("fn")
        assert execution["status"] == "failed"
        assert "cannot take the network away" in execution["errors"]


def test_isolation_that_does_not_work_here_is_refused_in_time(data: Path) -> None:
    if os.geteuid() != 0 and shutil.which("pasta"):
        pytest.skip("isolation may work here: this test needs a machine where it does not")
    log = refused(data, network="isolated")
    assert "MINIFN_NETWORK=isolated needs" in log
    # The remedy concerns the network, not the engine, which works.
    failed = [
        check
        for check in examine(Config(data=data, network="isolated")).checks
        if "isolated" in check.detail
    ]
    assert {check.name: check.remedy for check in failed} == {
        "engine": USE_HOST,
        "isolation": USE_HOST,
    }


@pytest.mark.usefixtures("bwrap")
def test_an_isolated_function_does_not_reach_this_server(data: Path) -> None:
    if os.geteuid() == 0 or not shutil.which("pasta") or not os.access("/dev/net/tun", os.W_OK):
        pytest.skip("isolation needs pasta, /dev/net/tun and a server that is not root")
    with Server(data, network="isolated", sandbox="bwrap") as server, server.api as api:
        api.create("fn", api.runtime("python"), entrypoint="main.py", execute=["any"])
        api.deploy("fn", pack(extra={"main.py": CALLS}))
        assert list(json.loads(api.execute("fn")["responseBody"])) == ["refused"]
        isolating = [
            process for process in server.tree() if process.name().startswith(("pasta", "passt"))
        ]
        assert isolating
    assert not any(process.is_running() for process in isolating)


@pytest.mark.usefixtures("bwrap")
def test_doctor_reports_the_network_of_functions() -> None:
    for network, state in (("none", "ON"), ("host", "DEGRADED")):
        command = [sys.executable, "-m", "minifn", "doctor", "--json", "--network", network]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        states = {check["name"]: check["state"] for check in json.loads(done.stdout)["checks"]}
        assert states["network"] == state
