"""Behaviour and errors of Python functions alone."""

import asyncio
import json
import random
import shutil
from pathlib import Path

import pytest

from minifn.workers.records import FunctionResponse
from tests.workers.harness import FUNCTIONS, Caller, Language, function

CASE = FUNCTIONS / "contract_python"
NOTICE = "Native logs detected. Use context.log() or context.error() for better experience."


def answers(
    language: Language, run_dir: Path, *paths: str, body: bytes = b""
) -> list[FunctionResponse]:
    """Return the case's answers to some paths, all by one worker."""

    async def ask() -> list[FunctionResponse]:
        async with function(run_dir, language.spec(CASE, "main"), function_workers_max=1) as call:
            found = [await call(path, body=body) for path in paths]
            assert call.pool.workers == 1
            return found

    return asyncio.run(ask())


def test_exits_are_failures_of_one_call(python: Language, tmp_path: Path) -> None:
    left, quitted, after = answers(python, tmp_path, "/exit", "/quit", "/later")
    assert (left.status_code, left.failure) == (500, "")
    assert "SystemExit: 3" in left.errors
    assert "main.py" in left.errors
    assert quitted.status_code == 500
    assert after.body == b"later"


def test_children_do_not_get_the_socket(python: Language, tmp_path: Path) -> None:
    listing, forked, mapped, after = answers(
        python, tmp_path, "/descriptors", "/fork", "/processes", "/later"
    )
    # Descriptor 3 belongs to the listing of the directory.
    assert listing.body.strip() == b"['0', '1', '2', '3']"
    assert forked.body == b"parent"
    assert json.loads(mapped.body) == [0, 1, 4, 9, 16]
    assert after.body == b"later"


def test_everything_printed_by_python_is_captured(python: Language, tmp_path: Path) -> None:
    prints, thread = answers(python, tmp_path, "/prints", "/thread")
    assert prints.logs.splitlines() == [
        NOTICE,
        "no newline yet",
        "bytes é",
        "from logging",
        "unfinished",
    ]
    assert prints.errors == ""
    assert thread.logs.splitlines() == [NOTICE, "in a thread"]


def test_output_of_concurrent_calls_is_kept_apart(python: Language, tmp_path: Path) -> None:
    async def echo(call: Caller, number: int) -> None:
        pause = random.choice(["0", "0", "0", "0.001", "0.003", "0.02"])
        answer = await call("/echo", query=pause, body=str(number).encode())
        assert answer.body == str(number).encode()
        assert answer.logs.splitlines() == [
            NOTICE,
            f"print {number}",
            f"log {number}",
            f"again {number}",
        ]

    async def run() -> None:
        async with function(tmp_path, python.spec(CASE, "main"), function_workers_max=1) as call:
            await asyncio.gather(*(echo(call, number) for number in range(1000)))
            assert call.pool.workers == 1

    asyncio.run(run())


def test_odd_text(python: Language, tmp_path: Path) -> None:
    logged, body, undecodable = answers(
        python, tmp_path, "/surrogate", "/surrogate-body", "/bad-text", body=b"\xff"
    )
    assert (logged.body, logged.logs.splitlines()) == (b"fine", ["?", NOTICE, "?"])
    assert (body.status_code, undecodable.status_code) == (500, 500)
    assert "UnicodeEncodeError" in body.errors
    assert "UnicodeDecodeError" in undecodable.errors


def test_unsendable_answers_fail_with_a_reason(python: Language, tmp_path: Path) -> None:
    log, body, array = answers(python, tmp_path, "/bad-log", "/body-dict", "/bytearray")
    assert (log.status_code, "not JSON serializable" in log.errors) == (500, True)
    assert body.status_code == 500
    assert body.errors == "Response invalid: TypeError: the body is dict, not text or bytes\n"
    assert (array.status_code, array.body) == (200, b"array")


def test_the_end_of_a_long_trace_is_kept(python: Language, tmp_path: Path) -> None:
    (answer,) = answers(python, tmp_path, "/deep-trouble")
    assert answer.errors.endswith("ValueError: the end\n")
    assert len(answer.errors) == 8001


def test_headers_that_cannot_be_sent(python: Language, tmp_path: Path) -> None:
    for answer in answers(python, tmp_path, "/surrogate-header", "/many-headers", "/no-headers"):
        assert (answer.status_code, answer.failure) == (500, "")
        assert answer.errors.startswith("Response invalid: ")


def test_exit_functions_run_when_a_worker_is_stopped(python: Language, tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    async def run() -> None:
        spec = python.spec(CASE, "main", {"MARKER": str(marker)})
        async with function(tmp_path / "run", spec) as call:
            assert (await call("/later")).status_code == 200
            call.pool.drop(spec.key)
            await call.until(lambda: call.pool.workers == 0)

    asyncio.run(run())
    assert marker.exists()


@pytest.mark.parametrize("with_pth", [False, True])
def test_packages_of_the_build_are_found(python: Language, with_pth: bool, tmp_path: Path) -> None:
    code = tmp_path / "code"
    shutil.copytree(CASE, code)
    interpreter = python.table.resolve(python.runtime).interpreter
    version = ".".join(map(str, interpreter.version[:2]))
    packages = code / "runtime-env" / "lib" / f"python{version}" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "dependency.py").write_text("NAME = 'dependency'\n")
    if with_pth:
        (packages / "more.pth").write_text("more\n")
        (packages / "more").mkdir()
        (packages / "more" / "extra.py").write_text("NAME = 'extra'\n")
    names = ["dependency", "extra"] if with_pth else ["dependency"]
    imports = "".join(f"import {name}\n" for name in names)
    result = f"[{', '.join(f'{name}.NAME' for name in names)}, sys.prefix]"
    (code / "main.py").write_text(
        f"import sys\n{imports}\n\ndef main(context):\n    return context.res.json({result})\n"
    )

    async def ask() -> FunctionResponse:
        async with function(tmp_path / "run", python.spec(code, "main")) as call:
            return await call()

    answer = asyncio.run(ask())
    assert answer.status_code == 200, answer.errors
    assert json.loads(answer.body) == [*names, str(code / "runtime-env")]


def test_packages_of_the_server_are_not_found(python: Language, tmp_path: Path) -> None:
    (where,) = answers(python, tmp_path, "/where")
    _, _, path = json.loads(where.body)
    assert not [entry for entry in path if "-packages" in entry]


def test_an_async_failure_names_the_file(python: Language, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(
            tmp_path, python.spec(FUNCTIONS / "contract_time", "main_async")
        ) as call:
            answer = await call("/raise")
            assert answer.status_code == 500
            assert "main_async.py" in answer.errors
            assert "ValueError: went wrong" in answer.errors
            sleeping = await call("/sleep", query="0.01")
            assert sleeping.logs.splitlines() == ["begun", NOTICE, "sleeping for 0.01"]

    asyncio.run(run())
