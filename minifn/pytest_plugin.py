"""The pytest plugin: the fixture `minifn`. Everything else is imported by its first use."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from minifn.sync import SyncMinifn
    from minifn.testing import FunctionsUnderTest


@pytest.fixture(scope="session")
def minifn_server() -> "Iterator[SyncMinifn]":
    """A server of this session on a throw-away data directory; with xdist one a process."""
    import tempfile
    from pathlib import Path

    from minifn.config import Config
    from minifn.sync import SyncMinifn

    with tempfile.TemporaryDirectory(prefix="minifn-", ignore_cleanup_errors=True) as place:
        # Functions with their own uid must be able to pass through.
        Path(place).chmod(0o711)
        config = Config(data=Path(place) / "data", port=0)
        with SyncMinifn(config, serve=True) as running:
            yield running


@pytest.fixture
def minifn(
    request: pytest.FixtureRequest, minifn_server: "SyncMinifn"
) -> "Iterator[FunctionsUnderTest]":
    """Functions for one test: `minifn.deploy(folder).run(body)`."""
    from minifn.testing import FunctionsUnderTest

    functions = FunctionsUnderTest(minifn_server, request.path.parent)
    yield functions
    functions.forget()
