"""Fixtures that tests of workers share: languages, functions, and a place for sandboxes."""

import pytest

from minifn.languages import RuntimeTable
from minifn.workers.records import WorkerSpec
from tests.runtimes.conftest import find_language
from tests.sandbox.conftest import place
from tests.workers.harness import FUNCTIONS, Language

__all__ = ["counted", "place", "python", "timed"]


@pytest.fixture(scope="session")
def python() -> Language:
    """Python functions, the quickest to start."""
    return find_language(RuntimeTable.load(), "python")


@pytest.fixture
def timed(python: Language) -> WorkerSpec:
    """A function that sleeps; one call at a time for each worker."""
    return python.spec(FUNCTIONS / "contract_time", "main", concurrency=1)


@pytest.fixture
def counted(python: Language) -> WorkerSpec:
    """A function that answers its pid and the number of its calls there."""
    return python.spec(FUNCTIONS / "contract_failures", "main")
