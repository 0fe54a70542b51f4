"""Fixtures of the contract suite, and of the tests of Python and Node.js alone."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from minifn.languages import RuntimeTable, RuntimeUnavailable
from tests.runtimes.contract.site import Site, opened
from tests.runtimes.contract.table import Family
from tests.workers.harness import Language

SUFFIXES = {"python": ".py", "node": ".js"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave compiled languages to the slow part.

    The files that functions share take a compiler up to a minute of processor time.
    """
    for item in items:
        callspec = getattr(item, "callspec", None)
        family = callspec.params.get("site") if callspec else None
        if isinstance(family, Family) and family.compiled:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def runtime_table() -> RuntimeTable:
    """The runtimes of this machine."""
    return RuntimeTable.load()


class Sites:
    """The server of one family at a time: rows come family by family.

    The files that functions share are kept from session to session: compiling them takes a
    dozen seconds for some languages. `tests/languages` tests how they are made.
    """

    def __init__(self, table: RuntimeTable, kept: Path) -> None:
        """`kept` is a folder that outlives the session."""
        self._table = table
        self._kept = kept
        self._site: Site | None = None
        self._stack = ExitStack()

    def of(self, family: Family) -> Site:
        """Return the server with a family's programs; skips where the family is missing."""
        if self._site is None or self._site.family is not family:
            self.close()
            runtime = newest(self._table, family.key)
            # A function's user must reach it: below pytest's own directories it does not.
            folder = tempfile.TemporaryDirectory(prefix=f"minifn-{family.key}-")
            root = Path(self._stack.enter_context(folder))
            root.chmod(0o711)
            self._site = self._stack.enter_context(opened(family, runtime, root / "data"))
            # Only its sandboxes show these files at the same path each time.
            if self._site.server.engine.name == "bwrap":
                place = self._site.server.data.toolchains
                name = self._table.resolve(runtime).cache_name
                copy_toolchain(name, self._kept, place)
                self._stack.callback(copy_toolchain, name, place, self._kept)
        return self._site

    def close(self) -> None:
        """Stop the server."""
        self._site = None
        self._stack.close()


def copy_toolchain(name: str, source: Path, target: Path) -> None:
    """Copy what a toolchain's functions share, unless `target` has it: its record comes last."""
    if not (source / f"{name}.json").exists() or (target / f"{name}.json").exists():
        return
    part = target / f"{name}~{os.getpid()}"
    subprocess.run(["cp", "-a", str(source / name), str(part)], check=True)
    # Another process may have been faster.
    with suppress(OSError):
        part.rename(target / name)
        shutil.copy2(source / f"{name}.json", target)
    shutil.rmtree(part, ignore_errors=True)


@pytest.fixture(scope="session")
def sites(pytestconfig: pytest.Config, runtime_table: RuntimeTable) -> Iterator[Sites]:
    """The servers of the families, one after the other."""
    found = Sites(runtime_table, pytestconfig.cache.mkdir("toolchains"))
    yield found
    found.close()


@pytest.fixture
def site(request: pytest.FixtureRequest, sites: Sites) -> Site:
    """The server of the row's family."""
    return sites.of(request.param)


@pytest.fixture(scope="session", params=SUFFIXES)
def language(request: pytest.FixtureRequest, runtime_table: RuntimeTable) -> Language:
    """Python and Node.js; skips where an interpreter is missing."""
    return find_language(runtime_table, request.param)


@pytest.fixture(scope="session", params=["newest", "oldest"])
def python(request: pytest.FixtureRequest, runtime_table: RuntimeTable) -> Language:
    """The newest and the oldest Python of this machine."""
    return find_language(runtime_table, "python", oldest=request.param == "oldest")


def newest(table: RuntimeTable, key: str) -> str:
    """Return the newest runtime of a family on this machine; skip with the reason without one."""
    found = [runtime.id for runtime in table.runnable() if runtime.key == key]
    if not found:
        last = [runtime.id for runtime in table.all() if runtime.key == key][-1]
        try:
            table.resolve(last)
        except RuntimeUnavailable as exc:
            pytest.skip(str(exc))
    return found[-1]


def find_language(table: RuntimeTable, key: str, oldest: bool = False) -> Language:
    """Return a family with the newest (or oldest) runtime of this machine; skip without one."""
    runtime = newest(table, key)
    if oldest:
        runtime = next(one.id for one in table.runnable() if one.key == key)
    return Language(key=key, suffix=SUFFIXES[key], runtime=runtime, table=table)
