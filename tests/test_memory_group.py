"""A server in a real control group whose memory is less than its functions would take."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from minifn.host.control_groups import own_group
from tests.serving import Api, Server, pack, wait_until

LIMIT_BYTES = 256 * 2**20
#: At once they would take twice the limit.
FUNCTIONS = [f"holder{number}" for number in range(12)]
#: Holds as many MB as the body says while a call lasts.
HOLDER = b"""
import asyncio

async def main(context):
    held = b"x" * (int(context.req.body_text) * 2**20)
    await asyncio.sleep(0.2)
    return context.res.text(str(len(held) >> 20))
"""


@pytest.fixture(scope="module")
def group() -> Iterator[Path]:
    """A new memory group below our own, empty; skips where none can be made."""
    path = made_group()
    if path is None:
        pytest.skip("no memory group can be made here: run as root with writable control groups")
    yield path
    wait_until(lambda: not (path / "cgroup.procs").read_text(), 10, "the group is empty")
    path.rmdir()


def made_group() -> Path | None:
    texts = [Path(f"/proc/self/{name}").read_text() for name in ("cgroup", "mountinfo")]
    for controller, file in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        own = own_group(texts[0], texts[1], controller)
        path = Path(own) / f"minifn-test-{os.getpid()}"
        if own and os.access(own, os.W_OK):
            path.mkdir()
            if (path / file).exists():
                (path / file).write_text(str(LIMIT_BYTES))
                return path
            # Memory is not among what the groups below ours are given.
            path.rmdir()
    return None


@pytest.fixture(scope="module")
def enter(group: Path) -> tuple[str, ...]:
    """Words before a command that put it into the group."""
    return ("/bin/sh", "-c", f'echo $$ >{group}/cgroup.procs; exec "$@"', "sh")


@pytest.fixture(scope="module")
def api(enter: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server in the group, with all functions deployed."""
    server = Server(tmp_path_factory.mktemp("group") / "data")
    server.wrapper = enter
    with server, server.api as api:
        runtime = api.runtime("python")
        code = pack(extra={"main.py": HOLDER})
        builds = {}
        for name in FUNCTIONS:
            api.create(name, runtime, entrypoint="main.py", timeout=30)
            builds[name] = api.upload(name, code)["$id"]
        for name, build in builds.items():
            deployment = api.built(name, build)
            assert deployment["status"] == "ready", deployment["buildLogs"]
        yield api
        assert server.process.poll() is None, server.log_tail()


def called(api: Api, names: list[str], megabytes: int) -> list[Any]:
    """Call all at once; return their executions."""
    with ThreadPoolExecutor(len(names)) as callers:
        return list(callers.map(lambda name: api.execute(name, body=str(megabytes)), names))


def test_the_limit_that_counts_is_said(api: Api, group: Path, enter: tuple[str, ...]) -> None:
    memory = api.call("GET", "/health", 200)["memory"]
    assert (memory["limit"], memory["source"]) == (LIMIT_BYTES, str(group))
    assert 0 < memory["available"] < LIMIT_BYTES
    done = subprocess.run(
        [*enter, sys.executable, "-m", "minifn", "doctor", "--json"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    checks = [check for check in json.loads(done.stdout)["checks"] if check["group"] == "machine"]
    memories = [check["detail"] for check in checks if check["name"] == "memory"]
    assert [detail.partition(" of ")[2] for detail in memories] == [f"256 MB, the limit of {group}"]


def test_functions_that_need_more_than_there_is_take_turns(api: Api) -> None:
    for execution in called(api, FUNCTIONS, 24):
        assert (execution["status"], execution["responseBody"]) == ("completed", "24"), execution


@pytest.mark.slow
def test_the_kernel_ends_functions_and_not_the_server(api: Api) -> None:
    executions = called(api, FUNCTIONS[:4], 160)
    killed = [execution for execution in executions if execution["status"] == "failed"]
    assert killed
    for execution in killed:
        assert "the server ran out of memory" in execution["errors"], execution
    assert called(api, FUNCTIONS[:1], 1)[0]["status"] == "completed"
