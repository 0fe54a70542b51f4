"""The parts of `minifn dev` by themselves: places in tracebacks, watching, debuggers' ports."""

import asyncio
import errno
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from watchfiles import awatch

from minifn.archive.folders import Folder
from minifn.cli.dev import inspecting, watching
from minifn.cli.dev.locations import location, shown
from minifn.cli.dev.watching import State, changes, state_of
from minifn.languages import RuntimeTable

PLACES = ("/fn", "/data/builds/[^/]+")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    for name in ("main.py", "src/main.js", "src/a.php", "main.go"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('File "/fn/main.py", line 3\n  File "/fn/main.py", line 7\nKeyError', "main.py:7"),
        ('File "/fn/main.py", line 3\n  File "/usr/lib/json.py", line 9\nError', "main.py:3"),
        ("/fn/src/main.js:4\nconst\n^\nSyntaxError\n    at /usr/x.js:1:2", "src/main.js:4"),
        ("Error\n    at file:///fn/src/main.js:5:7\n    at x (/fn/main.py:1)", "src/main.js:5"),
        ("Parse error: unexpected token in src/a.php on line 15", "src/a.php:15"),
        ("./main.go:19:9: syntax error", "main.go:19"),
        ("/data/builds/6a~1/main.go:2: error", "main.go:2"),
        ('File "/fn/gone.py", line 3', ""),
        ("The function's process exited with code 1.", ""),
    ],
)
def test_the_place_of_a_mistake_is_found(code: Path, text: str, place: str) -> None:
    assert location(text, PLACES, code) == (f"{code}/{place}" if place else "")


def test_paths_of_a_sandbox_become_those_of_the_folder(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'File "/fn/main.py", see http://host/fn/main.py and /data/builds/6a/x'
    assert shown(text, PLACES, code) == text.replace('"/fn', f'"{code}').replace(
        "/data/builds/6a", str(code)
    )
    monkeypatch.chdir(code.parent)
    assert location('File "/fn/main.py", line 3', PLACES, code) == f"{code.name}/main.py:3"


@given(st.text())
def test_a_text_without_a_place_has_no_location(text: str) -> None:
    assert location(text, PLACES, Path("/nowhere")) == ""
    assert isinstance(shown(text, PLACES, Path("/nowhere")), str)


def watch(
    folder: Path, change: Callable[[], None], files: tuple[Path, ...] = ()
) -> tuple[set[Path], list[str]]:
    """Change something while a folder is watched; return the paths that were noticed, and notes."""
    watched = Folder(path=folder, keeps=lambda name, _: not name.startswith("left"))
    notes: list[str] = []

    async def first() -> set[Path]:
        known: State = state_of([watched], list(files))
        following = changes([watched], list(files), known, notes.append)
        asyncio.get_running_loop().call_later(0.2, change)
        async with asyncio.timeout(20):
            return await anext(aiter(following))

    return asyncio.run(first()), notes


def test_changed_new_and_removed_files_are_noticed(code: Path) -> None:
    assert watch(code, lambda: _write(code / "main.py")) == ({code / "main.py"}, [])
    assert watch(code, (code / "main.go").unlink) == ({code / "main.go"}, [])
    assert watch(code, lambda: _write(code / "new/below/a.py")) == ({code / "new/below/a.py"}, [])
    env = code / ".env"
    assert watch(code / "src", lambda: _write(env), (env,)) == ({env}, [])


def test_what_is_left_out_is_not_noticed(code: Path) -> None:
    def change() -> None:
        _write(code / "left/a.py")
        _write(code / "main.py")

    assert watch(code, change) == ({code / "main.py"}, [])


def test_folders_are_polled_when_the_kernel_has_no_watches_left(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Using up the machine's watches would disturb other programs.
    async def exhausted(*paths: Any, **options: Any) -> AsyncIterator[Any]:
        if not options["force_polling"]:
            raise OSError(errno.ENOSPC, "OS file watch limit reached")
        async for found in awatch(*paths, **options):
            yield found

    monkeypatch.setattr(watching, "awatch", exhausted)
    changed, notes = watch(code, lambda: _write(code / "main.py"))
    assert changed == {code / "main.py"}
    assert len(notes) == 1
    assert "no watches left" in notes[0]


def test_each_function_with_a_debugger_has_a_port_of_its_own() -> None:
    listed = [("a", "python"), ("b", "node"), ("c", "php"), ("d", "python")]
    assert inspecting.ports(listed) == {"a": 5678, "b": 9229, "d": 5679}


def test_an_editor_attaches_by_the_lines_that_are_shown(tmp_path: Path) -> None:
    installed = RuntimeTable.load().resolve(f"python-3.{sys.version_info[1]}")
    head, attach = inspecting.lines("orders", installed, 5679, tmp_path, "/code")
    assert head.startswith("inspect  orders 127.0.0.1:5679; in .vscode/launch.json")
    assert json.loads(attach) == {
        "name": "orders",
        "request": "attach",
        "type": "debugpy",
        "connect": {"host": "127.0.0.1", "port": 5679},
        "pathMappings": [{"localRoot": str(tmp_path), "remoteRoot": "/code"}],
    }
    assert not inspecting.has_debugger(installed, tmp_path)
    _write(tmp_path / "runtime-env/lib/python3.11/site-packages/debugpy/__init__.py")
    assert inspecting.has_debugger(installed, tmp_path)


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed")
