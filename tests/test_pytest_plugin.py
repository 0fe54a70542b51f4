"""The fixture `minifn`, in pytest sessions of their own: plain, asynchronous and distributed."""

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HELLO = """
import os


def main(context):
    context.log("to the log")
    if context.req.path == "/bytes":
        return context.res.binary(bytes([255, 0]), 201, {"X-Kind": "raw"})
    if context.req.path == "/fail":
        raise ValueError("as asked")
    name = context.req.body_text or os.environ.get("NAME", "nobody")
    return context.res.text(f"Hello, {name}!")
"""
TESTS = """
import minifn as package
import pytest


def test_an_answer(minifn):
    answer = minifn.deploy("./hello", variables={"NAME": "Ada"}).run()
    assert (answer.status, answer.body, answer.logs) == (200, "Hello, Ada!", "to the log\\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_each_test_begins_without_functions(minifn):
    assert list(minifn.server.functions()) == []
    first, second = minifn.deploy("hello"), minifn.deploy("hello")
    assert (first.id, second.id == "hello") == ("hello", False)
    assert second.run("Bob").body == "Hello, Bob!"


def test_bytes_and_failures(minifn):
    hello = minifn.deploy("hello")
    answer = hello.run(path="/bytes")
    assert (answer.status, answer.content, answer.headers["x-kind"]) == (201, b"\\xff\\0", "raw")
    failed = hello.run(path="/fail")
    assert (failed.status, "as asked" in failed.errors) == (500, True)
    assert "as asked" in repr(failed)


def test_a_build_that_fails(minifn):
    with pytest.raises(package.BuildFailed, match="main.py"):
        minifn.deploy("broken")
"""
ASYNC_TEST = """
import asyncio

import httpx
import pytest

pytestmark = pytest.mark.{mark}


async def test_beside_a_loop(minifn):
    hello = minifn.deploy("hello", execute=["any"])
    assert hello.run("Ada").body == "Hello, Ada!"
    port = minifn.server.minifn.config.port
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {{"host": hello.url.split("/")[2]}}
        answer = await client.post(f"http://127.0.0.1:{{port}}/", headers=headers, content="Bob")
    assert answer.text == "Hello, Bob!"
"""

#: Without pytest-asyncio, which warns unless it is configured.
ALONE = ("-p", "no:asyncio")
#: Other plugins of this environment, whose import takes longer than the rest of a session.
UNUSED = ("-p", "no:schemathesis", "-p", "no:hypothesispytest")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with two functions and their tests."""
    for name, code in (("hello", HELLO), ("broken", "def main(:\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "main.py").write_text(code)
    (tmp_path / "test_functions.py").write_text(TESTS)
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    """Run pytest in a folder and return what it prints. Raises AssertionError when it fails."""
    environ = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *UNUSED, *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_one_server_serves_a_session(project: Path) -> None:
    assert "4 passed" in run(project, *ALONE, "-W", "error")


def test_each_process_of_xdist_has_a_server(project: Path) -> None:
    chosen = ("-k", "an_answer or bytes")
    assert "2 passed" in run(project, *ALONE, *chosen, "-n", "2", "-W", "error")


@pytest.mark.parametrize(("mark", "package"), [("anyio", "anyio"), ("asyncio", "pytest_asyncio")])
def test_asynchronous_tests_use_it(project: Path, mark: str, package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install {package.replace('_', '-')}")
    (project / "test_functions.py").write_text(ASYNC_TEST.format(mark=mark))
    scope = ("-o", "asyncio_default_fixture_loop_scope=function")
    assert "passed" in run(project, *(scope if mark == "asyncio" else ALONE))


def test_a_session_that_does_not_use_it_imports_nothing(tmp_path: Path) -> None:
    """Only the plugin and the package's own file, which import the standard library and pytest."""
    (tmp_path / "test_nothing.py").write_text(
        textwrap.dedent("""
        import sys


        def test_modules():
            found = [name for name in sys.modules if name.split(".")[0] in ("minifn", "msgspec")]
            assert sorted(found) == ["minifn", "minifn.pytest_plugin"]
        """)
    )
    assert "1 passed" in run(tmp_path, *ALONE)
