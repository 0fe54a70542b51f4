"""Imports of Python and Node.js: errors that a build reports first, and the module path."""

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest

from minifn.workers.records import FunctionResponse
from tests.runtimes.contract.table import failed
from tests.workers.harness import FUNCTIONS, Language, function, pool_of

BROKEN = "def main(context:\n" * 2
MISSING = {"python": "import not_there_at_all\n", "node": 'require("not_there_at_all");\n'}


def first_answer(language: Language, place: Path, code: Path, entry: str) -> FunctionResponse:
    """Return the answer to the first call of a function that no build has checked."""

    async def ask() -> FunctionResponse:
        async with function(place / "run", language.spec(code, entry)) as call:
            return await call()

    return asyncio.run(ask())


def written(language: Language, place: Path, text: str) -> Path:
    """Return a folder with an entry of this text."""
    code = place / "code"
    code.mkdir()
    (code / f"main{language.suffix}").write_text(text)
    return code


def test_syntax_error(language: Language, tmp_path: Path) -> None:
    code = written(language, tmp_path, BROKEN)
    answer = first_answer(language, tmp_path, code, "main")
    entry = f"main{language.suffix}"
    failed(503, says=("Syntax error in ", entry)).check(answer, code / entry)


def test_missing_module(language: Language, tmp_path: Path) -> None:
    code = written(language, tmp_path, MISSING[language.key])
    answer = first_answer(language, tmp_path, code, "main")
    says = {"python": "Module not found: not_there_at_all\n", "node": "Failed to load module: "}
    assert answer.errors.startswith(says[language.key])
    assert "not_there_at_all" in answer.errors
    if language.key == "python":
        assert f'  File "{code}/main.py", line 1, in <module>\n' in answer.errors


def test_imports_beside_the_entry_file_and_above(language: Language, tmp_path: Path) -> None:
    answer = first_answer(language, tmp_path, FUNCTIONS / "contract_imports", "src/main")
    assert answer.status_code == 200, answer.errors
    found = json.loads(answer.body)
    if language.key == "python":
        assert found == ["beside", "beside", "top level", "parts", "deep"]
    else:
        assert found == ["beside", "top level"]


WORKING = {
    "python": "def main(context):\n    return context.res.empty()\n",
    "node": "module.exports = (context) => context.res.empty();\n",
}
ENDS = {"python": "import os\nos._exit(3)\n", "node": "process.exit(3);\n"}


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("works", ()),
        ("broken", ("main", "SyntaxError")),
        ("missing", ("main", "not_there_at_all")),
        ("ends", ("exited with code 3",)),
    ],
)
def test_a_worker_tells_how_its_import_ended(
    language: Language, tmp_path: Path, kind: str, says: tuple[str, ...]
) -> None:
    texts = {"works": WORKING, "missing": MISSING, "ends": ENDS}
    text = texts[kind][language.key] if kind in texts else BROKEN
    spec = language.spec(written(language, tmp_path, text), "main")

    async def ask() -> str:
        told: asyncio.Queue[str] = asyncio.Queue()
        async with pool_of(tmp_path / "run") as pool:
            assert pool.prewarm(dataclasses.replace(spec, on_load=told.put_nowait))
            return await asyncio.wait_for(told.get(), 20)

    problem = asyncio.run(ask())
    assert bool(problem) is bool(says)
    for part in says:
        assert part in problem
