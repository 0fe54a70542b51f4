"""Fixtures of the builds: the runtimes of this machine, and the engines."""

import pytest

from minifn.languages import RuntimeTable

ENGINES = ("bwrap", "process")


@pytest.fixture(scope="module")
def runtimes() -> RuntimeTable:
    """The runtimes of this machine."""
    return RuntimeTable.load()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine that can run here."""
    if request.param == "bwrap":
        request.getfixturevalue("bwrap")
    return str(request.param)
