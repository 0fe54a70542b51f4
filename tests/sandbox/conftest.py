"""A place that every uid can reach, unlike pytest's own temporary directories."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from minifn.host.datadir import DataDir, remove_tree


@pytest.fixture
def place() -> Iterator[DataDir]:
    """A prepared data directory below a directory that lets others pass."""
    root = Path(tempfile.mkdtemp(prefix="minifn-test-"))
    root.chmod(0o755)
    data = DataDir(root / "data")
    data.prepare()
    yield data
    remove_tree(root)
