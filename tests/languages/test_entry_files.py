"""The entry file of a folder without settings."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from minifn.languages.entry_files import entry_files
from minifn.languages.table import RuntimeTable, default_root


def written(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "family", "entrypoint"),
    [
        ({"main.py": ""}, "python", "main.py"),
        ({"src/main.py": "", "main.py": ""}, "python", "src/main.py"),
        ({"package.json": '{"main": "a/b.mjs"}', "a/b.mjs": ""}, "node", "a/b.mjs"),
        ({"package.json": '{"main": "gone.js"}', "index.js": ""}, "node", "index.js"),
        ({"package.json": '{"main": "../x.js"}', "main.cjs": ""}, "node", "main.cjs"),
        ({"package.json": "[", "src/main.js": ""}, "node", "src/main.js"),
        ({"package.json": '{"main": 1}', "main.js": "", "main.py": ""}, "node", "main.js"),
        ({"requirements.txt": "", "main.js": "", "main.py": ""}, "python", "main.py"),
        ({"deno.json": "{}", "src/main.ts": ""}, "deno", "src/main.ts"),
        ({"go.mod": "", "main.go": ""}, "go", "main.go"),
        ({"Cargo.toml": "", "src/main.rs": ""}, "rust", "src/main.rs"),
        ({"index.php": "", "index.html": ""}, "php", "index.php"),
        ({"index.html": ""}, "static", "index.html"),
    ],
)  # fmt: skip
def test_the_best_family_is_first(
    files: Mapping[str, str], family: str, entrypoint: str, tmp_path: Path
) -> None:
    first = entry_files(written(tmp_path, files))[0]
    assert (first.family, first.entrypoint) == (family, entrypoint)


def test_every_family_that_could_run_a_file_is_named(tmp_path: Path) -> None:
    found = entry_files(written(tmp_path, {"package.json": "{}", "main.ts": ""}))
    assert {one.family for one in found} == {"bun", "deno"}
    assert entry_files(written(tmp_path / "empty", {"notes.md": ""})) == []


def test_the_entry_file_of_a_starter_is_found() -> None:
    root = default_root()
    for key, (starter, folder) in RuntimeTable.load(root, search_path="").starters().items():
        first = entry_files(folder)[0]
        assert (first.family, first.entrypoint) == (key, starter.entrypoint)
