"""What a whole server keeps hostile functions from, by running them: a verdict that changes silently fails.

Each attack is a path of `programs/service/`, in Python and Node.js, called through the API and by its domain.
The caller's own answer is judged, that of the next caller, and those of a good function beside it, all with secrets.
A column is an engine, as whoever runs the tests. Single rules have tests where they are made: tests/workers (frames),
tests/test_archive.py and tests/test_publish.py (members and links), tests/test_limits.py (the words for each limit).
"""

import contextlib
import functools
import os
import re
import secrets
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.crash.invariants import alive, check_database
from tests.hostile.service_archives import ARCHIVES, COMMANDS, FILE
from tests.packing import packed
from tests.serving import Api, Server, pack, wait_until

pytestmark = pytest.mark.slow

PROGRAMS = Path(__file__).parent / "programs" / "service"
ENTRYPOINTS = {"python": "main.py", "node": "main.cjs"}
ENGINES = ("bwrap", "process", "none")
#: Of the functions whose attacks last until they are ended, and of the others, seconds.
SLOW_TIMEOUT, TIMEOUT = 2, 10

TIMED_OUT = r"Execution timed out\.\n"
PROTOCOL = r"The worker broke the protocol: .*"
DIED = r"The function's process (exited with code|was ended by signal) \d+.*"
#: On a busy machine the time is over first, or the memory of Node.js, where logs wait to be written: it then ends by
#: one of these signals, with words or without.
FLOODED = (
    r"The function's process (wrote faster than|was ended[\s\S]* (memory|.*bad_alloc|signal (5|6|11)\b))"
    r"|.* than 64 MB\.\n|" + TIMED_OUT
)
ANSWERED = ""
#: What the errors of each attack say; those that are empty are answered, with the caller's own secret.
ERRORS = {
    "alive": ANSWERED,
    # Time
    "spin": TIMED_OUT,
    "wait": TIMED_OUT,
    "late_reply": TIMED_OUT,
    "half_reply": TIMED_OUT,
    "dripping_reply": TIMED_OUT,
    "daemon_and_wait": TIMED_OUT,
    # Replies
    "garbage": PROTOCOL + "the limit is",
    "half_reply_and_exit": DIED,
    "foreign_reply": PROTOCOL + "request 1000000, which was never made",
    "early_reply": PROTOCOL + "which was never made",
    "two_replies": ANSWERED,
    "earlier_reply": ANSWERED,
    "nested_reply": PROTOCOL + "recursion",
    "huge_body": r"[\s\S]*the limit is",
    "huge_frame": PROTOCOL + "the limit is",
    "headers": ANSWERED,
    "many_headers": PROTOCOL + "90,000 response headers, the limit is 1,000",
    "status": PROTOCOL + "status code 1000",
    # The control socket and the process
    "close_control": DIED,
    "replace_control": DIED,
    "share_control": DIED,
    "kill_itself": DIED,
    "unnamed_signal": r"The function's process was ended by signal 40\.\n",
    "odd_exit_code": DIED,
    "daemon": ANSWERED,
    "daemon_and_exit": DIED,
    # Logs
    "log_flood": FLOODED,
    "output_flood": FLOODED,
    "errors_flood": FLOODED,
    "endless_line": ANSWERED,
    "binary_logs": ANSWERED,
    # What a process has
    "take_port": ANSWERED,
    "files": ANSWERED,
    "threads": ANSWERED,
    "memory": r"$|The function's process was ended: memory limit exceeded \(512 MB\)|The function's [\s\S]* memory ",
}
SLOW = (
    *("spin", "wait", "late_reply", "half_reply", "dripping_reply", "daemon_and_wait"),
    *("log_flood", "output_flood", "errors_flood"),
)
#: What is called by the function's domain too: a failure there is a page without a word of the errors.
BY_DOMAIN = (
    "alive",
    "garbage",
    "two_replies",
    "nested_reply",
    "huge_body",
    "headers",
    "status",
    "kill_itself",
)
#: Node.js has no words for these, and ends with its memory.
PYTHON_ONLY = {"replace_control", "threads"}
#: Whether a file left in a public or private temporary directory is found by another worker.
PLANTED = {"bwrap": "False", "process": "False", "none": "True"}


