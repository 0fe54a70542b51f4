"""A server with an installation `local`, whose repositories are below a folder."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.git.repositories import Repository
from tests.serving import Api, Server


@pytest.fixture(scope="session", autouse=True)
def git_command() -> None:
    """Skips without git."""
    if shutil.which("git") is None:
        pytest.skip("git is not on PATH: install the package git")


@pytest.fixture(scope="package")
def place() -> Iterator[Path]:
    """A folder that every uid may enter, for data and repositories."""
    with tempfile.TemporaryDirectory(prefix="minifn-git-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture(scope="package")
def base(place: Path) -> Path:
    """The folder of the installation's repositories."""
    (place / "repositories").mkdir()
    return place / "repositories"


@pytest.fixture(scope="package")
def git_server(place: Path, base: Path) -> Iterator[Server]:
    """A server that looks at its repositories every second."""
    installations = f"local=file://{base},remote=https://user:hidden-token@127.0.0.1:9"
    with Server(
        place / "data", git_installations=installations, git_poll=1, upload_limit=1_000_000
    ) as running:
        yield running


@pytest.fixture
def api(git_server: Server) -> Iterator[Api]:
    with git_server.api as client:
        yield client
        # Of each connected repository the server would look at the branches every second.
        for function in list(client.pages("/functions", "functions")):
            if function["providerRepositoryId"]:
                client.call("DELETE", f"/functions/{function['$id']}", 204)


@pytest.fixture
def repository(base: Path, request: pytest.FixtureRequest) -> Repository:
    """A new repository of the installation, named as the test is."""
    name = str(request.node.name).replace("[", "-").replace("]", "")
    return Repository(base / "team" / name)
