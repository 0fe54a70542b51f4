"""Protection of a whole server from hostile functions, by running them.

The attacks are those of `service_attacks.py`, in Python and Node.js, called through the API and by
domain. The tests judge the caller's own answer, the next caller's, and those of a good function
beside it, all with secrets. A column is an engine, run as the user of the tests. Single rules have
tests of their own: tests/workers (frames), tests/server (limits), tests/archive and tests/builder
(members and links).
"""

import functools
import re
import secrets
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.crash.invariants import alive, check_database
from tests.hostile.service_archives import ARCHIVES, COMMANDS, FILE
from tests.hostile.service_attacks import (
    COSTS_NEXT,
    ENTRYPOINTS,
    ERRORS,
    PROGRAMS,
    PYTHON_ONLY,
    SLOW,
    SLOW_TIMEOUT,
    Column,
    attacks_of,
    deploy,
    descriptors,
    quick,
)
from tests.packing import packed
from tests.serving import Server, pack, wait_until

pytestmark = pytest.mark.slow

ENGINES = ("bwrap", "process", "none")
#: Whether another worker finds a file in a public or private temporary directory.
PLANTED = {"bwrap": "False", "process": "False", "none": "True"}


def daemons(mark: str) -> list[int]:
    """Return the processes of this machine with the mark in their command line."""
    everybody = psutil.process_iter(["cmdline"])
    return [one.pid for one in everybody if any(mark in word for word in one.info["cmdline"] or ())]


def no_daemon(mark: str) -> bool:
    """Tell whether no process has the mark."""
    return not daemons(mark)


def is_empty(directory: Path) -> bool:
    """Tell whether a directory holds only hidden files."""
    return not list(directory.glob("[!.]*"))


@pytest.fixture(scope="module", params=ENGINES)
def column(request: pytest.FixtureRequest) -> Iterator[Column]:
    """A column after every attack."""
    if request.param == "bwrap":
        request.getfixturevalue("bwrap")
    request.getfixturevalue("node")
    with tempfile.TemporaryDirectory(prefix="minifn-") as folder:
        Path(folder).chmod(0o711)
        settings = {
            "sandbox": request.param,
            "network": "host",
            "build_limit": 2_000_000_000,
            "template_memory": -1,
        }
        server = Server(Path(folder) / "data", **settings)
        with server, server.api as api:
            deploy(api, "python", "good", (PROGRAMS / "good.py").read_bytes())
            api.execute("good")
            found = Column(request.param, server, api, descriptors(server))
            for family in ENTRYPOINTS:
                deploy(api, family, family)
                for attack in SLOW:
                    deploy(
                        api, family, f"{family}-{attack.replace('_', '-')}", timeout=SLOW_TIMEOUT
                    )
            over = threading.Event()
            with ThreadPoolExecutor(7) as pool:
                beside = pool.submit(found.call_beside, over)
                tries = [
                    pool.submit(found.attack_in_turn, family, quick(family))
                    for family in ENTRYPOINTS
                ]
                tries += [
                    pool.submit(found.attack_in_turn, family, [one])
                    for one in SLOW
                    for family in ENTRYPOINTS
                ]
                try:
                    for one in tries:
                        one.result()
                finally:
                    over.set()
                beside.result()
            yield found
        check_database(server.data)


def test_every_program_is_in_the_table() -> None:
    helpers = {"main", "refuse_to_stop", "plant", "look"}
    names = re.findall(r"^def (\w+)\(context", (PROGRAMS / "main.py").read_text(), re.MULTILINE)
    assert set(names) - helpers == set(ERRORS)
    names = re.findall(
        r"^  (?:async )?(\w+)(?:\(\w*\) \{|: )", (PROGRAMS / "main.cjs").read_text(), re.MULTILINE
    )
    assert set(names) - helpers - {"for", "if"} == set(ERRORS) - PYTHON_ONLY


