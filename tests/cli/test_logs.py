"""`minifn logs`: stored executions, and lines as functions print them."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.conftest import Here
from tests.cli.test_cli import environment
from tests.packing import packed_files
from tests.patience import patient
from tests.processes import killed_at_end
from tests.serving import Api, Server

CODE = r"""
import time

def main(context):
    context.log("got " + context.req.path)
    if context.req.path == "/fail":
        raise ValueError("no luck")
    if context.req.path == "/hostile":
        context.log("\x1b]0;title\x07\x1b[31mred\r\nnext")
    if context.req.path == "/wait":
        time.sleep(1)
    return context.res.text("", 404 if context.req.path == "/missing" else 200)
"""


@pytest.fixture(scope="module")
def function(server: Server) -> str:
    """A function with an execution of each kind."""
    with server.api as api:
        api.create("logs-all", api.runtime("python"), entrypoint="main.py")
        api.deploy("logs-all", packed_files({"main.py": CODE}))
        for path in ("/fine", "/missing", "/fail", "/hostile"):
            api.execute("logs-all", path=path)
    return "logs-all"


def test_executions_have_a_line_and_their_logs_beneath(here: Here, function: str) -> None:
    lines = here.run("logs", function).stdout.splitlines()
    assert [line.split("  ")[1:3] for line in lines if not line.startswith(" ")][:2] == [
        [function, "POST /fine 200 " + lines[0].split(" 200 ")[1]],
        [function, "POST /missing 404 " + lines[2].split(" 404 ")[1]],
    ]
    assert lines[1] == "  got /fine"
    text = "\n".join(lines)
    assert "ValueError: no luck" in text
    assert "\x1b" not in text
    assert "  red\n  next" in text


def test_filters(here: Here, function: str) -> None:
    def paths(*arguments: str) -> list[str]:
        rows = here.run("logs", function, "--json", *arguments).stdout.splitlines()
        return [json.loads(row)["requestPath"] for row in rows]

    assert paths() == ["/fine", "/missing", "/fail", "/hostile"]
    assert paths("-n", "2") == ["/fail", "/hostile"]
    assert paths("-n", "0") == []
    assert paths("--failed") == ["/fail"]
    assert paths("--status", "404") == ["/missing"]
    assert paths("--grep", "NO LUCK") == ["/fail"]
    assert paths("--since", "1h") == paths()
    assert "--since must be like" in here.run("logs", "--since", "noon", status=2).stderr
    assert here.run("logs", "nobody", status=1).stderr.count("\n") == 1
    assert function in here.run("logs", "-v").stdout


def test_a_function_may_answer_with_any_status(here: Here, api: Api) -> None:
    code = "def main(context):\n    return context.res.text('', int(context.req.path[1:]))\n"
    api.create("logs-odd", api.runtime("python"), entrypoint="main.py")
    api.deploy("logs-odd", packed_files({"main.py": code}))
    for status in (103, 299, 399, 499, 599, 600, 999):
        api.execute("logs-odd", path=f"/{status}")
        assert f"POST /{status} {status} " in here.run("logs", "logs-odd", "-n", "1").stdout


@contextmanager
def following(here: Here, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "minifn", "logs", "-f", *arguments]
    logs = subprocess.Popen(
        command, cwd=here.folder, env=environment(), stdout=subprocess.PIPE, text=True
    )
    with killed_at_end(logs) as process:
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(patient(10)) == 0


def read_until(process: "subprocess.Popen[str]", word: str) -> list[str]:
    """Return the lines up to the one with `word`; a watchdog ends a process that is silent."""
    assert process.stdout is not None
    timer = threading.Timer(patient(20), os.kill, (process.pid, signal.SIGKILL))
    timer.start()
    lines = []
    for line in process.stdout:
        lines.append(line)
        if word in line:
            break
    timer.cancel()
    assert lines, "nothing was printed"
    assert word in lines[-1], lines
    return lines


def test_lines_come_while_the_function_runs(here: Here, function: str, api: Api) -> None:
    with following(here, function, "-n", "1") as process:
        read_until(process, "next")
        path = f"/functions/{function}/executions"
        waiting = api.enqueue(function, path="/wait")
        assert read_until(process, "got /wait") == ["  got /wait\n"]
        assert api.call("GET", f"{path}/{waiting['$id']}", 200)["status"] == "processing"
        assert len(read_until(process, "/wait 200")) == 1


def test_failures_come_whole_as_they_end(here: Here, function: str, api: Api) -> None:
    with following(here, function, "--failed", "-n", "1", "--json") as process:
        # The stream is open once a stored one is shown.
        stored = json.loads(read_until(process, "no luck")[0])
        failed = api.execute(function, path="/fail")
        shown = json.loads(read_until(process, "no luck")[0])
    assert (shown["$id"], shown["logs"]) == (failed["$id"], "got /fail\n")
    assert stored["$id"] != failed["$id"]
