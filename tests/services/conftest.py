"""Fixtures of the services' tests."""

from pathlib import Path

import pytest

from tests.services.functions import Run, run_on


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a scenario with services over a fresh database."""
    return run_on(tmp_path / "minifn.db")
