"""Fixtures of the contract suite, and of the tests of Python and Node.js alone."""

import tempfile
from collections.abc import Iterator
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


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest, runtime_table: RuntimeTable) -> Iterator[Site]:
    """A server with one family's programs; skips where the family is missing."""
    family: Family = request.param
    runtime = newest(runtime_table, family.key)
    # A function's user must reach it: below pytest's own directories it does not.
    with tempfile.TemporaryDirectory(prefix=f"minifn-{family.key}-") as folder:
        Path(folder).chmod(0o711)
        with opened(family, runtime, Path(folder) / "data") as running:
            yield running


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
