"""The package's shape: imports go one way, files stay small, names say what a thing is."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minifn"
FOLDERS = ("minifn", "runtimes", "tests", "examples")
LIMIT_LINES = 400
#: Lowest first. A module imports from rows above its own in this table and, inside a folder, from
#: its siblings.
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(row.split())
    for row in (
        "config endpoint errors models ids instants limits log_text event_names git_names cron"
        " tokens"
        " change_feed hooks process_env jsontext intervals scopes handler",
        "host",
        "store sandbox languages",
        "archive workers",
        "builder git",
        "cluster",
        "services",
        "parts",
        "doctor",
        "api",
        "embed",
        "server",
        "sync",
        "testing",
        "minifn notebook pytest_plugin",
        "cli",
        "__main__",
    )
)
#: The words every layer speaks may use each other; a cycle among them would fail at import.
WORDS = LAYERS[0]
VAGUE_NAMES = frozenset(
    {"utils", "util", "helpers", "helper", "manager", "common", "misc", "shared"}
)


def sources(*folders: Path) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in folder.rglob("*.py")
        if "node_modules" not in path.parts
    )


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
    """Yield every part of minifn that a module imports, at any level, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level == 1:
                continue
            assert node.level == 0, f"line {node.lineno}: a relative import that leaves its folder"
            below = node.module == "minifn"
            names = (
                [f"minifn.{alias.name}" for alias in node.names] if below else [node.module or ""]
            )
        else:
            continue
        for name in names:
            if name.split(".")[0] == "minifn":
                yield ([*name.split("."), "minifn"])[1], node.lineno


def module_imports(path: Path) -> Iterator[str]:
    """Yield the full names of the modules of minifn that a module imports at module level."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            below = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*below, *([node.module] if node.module else [])])
            children = [f"{module}.{alias.name}" for alias in node.names]
            yield from (child if is_module(child) else module for child in children)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def test_imports_go_down() -> None:
    wrong = []
    for path in sources(PACKAGE):
        own = part(path)
        for found, line in imported(ast.parse(path.read_text())):
            name = found if is_module(f"minifn.{found}") else "minifn"
            fine = name == own or {name, own} <= WORDS or found == "__version__"
            if not fine and layer(name) >= layer(own):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {own} may not import {name}")
    assert wrong == []


def test_every_layer_entry_is_unique() -> None:
    names = [name for row in LAYERS for name in row]
    assert len(names) == len(set(names))


def test_files_stay_small() -> None:
    files = sources(*(ROOT / name for name in FOLDERS))
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert len(lengths) > 20
    assert {name: length for name, length in lengths.items() if length > LIMIT_LINES} == {}


def test_module_names_are_specific() -> None:
    files = sources(*(ROOT / name for name in FOLDERS))
    assert [path for path in files if path.stem.lstrip("_") in VAGUE_NAMES] == []


def test_no_placeholder_has_a_number() -> None:
    """Python 3.12.0 to 3.12.3 warn at each `?1` that is bound from a sequence."""
    for path in sources(PACKAGE):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.search(r"[ (]\?\d", node.value), f"{path}:{node.lineno}"


def test_wrappers_need_nothing_of_minifn() -> None:
    for path in sources(ROOT / "runtimes"):
        assert not list(imported(ast.parse(path.read_text()))), (
            f"{path} runs inside a function's environment"
        )


def test_the_top_level_is_as_contributing_describes() -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not on PATH: install the package git")
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a git checkout: what belongs to the project is not known")
    folders = {name.split("/")[0] for name in tracked.stdout.splitlines() if "/" in name}
    assert {name for name in folders if not name.startswith(".")} == set(FOLDERS)


def test_no_cycles_inside_a_folder() -> None:
    """Two siblings that import each other would import in one order only."""
    edges: dict[str, set[str]] = {}
    for path in sources(PACKAGE):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        edges[name] = {found for found in module_imports(path) if found != name}
    modules = set(edges)
    while True:
        free = {name for name in modules if not edges[name] & modules}
        if not free:
            break
        modules -= free
    assert not modules
