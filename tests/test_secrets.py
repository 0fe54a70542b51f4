"""Secrets of functions: where the values of variables may appear, and where not."""

import json
import threading
from pathlib import Path

import pytest

from tests.serving import FUNCTIONS, Api, Server, pack, wait_until

SECRET = "sekrit-0d9c5f"
#: Names that go different ways to a function: as they are, and past the programs that confine it.
NAMES = ("API_TOKEN", "LD_SDK_KEY")
SHOWS = b"""
import os, time
def main(context):
    if context.req.path == "/wait":
        time.sleep(1.5)
    if context.req.path == "/fail":
        raise ValueError("no")
    return context.res.json({name: os.environ.get(name) for name in ("API_TOKEN", "LD_SDK_KEY")})
"""


def command_lines() -> bytes:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:
            continue
    return b"\n".join(found)


def fill(api: Api) -> list[str]:
    """Make variables of both owners and a function that has them; return what the API answered."""
    said = []

    def ask(method: str, path: str, status: int, **options: object) -> None:
        said.append(json.dumps(api.call(method, path, status, **options)))

    api.create("fn", api.runtime("python"), entrypoint="main.py", execute=["any"])
    ask(
        "POST",
        "/functions/fn/variables",
        201,
        json={"key": NAMES[0], "value": SECRET, "secret": True},
    )
    ask(
        "POST",
        "/project/variables",
        201,
        json={"variableId": "pv", "key": NAMES[1], "value": SECRET, "secret": True},
    )
    ask(
        "POST",
        "/functions/fn/variables",
        409,
        json={"key": NAMES[0], "value": SECRET, "secret": True},
    )
    ask("POST", "/functions/fn/variables", 400, json={"key": SECRET * 30, "value": "x"})
    (own,) = api.call("GET", "/functions/fn/variables", 200)["variables"]
    ask("PUT", f"/functions/fn/variables/{own['$id']}", 200, json={"value": SECRET})
    ask("PUT", f"/functions/fn/variables/{own['$id']}", 400, json={"secret": False})
    for path in (
        "/functions/fn/variables",
        f"/functions/fn/variables/{own['$id']}",
        "/project/variables",
        "/functions",
    ):
        ask("GET", path, 200)
    for shape in ("1.3.0", "1.5.0", "1.6.0", "1.8.0"):
        ask("GET", "/functions/fn", 200, headers={"x-appwrite-response-format": shape})
    return [text for text in said if SECRET * 30 not in text]


@pytest.mark.parametrize("engine", ["auto", "process"])
def test_secret_variables_reach_the_function_alone(data: Path, engine: str) -> None:
    with Server(data, sandbox=engine) as server, server.api as api:
        said = fill(api)
        said.append(
            json.dumps(api.deploy("fn", pack(extra={"main.py": SHOWS}), commands="echo building"))
        )
        waiting = threading.Thread(target=lambda: api.execute("fn", path="/wait"))
        waiting.start()
        workers = wait_until(server.workers, 10, "a worker runs")
        assert workers
        assert SECRET.encode() not in command_lines()
        waiting.join()
        assert json.loads(api.execute("fn")["responseBody"]) == dict.fromkeys(NAMES, SECRET)
        said.append(json.dumps(api.execute("fn", path="/fail")))
        assert not [text for text in said if SECRET in text]
        log = server.log_tail()
    assert SECRET not in log
    # The answer of the function is not kept, so the value is nowhere: database, log of it, records,
    # builds.
    kept = [
        path for path in data.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert kept == []


def test_a_server_without_its_key_does_not_start(data: Path) -> None:
    with Server(data) as server, server.api as api:
        api.create("hello", api.runtime("python"), entrypoint="main.py")
        api.deploy("hello", pack(FUNCTIONS / "hello"))
    key = data / "variables.key"
    saved = key.read_text()
    key.unlink()
    for prepare, reason in (
        (lambda: None, "their key is missing"),
        (lambda: key.write_text("0" * 64), "another key"),
    ):
        prepare()
        server = Server(data)
        server.launch()
        assert server.ended(20) == 1
        assert reason in server.log_tail()
        assert "Traceback" not in server.log_tail()
    key.unlink()
    with Server(data, variables_key=saved.strip()):
        assert not key.exists()
