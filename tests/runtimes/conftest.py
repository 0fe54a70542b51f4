"""Fixtures of the contract suite, and of the tests of Python and Node.js alone."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from minifn.languages import RuntimeTable, RuntimeUnavailable
from tests.runtimes.contract.site import Site, opened
from tests.runtimes.contract.table import Family
from tests.workers.harness import Language

SUFFIXES = {"python": ".py", "node": ".js"}


@pytest.fixture(scope="session")
def runtime_table() -> RuntimeTable:
    """The runtimes of this machine."""
    return RuntimeTable.load()


class Sites:
    """The server of one family at a time: rows come family by family."""

    def __init__(self, table: RuntimeTable) -> None:
        self._table = table
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
        return self._site

    def close(self) -> None:
        """Stop the server."""
        self._site = None
        self._stack.close()


@pytest.fixture(scope="session")
def sites(runtime_table: RuntimeTable) -> Iterator[Sites]:
    """The servers of the families, one after the other."""
    found = Sites(runtime_table)
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
