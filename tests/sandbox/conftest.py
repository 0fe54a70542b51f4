"""A data directory that every uid can reach, unlike pytest's, and the engines of this machine."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from minifn.host.datadir import DataDir
from minifn.host.files import remove_tree


@pytest.fixture
def place() -> Iterator[DataDir]:
    """A prepared data directory below a directory that lets others pass."""
    root = Path(tempfile.mkdtemp(prefix="minifn-test-"))
    root.chmod(0o755)
    data = DataDir(root / "data")
    data.prepare()
    yield data
    remove_tree(root)


@pytest.fixture(params=["bwrap", "sandlock", "process", "none"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """Each engine of this machine."""
    if request.param in ("bwrap", "sandlock"):
        request.getfixturevalue(request.param)
    return str(request.param)
