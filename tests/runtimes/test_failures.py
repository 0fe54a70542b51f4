"""Functions that fail while they run, in every language."""

import asyncio
import json
from pathlib import Path

from tests.workers.harness import FUNCTIONS, Language, function


def test_an_exception_is_500_with_its_trace(language: Language, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(
            tmp_path, language.spec(FUNCTIONS / "contract_failures", "main")
        ) as call:
            answer = await call("/raise")
            assert (answer.status_code, answer.body, answer.failure) == (500, b"", "")
            assert answer.headers == (("content-type", "text/plain; charset=utf-8"),)
            assert answer.logs == "called\n"
            assert "went wrong" in answer.errors
            assert f"main{language.suffix}" in answer.errors
            assert str(call.spec.command.argv[-1]) not in answer.errors

    asyncio.run(run())


def test_endless_recursion_is_an_exception(language: Language, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(
            tmp_path, language.spec(FUNCTIONS / "contract_failures", "main")
        ) as call:
            answer = await call("/overflow", logging=language.key != "python")
            assert (answer.status_code, answer.failure) == (500, "")
            assert (await call("/")).status_code == 200

    asyncio.run(run())


def test_an_exit_fails_one_call(language: Language, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(
            tmp_path, language.spec(FUNCTIONS / "contract_failures", "main")
        ) as call:
            first = json.loads((await call("/")).body)
            ended = await call("/exit")
            assert (ended.status_code, ended.body, ended.failure, ended.delivered) == (
                500,
                b"",
                "died",
                True,
            )
            assert ended.logs == "called\n"
            assert "exited with code 7" in ended.errors
            assert "last words" in ended.errors
            second = json.loads((await call("/")).body)
            assert second["pid"] != first["pid"]
            assert second["calls"] == 1

    asyncio.run(run())


def test_module_state_lives_as_long_as_the_worker(language: Language, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(
            tmp_path, language.spec(FUNCTIONS / "contract_failures", "main")
        ) as call:
            calls = [json.loads((await call("/")).body)["calls"] for _ in range(3)]
            assert calls == [1, 2, 3]

    asyncio.run(run())