@pytest.mark.parametrize(
    ("family", "attack"), [(name, one) for name in ENTRYPOINTS for one in attacks_of(name)]
)
def test_verdict(column: Column, family: str, attack: str) -> None:
    assert (family, attack) in column.seen, "no answer"
    seen = column.seen[family, attack]
    answer = seen.answer
    assert re.match(ERRORS[attack] or "$", answer["errors"]), answer
    if answer["status"] == "failed":
        assert (answer["status"], answer["responseStatusCode"], answer["responseBody"]) == (
            "failed",
            500,
            "",
        ), answer
    else:
        assert (answer["status"], answer["responseBody"]) == ("completed", seen.secret), answer
    if seen.domain is not None:
        secret = seen.domain.extensions["secret"]
        assert (seen.domain.status_code, seen.domain.text) == (200, secret) or (
            seen.domain.status_code == 500
            and "answered with an error and no more" in seen.domain.text
        )
    after = seen.after
    if attack in COSTS_NEXT and after["status"] == "failed":
        assert COSTS_NEXT[attack] in after["errors"], after
        return
    # The next caller gets its own answer, and the function goes on.
    assert (after["status"], after["responseBody"], after["logs"]) == (
        "completed",
        seen.after_secret,
        "",
    ), after


def test_the_good_function_beside_them(column: Column) -> None:
    assert column.beside == []
    assert column.beside_count > 20


@pytest.mark.parametrize("family", ENTRYPOINTS)
def test_no_header_can_be_injected(column: Column, family: str) -> None:
    answer = column.seen[family, "headers"].domain
    assert answer is not None
    assert (answer.headers["x-kept"], len(answer.headers["x-large"])) == ("z", 100_000)
    assert not {"x-planted", "x-split", "x-bell", "transfer-encoding", "connection"} & set(
        answer.headers
    )
    assert answer.headers["x-appwrite-execution-id"] != "forged"
    assert answer.headers["content-length"] == "16"


@pytest.mark.parametrize("family", ENTRYPOINTS)
def test_logs_are_cut_and_decoded(column: Column, family: str) -> None:
    binary = column.seen[family, "binary_logs"].answer["logs"]
    assert binary.startswith("\0\x1b[2J\r\x7f\n")
    assert binary.endswith("\ufffd\ufffd\ufffd\n")
    assert len(column.seen[family, "endless_line"].answer["logs"]) < 10_000
    assert len(column.seen[family, "log_flood"].answer["logs"]) <= 1_000_000


@pytest.mark.parametrize("family", ENTRYPOINTS)
@pytest.mark.parametrize("attack", ["daemon_and_wait", "daemon_and_exit", "share_control"])
def test_no_daemon_outlives_its_worker(column: Column, family: str, attack: str) -> None:
    mark = column.seen[family, attack].mark
    wait_until(functools.partial(no_daemon, mark), 5, "the daemon is gone")


@pytest.mark.parametrize("family", ENTRYPOINTS)
def test_nothing_outlives_its_deployment(column: Column, family: str) -> None:
    """Neither a daemon, nor a worker that ignores SIGTERM, nor a file in /tmp."""
    function_id, mark = f"{family}-stays", f"mark-{secrets.token_hex(8)}"
    first = deploy(column.api, family, function_id)
    for attack in ("daemon", "refuse_to_stop"):
        assert column.call(column.api, function_id, attack, "", mark)["status"] == "completed"
    column.call(column.api, function_id, "plant", "", mark)
    wait_until(functools.partial(daemons, mark), 5, "the daemon runs")
    looked = column.call(column.api, "python", "look", "", mark)["responseBody"]
    entrypoint = ENTRYPOINTS[family]
    column.api.deploy(function_id, pack(extra={entrypoint: (PROGRAMS / entrypoint).read_bytes()}))
    again = column.call(column.api, function_id, "look", "", mark)["responseBody"]
    # An inactive deployment keeps its worker for a while, in case it becomes active again.
    column.api.call("DELETE", f"/functions/{function_id}/deployments/{first}", 204)
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        Path(place, mark).unlink(missing_ok=True)
    assert (looked, again) == (PLANTED[column.engine],) * 2
    wait_until(functools.partial(no_daemon, mark), 10, "the daemon is gone")


