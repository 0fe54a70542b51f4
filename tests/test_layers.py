"""The package's shape: imports go one way, files stay small, names say what a thing is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minifn"
LIMIT_LINES = 400
#: Lowest first. A module imports from rows above its own in this table and, inside a folder, from its siblings.
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(row.split())
    for row in (
        "errors config values models datadir",
        "store runtimes sandbox archive cron patterns tokens environment",
        "workers",
        "executor",
        "events",
        "functions deployments builder scheduler maintenance",
        "service",
        "minifn api console doctor",
        "cli",
        "__main__",
    )
)
#: The words every layer speaks may use each other; a cycle among them would fail at import.
WORDS = LAYERS[0]
VAGUE_NAMES = frozenset({"utils", "util", "helpers", "helper", "manager", "common", "misc", "shared"})


def sources(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py") if "node_modules" not in path.parts)


def part(path: Path) -> str:
    """The row entry of a module: the name below `minifn/`; the package itself is `minifn`."""
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "minifn" if name == "__init__" else name


def layer(name: str) -> int:
    for number, names in enumerate(LAYERS):
        if name in names:
            return number
    raise AssertionError(f"minifn/{name} has no place in LAYERS")


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield every part of minifn that a module imports, at module level or inside a function, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level == 1:
                continue
            assert node.level == 0, f"line {node.lineno}: a relative import that leaves its folder"
            below = node.module == "minifn"
            names = [f"minifn.{alias.name}" for alias in node.names] if below else [node.module or ""]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "minifn":
                yield ([*name.split("."), "minifn"])[1], node.lineno


@pytest.mark.parametrize("path", sources(PACKAGE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    own = part(path)
    for name, line in imported(ast.parse(path.read_text())):
        if name in ("__version__", own) or {name, own} <= WORDS:
            continue
        name = name if (PACKAGE / name).exists() or (PACKAGE / f"{name}.py").exists() else "minifn"
        assert layer(name) < layer(own), f"{path.name}:{line}: {own} may not import {name}"


def test_every_layer_entry_is_unique() -> None:
    names = [name for row in LAYERS for name in row]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "path",
    sources(PACKAGE, ROOT / "runtimes", ROOT / "tests", ROOT / "examples"),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_files_stay_small_and_named(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LIMIT_LINES
    assert path.stem.lstrip("_") not in VAGUE_NAMES


def test_wrappers_need_nothing_of_minifn() -> None:
    for path in sources(ROOT / "runtimes"):
        assert not list(imported(ast.parse(path.read_text()))), f"{path} runs inside a function's environment"


def test_the_top_level_is_what_contributing_says() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert {"minifn", "runtimes", "tests", "examples"} <= folders