@dataclass
class Seen:
    """What came of one attack."""

    answer: dict[str, Any]
    #: The same by the function's domain.
    domain: httpx.Response | None
    #: How the next execution in the same function went.
    after: dict[str, Any]
    secret: str
    after_secret: str
    #: Of the daemons it started.
    mark: str


@dataclass
class Column:
    """A server under one engine, and a good function that is called for as long as there are attacks."""

    engine: str
    server: Server
    api: Api
    descriptors: int
    seen: dict[tuple[str, str], Seen] = field(default_factory=dict)
    beside: list[str] = field(default_factory=list)
    beside_count: int = 0

    def call(self, api: Api, function_id: str, attack: str, secret: str, mark: str) -> Any:
        """Run an attack through the API."""
        return api.execute(function_id, path=f"/{attack}?mark={mark}", body=secret)

    def attack(self, family: str, attack: str) -> None:
        """Run an attack and see what it came to."""
        slow = attack in SLOW
        function_id = f"{family}-{attack.replace('_', '-')}" if slow else family
        mark = f"mark-{secrets.token_hex(8)}"
        own, domain, after = (secrets.token_hex(8) for _ in range(3))
        host = f"{function_id}.functions.localhost:{self.server.port}"
        with (
            self.server.api as api,
            httpx.Client(base_url=self.server.url, trust_env=False, timeout=20) as guest,
        ):
            answer = self.call(api, function_id, attack, own, mark)
            reached = None
            if attack in BY_DOMAIN:
                reached = guest.post(
                    f"/{attack}?mark={mark}", content=domain, headers={"host": host}
                )
                reached.extensions["secret"] = domain
            went_on = self.call(api, function_id, "alive", after, mark)
            for _ in range(4):
                # A machine that is busy with the others may need longer than the little time of these for a start.
                if slow and went_on["errors"].startswith("Execution timed out."):
                    went_on = self.call(api, function_id, "alive", after, mark)
            self.seen[family, attack] = Seen(answer, reached, went_on, own, after, mark)

    def attack_in_turn(self, family: str, attacks: list[str]) -> None:
        """Run attacks one after the other; one that is not answered is not seen."""
        for attack in attacks:
            with contextlib.suppress(httpx.TransportError):
                self.attack(family, attack)

    def call_beside(self, over: threading.Event) -> None:
        """Call the good function with secrets; what is not exactly as it should be is noted."""
        with self.server.api as api:
            while not over.wait(0.03):
                secret = secrets.token_hex(8)
                found = api.execute("good", body=secret)
                self.beside_count += 1
                if (found["responseBody"], found["logs"], found["errors"]) != (
                    secret,
                    f"{secret}\n",
                    "",
                ):
                    self.beside.append(str(found))


def deploy(
    api: Api, family: str, function_id: str, code: bytes | None = None, **settings: Any
) -> str:
    """Create and deploy a hostile function; return the deployment's id."""
    entrypoint = ENTRYPOINTS[family]
    settings = {"entrypoint": entrypoint, "execute": ["any"], "timeout": TIMEOUT, **settings}
    api.create(function_id, api.runtime(family), **settings)
    content = code if code is not None else (PROGRAMS / entrypoint).read_bytes()
    return str(api.deploy(function_id, pack(extra={entrypoint: content}))["$id"])


def daemons(mark: str) -> list[int]:
    """The processes of this machine with the mark in their command line."""
    everybody = psutil.process_iter(["cmdline"])
    return [one.pid for one in everybody if any(mark in word for word in one.info["cmdline"] or ())]


def descriptors(server: Server) -> int:
    """How many files the server has open; 0 for a plain user, from whom it hides them."""
    return 0 if os.geteuid() else psutil.Process(server.process.pid).num_fds()


