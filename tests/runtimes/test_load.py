"""Import of the function: errors, the time of it, and the module path."""

import asyncio
import json
from pathlib import Path

import pytest

from minifn.workers.records import FunctionResponse
from tests.workers.harness import FUNCTIONS, Language, function

CASE = FUNCTIONS / "contract_load"
NOTICE = "Native logs detected. Use context.log() or context.error() for better experience."


def first_answer(
    language: Language, run_dir: Path, entry: str, code: Path = CASE
) -> FunctionResponse:
    """Return the answer to the first call of a function."""

    async def ask() -> FunctionResponse:
        async with function(run_dir, language.spec(code, entry)) as call:
            return await call()

    return asyncio.run(ask())


def check_unavailable(answer: FunctionResponse) -> None:
    """Check that a failed import is an empty 503."""
    assert (answer.status_code, answer.body, answer.failure) == (503, b"", "")
    assert answer.headers == (("content-type", "text/plain; charset=utf-8"),)


def test_missing_file(language: Language, tmp_path: Path) -> None:
    answer = first_answer(language, tmp_path, "src/absent")
    check_unavailable(answer)
    assert (
        answer.errors
        == f"Failed to load entrypoint, file src/absent{language.suffix} does not exist.\n"
    )


def test_missing_module(language: Language, tmp_path: Path) -> None:
    answer = first_answer(language, tmp_path, "missing_module")
    check_unavailable(answer)
    if language.key == "python":
        assert answer.errors == "Module not found: not_there_at_all\n"
    else:
        assert answer.errors.startswith("Failed to load module: ")
        assert "not-there-at-all" in answer.errors


def test_syntax_error(language: Language, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / f"broken{language.suffix}").write_text("def main(context:\n" * 2)
    answer = first_answer(language, tmp_path / "run", "broken", code)
    check_unavailable(answer)
    assert answer.errors.startswith("Syntax error in ")
    assert f"broken{language.suffix}" in answer.errors


def test_no_function_in_the_module(language: Language, tmp_path: Path) -> None:
    answer = first_answer(language, tmp_path, "no_main")
    check_unavailable(answer)
    assert (
        answer.errors == "Function signature invalid. Did you forget to export a 'main' function?\n"
    )


def test_exception_at_top_level(language: Language, tmp_path: Path) -> None:
    answer = first_answer(language, tmp_path, "raises")
    check_unavailable(answer)
    assert answer.errors.startswith("Failed to load module: ")
    assert "no database" in answer.errors
    assert answer.logs.splitlines() == [NOTICE, "loading"]


def test_a_failed_import_is_tried_again(language: Language, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, language.spec(CASE, "second_try")) as call:
            check_unavailable(await call())
            assert (await call()).body == b"now"
            assert call.pool.workers == 1

    asyncio.run(run())


@pytest.mark.parametrize("prewarmed", [False, True])
def test_output_of_the_import_is_logged_with_the_first_call(
    language: Language, prewarmed: bool, tmp_path: Path
) -> None:
    async def run() -> None:
        async with function(tmp_path, language.spec(CASE, "prints")) as call:
            if prewarmed:
                call.pool.prewarm(call.spec)
            first, second = await call(), await call()
            assert first.logs.splitlines() == [NOTICE, "loaded"]
            assert (first.body, second.body, second.logs) == (b"1", b"2", "")

    asyncio.run(run())


def test_an_endless_import_times_out(language: Language, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, language.spec(CASE, "slow")) as call:
            answer = await call(seconds=1)
            assert (answer.status_code, answer.failure) == (500, "timeout")
            assert answer.errors == "Execution timed out.\n"

    asyncio.run(run())


def test_imports_beside_the_entry_file_and_above(language: Language, tmp_path: Path) -> None:
    answer = first_answer(language, tmp_path, "src/main", FUNCTIONS / "contract_imports")
    assert answer.status_code == 200, answer.errors
    found = json.loads(answer.body)
    if language.key == "python":
        assert found == ["beside", "beside", "top level", "parts", "deep"]
    else:
        assert found == ["beside", "top level"]
