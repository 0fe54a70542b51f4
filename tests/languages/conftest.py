"""A folder of families that the package does not have, and the engines that run them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from minifn.languages import table as table_module
from tests.languages.new_family import install_compiler, write_family


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that functions can reach: `runtimes` has one family, `tools` its compiler."""
    with tempfile.TemporaryDirectory(prefix="minifn-family-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        write_family(root / "runtimes")
        install_compiler(root / "tools/bin")
        monkeypatch.setattr(table_module, "default_root", lambda: root / "runtimes")
        yield root


@pytest.fixture(params=["bwrap", "process", "sandlock"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine that can run here."""
    if request.param != "process":
        request.getfixturevalue(request.param)
    return str(request.param)
