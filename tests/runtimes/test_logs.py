"""Logs and printed output of functions, in every language."""

import asyncio
from pathlib import Path

from minifn.workers.records import LOG_LIMIT_BYTES, FunctionResponse
from tests.workers.harness import FUNCTIONS, Language, function

NOTICE = "Native logs detected. Use context.log() or context.error() for better experience."


def answers(
    language: Language, run_dir: Path, *paths: str, logging: bool = True
) -> list[FunctionResponse]:
    """Return the case's answers to some paths."""

    async def ask() -> list[FunctionResponse]:
        async with function(run_dir, language.spec(FUNCTIONS / "contract_logs", "main")) as call:
            return [await call(path, logging=logging) for path in paths]

    return asyncio.run(ask())


def test_values_are_joined_by_a_space(language: Language, tmp_path: Path) -> None:
    (answer,) = answers(language, tmp_path, "/values")
    true = {"python": "True", "node": "true"}[language.key]
    assert answer.logs == f'text 1 [1,{{"a":"b"}}] {true}\n\n'
    assert answer.errors == 'broken {"code":5}\n'
    assert answer.status_code == 204


def test_printed_text_follows_one_notice(language: Language, tmp_path: Path) -> None:
    first, second = answers(language, tmp_path, "/native", "/native")
    assert first.logs.splitlines() == ["before", NOTICE, "printed 1", "printed 2", "after"]
    assert second.logs == first.logs
    assert first.errors == ""


def test_a_line_is_cut_at_8000_characters(language: Language, tmp_path: Path) -> None:
    (answer,) = answers(language, tmp_path, "/long")
    whole, cut = answer.logs.splitlines()
    assert whole == "x" * 8000
    assert cut == "y" * 8000 + "... Log truncated due to size limit (8000 characters)"


def test_logging_can_be_off(language: Language, tmp_path: Path) -> None:
    for answer in answers(language, tmp_path, "/values", "/native", logging=False):
        assert (answer.status_code, answer.logs, answer.errors) == (204, "", "")


def test_ten_megabytes_are_cut_at_five(language: Language, tmp_path: Path) -> None:
    (answer,) = answers(language, tmp_path, "/flood")
    assert answer.status_code == 204
    assert answer.logs.endswith("\nLog file has been truncated to 5.00MB.\n")
    assert LOG_LIMIT_BYTES < len(answer.logs) < LOG_LIMIT_BYTES + 100


def test_an_endless_flood_ends_the_worker(language: Language, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, language.spec(FUNCTIONS / "contract_logs", "main")) as call:
            flood = await call("/endless", seconds=3)
            if language.key == "python":
                assert flood.failure == "died"
                assert "logged more than 64 MB" in flood.errors
            # JavaScript cannot send in a loop that never yields: its deadline comes first.
            assert (flood.status_code, flood.failure != "") == (500, True)
            assert (await call("/values")).status_code == 204

    asyncio.run(run())


def test_logs_after_the_answer_are_dropped(language: Language, tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, language.spec(FUNCTIONS / "contract_logs", "main")) as call:
            late = await call("/late")
            await asyncio.sleep(0.05)
            following = await call("/values")
            assert late.logs == ""
            assert "late" not in following.logs

    asyncio.run(run())