@pytest.mark.parametrize("family", ENTRYPOINTS)
def test_an_asynchronous_execution_times_out_too(column: Column, family: str) -> None:
    queued = column.api.enqueue(f"{family}-spin", path="/spin")
    ended = column.api.finished(f"{family}-spin", queued["$id"])
    assert (ended["status"], ended["errors"]) == ("failed", "Execution timed out.\n")


def test_uploads(column: Column) -> None:
    """Archives and builds: their logs, and that nothing was read, escaped or left running."""
    if column.engine == "none":
        pytest.skip("builds without an engine reach whatever the server does")
    mark = f"mark-{secrets.token_hex(8)}"
    outside = {path for path in column.server.data.parent.rglob("*") if "builds" not in path.parts}
    key = column.server.key
    expected, waiting = {}, {}
    for name, (code, words) in ARCHIVES.items():
        expected[name] = words
        column.api.create(name, column.api.runtime("python"), entrypoint="main.py")
        waiting[name] = column.api.upload(name, code)["$id"]
    for name, (commands, words) in COMMANDS.items():
        expected[name] = words
        commands = commands.format(data=column.server.data, mark=mark)
        column.api.create(
            name, column.api.runtime("python"), entrypoint="main.py", commands=commands
        )
        waiting[name] = column.api.upload(name, packed(FILE))["$id"]
    for name, deployment_id in waiting.items():
        built = column.api.built(name, deployment_id)
        assert built["status"] == ("failed" if expected[name] else "ready"), (
            f"{name}: {built['buildLogs']}"
        )
        assert re.search(expected[name], built["buildLogs"]), f"{name}: {built['buildLogs']}"
        assert "Traceback" not in built["buildLogs"], name
        assert key not in built["buildLogs"]
        if not expected[name]:
            assert column.api.execute(name)["responseBody"] == "built", name
    wait_until(functools.partial(no_daemon, mark), 5, "what builds started is gone")
    made = {
        path for path in column.server.data.parent.rglob("*") if "builds" not in path.parts
    } - outside
    assert not [path for path in made if "escaped" in path.name or "planted" in path.name]
    assert not Path("/tmp/escaped").exists()


def test_nothing_is_left(column: Column) -> None:
    """Last test of a column: deleted functions leave no process, file or descriptor."""
    for row in list(column.api.pages("/functions", "functions")):
        column.api.call("DELETE", f"/functions/{row['$id']}", 204)
    wait_until(lambda: len(column.server.tree()) == 2, 15, "only the server and its launcher live")
    for place in ("run/tmp", "run/processes", "builds", "caches"):
        wait_until(functools.partial(is_empty, column.server.data / place), 10, f"{place} is empty")
    wait_until(
        lambda: descriptors(column.server) <= column.descriptors, 10, "no descriptor is left open"
    )
    assert len(column.server.log.read_text().splitlines()) < 100


@pytest.mark.parametrize("engine", ENGINES)
def test_no_daemon_outlives_a_killed_server(
    engine: str, data: Path, request: pytest.FixtureRequest
) -> None:
    """Neither a killed server, nor a killed launcher, nor an orderly stop."""
    if engine == "bwrap":
        request.getfixturevalue("bwrap")
    server = Server(data, sandbox=engine).start()
    with server.api as api:
        deploy(api, "python", "python")
    for end in ("server", "launcher", "stop"):
        mark = f"mark-{secrets.token_hex(8)}"
        with server.api as api:
            api.execute("python", path=f"/daemon?mark={mark}")
        wait_until(functools.partial(daemons, mark), 5, "the daemon runs")
        before = server.tree()
        if end == "server":
            server.kill()
        elif end == "launcher":
            (launcher,) = psutil.Process(server.process.pid).children()
            launcher.kill()
            assert server.ended(10) == 1
        else:
            assert server.stop() == 0
        wait_until(functools.partial(no_daemon, mark), 5, f"no daemon survives the end: {end}")
        _, living = psutil.wait_procs(before, timeout=5)
        assert not [one for one in living if alive(one)], f"nothing survives the end: {end}"
        if end != "stop":
            server.start()
