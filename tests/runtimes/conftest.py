"""Fixtures of the languages that the contract is tested with."""

import pytest

from minifn.languages import RuntimeTable, RuntimeUnavailable
from tests.workers.harness import Language

SUFFIXES = {"python": ".py", "node": ".js"}


@pytest.fixture(scope="session")
def runtime_table() -> RuntimeTable:
    """The runtimes of this machine."""
    return RuntimeTable.load()


@pytest.fixture(scope="session", params=SUFFIXES)
def language(request: pytest.FixtureRequest, runtime_table: RuntimeTable) -> Language:
    """Each runnable family; skips where its interpreter is missing."""
    return find_language(runtime_table, request.param)


@pytest.fixture(scope="session", params=["newest", "oldest"])
def python(request: pytest.FixtureRequest, runtime_table: RuntimeTable) -> Language:
    """The newest and the oldest Python of this machine."""
    return find_language(runtime_table, "python", oldest=request.param == "oldest")


def find_language(table: RuntimeTable, key: str, oldest: bool = False) -> Language:
    """Return a family with the newest (or oldest) runtime of this machine; skip without one."""
    found = [runtime.id for runtime in table.runnable() if runtime.key == key]
    if not found:
        last = [runtime.id for runtime in table.all() if runtime.key == key][-1]
        try:
            table.resolve(last)
        except RuntimeUnavailable as exc:
            pytest.skip(str(exc))
    return Language(key=key, suffix=SUFFIXES[key], runtime=found[0 if oldest else -1], table=table)
