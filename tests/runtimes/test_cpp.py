"""C++ beyond the contract that all languages share."""

import asyncio
from pathlib import Path

import pytest

from minifn.languages import RuntimeTable, RuntimeUnavailable
from minifn.languages.table import default_root
from tests.runtimes.contract.site import Site
from tests.runtimes.families.cpp import FAMILY
from tests.workers.harness import Caller

SOURCE = "deep/in/the/tree/handler.h"
NOTICE = "Native logs detected. Use context.log() or context.error() for better experience.\n"

pytestmark = pytest.mark.parametrize("site", [FAMILY], indirect=True)


@pytest.fixture
def call(site: Site) -> Caller:
    """A caller of the program `language`."""
    return site.run(site.caller("language"))


def line(text: str) -> int:
    """Return the number of the only line of the program that has a text."""
    lines = (FAMILY.programs() / "language" / SOURCE).read_text().splitlines()
    (number,) = (number for number, one in enumerate(lines, 1) if text in one)
    return number


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/flags", b"9"),
        ("/standard", b"202002"),
        ("/loading", b"hidden"),
        ("/fork", b"parent"),
        ("/any", b"{}"),
    ],
)
def test_answers(site: Site, call: Caller, path: str, body: bytes) -> None:
    answer = site.run(call(path))
    assert (answer.status_code, answer.body, answer.errors) == (200, body, "")


@pytest.mark.parametrize(
    ("path", "errors"),
    [
        (
            "/nested",
            "std::_Nested_exception<std::runtime_error>: outer\n    at failsAgain (",
        ),
        ("/nested", "\nCaused by: std::invalid_argument: inner\n"),
        ("/thrown-text", "only text\n    at runtime::Handler::main"),
        ("/thrown-number", "The function threw a value of type int.\n    at "),
        ("/library", "std::out_of_range: vector::_M_range_check"),
        ("/library", f"({SOURCE}:{line('at(3)')})\n"),
        ("/other-thread", "std::runtime_error: of another thread\n"),
        ("/bad-header", "The response's header x-bytes has an invalid value.\n"),
        ("/no-object", "The response's headers are not a JSON object.\n"),
    ],
)
def test_errors(site: Site, call: Caller, path: str, errors: str) -> None:
    answer = site.run(call(path))
    assert (answer.status_code, answer.body, answer.failure) == (500, b"", "")
    assert errors in answer.errors


@pytest.mark.parametrize(
    ("path", "errors"),
    [
        ("/pthread-exit", "The function ended its own thread.\n"),
        ("/forgetful", "Return statement missing."),
        ("/forgetful", f"at {SOURCE}:{line('int forgetful')}\n"),
        ("/null", "The function made an invalid memory access.\n"),
    ],
)
def test_errors_that_replace_the_worker(site: Site, call: Caller, path: str, errors: str) -> None:
    answer = site.run(call(path))
    assert (answer.status_code, answer.body) == (500, b"")
    assert errors in answer.errors
    assert site.run(call("/any")).body == b"{}"


@pytest.mark.parametrize(
    ("path", "text"), [("/thread-prints", "from a thread"), ("/partial", "no newline")]
)
def test_printed_text(site: Site, call: Caller, path: str, text: str) -> None:
    answer = site.run(call(path))
    assert (answer.status_code, answer.logs) == (204, f"{NOTICE}{text}\n")


def test_calls_at_once_print_their_own_lines(site: Site, call: Caller) -> None:
    async def ask(name: str) -> None:
        answer = await call("/prints", body=name.encode())
        assert answer.logs == f"{NOTICE}{40 * (name + ' ')}end\n"

    async def run() -> None:
        await asyncio.gather(*(ask(f"caller-{number}") for number in range(40)))

    site.run(run())


def test_the_versions_are_standards(site: Site) -> None:
    assert {one.id for one in site.server.runtimes.runnable() if one.key == "cpp"} == {
        "cpp-17",
        "cpp-20",
    }
    assert site.server.runtimes.resolve("cpp-17").note == ""


def test_without_jsoncpp_the_family_is_absent(site: Site, tmp_path: Path) -> None:
    program = site.server.runtimes.resolve("cpp-20").interpreter.path
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / program.name).write_bytes(program.read_bytes())
    (tmp_path / "bin" / program.name).chmod(0o755)
    table = RuntimeTable.load(default_root(), search_path=str(tmp_path / "bin"))
    with pytest.raises(RuntimeUnavailable, match=r"install g\+\+ and libjsoncpp-dev"):
        table.resolve("cpp-20")
