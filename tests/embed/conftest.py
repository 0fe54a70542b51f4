"""A minifn inside the tests' process, shared by the tests of a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from minifn import Config
from minifn.sync import SyncMinifn
from tests.embed.folders import place


@pytest.fixture(scope="module")
def sync() -> Iterator[SyncMinifn]:
    """A running SyncMinifn on a throw-away data directory."""
    with place() as data, SyncMinifn(Config(data=data, api_key="admin-key")) as running:
        yield running


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """The folder of a function that greets."""
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "main.py").write_text(
        "import os\n\n\n"
        "def main(context):\n"
        "    print('greeting', context.req.body_text)\n"
        "    name = context.req.body_text or os.environ.get('NAME', '')\n"
        "    return context.res.text(f'Hello, {name}!\\n')\n"
    )
    return folder