def no_daemon(mark: str) -> bool:
    """Whether no process has the mark."""
    return not daemons(mark)


def is_empty(directory: Path) -> bool:
    """Whether nothing but what is hidden is in a directory."""
    return not list(directory.glob("[!.]*"))


def attacks_of(family: str) -> list[str]:
    """The attacks there are in a language."""
    return [name for name in ERRORS if family == "python" or name not in PYTHON_ONLY]


def quick(family: str) -> list[str]:
    """Those of them that end soon, all in one function."""
    return [name for name in attacks_of(family) if name not in SLOW]


@pytest.fixture(scope="module", params=ENGINES)
def column(request: pytest.FixtureRequest) -> Iterator[Column]:
    """A column in which every attack was tried."""
    if request.param == "bwrap":
        request.getfixturevalue("bwrap")
    request.getfixturevalue("node")
    with tempfile.TemporaryDirectory(prefix="minifn-") as folder:
        Path(folder).chmod(0o711)
        server = Server(Path(folder) / "data", sandbox=request.param, network="host")
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
    # Nobody gets what another was meant to get, and the function goes on.
    after = seen.after
    assert (after["status"], after["responseBody"], after["logs"]) == (
        "completed",
        seen.after_secret,
        "",
    ), after


def test_the_good_function_beside_them(column: Column) -> None:
    assert column.beside == []
    assert column.beside_count > 20


@pytest.mark.parametrize("family", ENTRYPOINTS)
def test_nothing_can_be_planted_in_the_head_of_an_answer(column: Column, family: str) -> None:
    answer = column.seen[family, "headers"].domain
    assert answer is not None
    assert (answer.headers["x-kept"], len(answer.headers["x-large"])) == ("z", 100_000)
    assert not {"x-planted", "x-split", "x-bell", "transfer-encoding", "connection"} & set(
        answer.headers
    )
    assert answer.headers["x-appwrite-execution-id"] != "forged"
    assert answer.headers["content-length"] == "16"


@pytest.mark.parametrize("family", ENTRYPOINTS)
def test_what_is_kept_of_logs(column: Column, family: str) -> None:
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
    """Not a daemon of an answer that was given, a worker that ignores being told to stop, or a file in /tmp."""
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
    # Until then its worker is kept, for a while, for whoever makes it the active one again.
    column.api.call("DELETE", f"/functions/{function_id}/deployments/{first}", 204)
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        Path(place, mark).unlink(missing_ok=True)
    assert (looked, again) == (PLANTED[column.engine],) * 2
    wait_until(functools.partial(no_daemon, mark), 10, "the daemon is gone")


@pytest.mark.parametrize("family", ENTRYPOINTS)
def test_an_asynchronous_execution_is_ended_too(column: Column, family: str) -> None:
    queued = column.api.enqueue(f"{family}-spin", path="/spin")
    ended = column.api.finished(f"{family}-spin", queued["$id"])
    assert (ended["status"], ended["errors"]) == ("failed", "Execution timed out.\n")


def test_uploads(column: Column) -> None:
    """Archives and builds: what their log says, and that nothing was read, reached or left running."""
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
    """The last of a column: with the functions gone, no process, file or descriptor is theirs."""
    for row in list(column.api.pages("/functions", "functions")):
        column.api.call("DELETE", f"/functions/{row['$id']}", 204)
    wait_until(
        lambda: len(column.server.tree()) == 2, 15, "nobody lives but the server and its launcher"
    )
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
    """Nor a killed launcher, nor an orderly stop."""
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
            assert server.process.wait(10) == 1
        else:
            assert server.stop() == 0
        wait_until(functools.partial(no_daemon, mark), 5, f"no daemon survives the end: {end}")
        _, living = psutil.wait_procs(before, timeout=5)
        assert not [one for one in living if alive(one)], f"nothing survives the end: {end}"
        if end != "stop":
            server.start()
